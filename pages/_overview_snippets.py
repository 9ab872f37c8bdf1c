"""How to call the endpoint: its address, and requests that work as they stand where the key is in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from urllib.parse import urlsplit

import streamlit as st

__all__ = ["SNIPPETS", "base_url", "show_snippets"]

_CURL = """export OPENAI_BASE_URL={base_url}
export OPENAI_API_KEY=${{OPENAI_API_KEY:?your key, fr_live_...}}
curl "$OPENAI_BASE_URL/chat/completions" \\
  -H "Authorization: Bearer $OPENAI_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "freerelay/auto", "messages": [{{"role": "user", "content": "Hello!"}}]}}'"""

_PYTHON = """# pip install openai; the key is read from OPENAI_API_KEY
from openai import OpenAI

client = OpenAI(base_url="{base_url}")
answer = client.chat.completions.create(
    model="freerelay/auto", messages=[{{"role": "user", "content": "Hello!"}}]
)
print(answer.choices[0].message.content)"""

_JAVASCRIPT = """// npm install openai; the key is read from OPENAI_API_KEY
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{base_url}" }});
const answer = await client.chat.completions.create({{
  model: "freerelay/auto",
  messages: [{{ role: "user", content: "Hello!" }}],
}});
console.log(answer.choices[0].message.content);"""

SNIPPETS: Mapping[str, str] = MappingProxyType({"curl": _CURL, "Python": _PYTHON, "JavaScript": _JAVASCRIPT})
"""Each snippet by its name, `{base_url}` left open."""


def base_url() -> str:
    """The address for OpenAI's clients, as this browser reaches the server."""
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}/v1"


def show_snippets(key_prefix: str, *, printed: bool) -> None:
    """Address, key (what may be shown of it) and snippets; `printed` says that the whole key is in the terminal."""
    url = base_url()
    st.caption("Base URL")
    st.code(url, language=None)
    shown = f"{key_prefix}…" if key_prefix else "fr_live_…"
    where = (
        "It was printed where FreeRelay was started (`make run`), and stands in the file `FREERELAY_HOME/credentials`."
        if printed
        else "The whole key was shown once, when it was made; if it is lost, make another."
    )
    st.markdown(f"API key: `{shown}` {where}")
    st.page_link("keys.py", label="Your API keys", icon=":material/key:")
    for tab, text in zip(st.tabs(list(SNIPPETS)), SNIPPETS.values(), strict=True):
        # No language: the colours of highlighted comments lack contrast.
        tab.code(text.format(base_url=url), language=None, wrap_lines=True)
