"""Sign-in: a form that posts an API key to `/session`, which answers with a cookie and returns to the page asked for.

The browser itself sends the form, so the key passes by Streamlit: it is never in a widget, a log or a URL.
"""

from __future__ import annotations

from html import escape
from urllib.parse import urlencode, urlsplit

import streamlit as st

from pages import _layout, _session

FAILURE = "sign_in"
"""Query parameter in which `/session` says why it sent the browser back."""

_REASONS = {
    "failed": "This key is not valid. Check that it is whole, and that it was not revoked and has not expired.",
    "limited": "Too many attempts. Wait a minute, then try again.",
    "unavailable": "The database does not answer, so nobody can be signed in right now. Try again in a moment.",
}


def _return_to() -> str:
    """The URL that was asked for: path and query, without what belongs to signing in."""
    path = urlsplit(st.context.url or "/").path or "/"
    query = {name: st.query_params.get_all(name) for name in st.query_params if name != FAILURE}
    return f"{path}?{urlencode(query, doseq=True)}" if query else path


def _form(reason: str | None) -> str:
    described = "fr-key-hint"
    alert = ""
    if reason is not None:
        words = escape(_REASONS.get(reason, _REASONS["failed"]))
        alert = f"<p class='fr-alert' id='fr-key-error' role='alert'>{words}</p>"
        described = "fr-key-error fr-key-hint"
    invalid = " aria-invalid='true'" if reason == "failed" else ""
    return f"""
<form class="fr-sign-in" method="post" action="/session">
  {alert}
  <label for="fr-api-key">API key</label>
  <input id="fr-api-key" name="api_key" type="password" required autocomplete="off" autocapitalize="none"
         spellcheck="false" aria-describedby="{described}"{invalid}>
  <p id="fr-key-hint">A tenant's key begins with <code>fr_live_</code>, the operator's with <code>fr_admin_</code>.</p>
  <input name="next" type="hidden" value="{escape(_return_to())}">
  <button type="submit">Sign in</button>
</form>"""


def _demo_hint() -> None:
    if _session.application().demo_key is None:
        return
    st.html(
        "<div class='fr-hint'><p><strong>New here?</strong> This is a local install with a demo tenant. Its key is the "
        "<code>OPENAI_API_KEY</code> that was printed in the terminal where FreeRelay was started. It also stands, "
        "with the operator's key, in the file <code>FREERELAY_HOME/credentials</code> "
        "(<code>.freerelay/credentials</code> unless you chose another folder).</p></div>"
    )


with st.container(horizontal_alignment="center"), st.container(key="sign-in", width=440):
    _layout.page_title("Sign in to FreeRelay")
    st.html("<p class='fr-lead'>Choose how your requests are routed, and see what each choice would mean.</p>")
    st.html(_form(st.query_params.get(FAILURE)))
    _demo_hint()
_layout.revision_mark()
