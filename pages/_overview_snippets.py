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

SNIPPETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"curl": ("bash", _CURL), "Python": ("python", _PYTHON), "JavaScript": ("javascript", _JAVASCRIPT)}
)
"""Language of each snippet and its text, `{base_url}` left open."""


def base_url() -> str:
    """The address for OpenAI's clients, as this browser reaches the server."""
    parts = urlsplit(st.context.url or "")
    return f"{parts.scheme}://{parts.netloc}/v1"


def show_snippets(key_prefix: str) -> None:
    """Address, key (what may be shown of it) and snippets."""
    url = base_url()
    st.caption("Base URL")
    st.code(url, language=None)
    shown = f"{key_prefix}…" if key_prefix else "fr_live_…"
    st.caption(f"API key: {shown} The whole key was shown once, when it was made; make another under API keys.")
    for tab, (language, text) in zip(st.tabs(list(SNIPPETS)), SNIPPETS.values(), strict=True):
        tab.code(text.format(base_url=url), language=language)
