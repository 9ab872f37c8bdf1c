"""The frame of the dashboard: builds the menu from who is signed in, then runs the page that the URL names.

Nobody signed in: the sign-in page, at whatever URL was asked. A page of another role: says so, by the page's name.
"""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from freerelay_core.errors import FreeRelayError
from freerelay_core.store.values import Identity
from pages import _layout, _session

TENANT, OPERATOR = "tenant", "operator"
_ROLE_NAMES = {TENANT: "tenants", OPERATOR: "the operator"}


@dataclass(frozen=True, slots=True)
class _Entry:
    """A page of the dashboard and the roles whose page it is."""

    path: str
    title: str
    icon: str
    roles: tuple[str, ...]

    def page(self) -> StreamlitPage:
        file = f"{self.path.replace('-', '_')}.py"
        return st.Page(file, title=self.title, icon=self.icon, url_path=self.path, default=self.path == _HOME)


_HOME = "overview"
"""The page at the bare address."""

_ENTRIES = (
    _Entry(_HOME, "Overview", ":material/home:", (TENANT, OPERATOR)),
    _Entry("settings", "Routing settings", ":material/tune:", (TENANT,)),
    _Entry("simulator", "Simulator", ":material/science:", (TENANT, OPERATOR)),
    _Entry("what-if", "What-if", ":material/alt_route:", (OPERATOR,)),
    _Entry("activity", "Activity", ":material/list_alt:", (TENANT, OPERATOR)),
    _Entry("reports", "Reports", ":material/download:", (TENANT, OPERATOR)),
    _Entry("keys", "API keys", ":material/key:", (TENANT,)),
    _Entry("fleet", "Fleet", ":material/lan:", (OPERATOR,)),
    _Entry("tenants", "Tenants", ":material/group:", (OPERATOR,)),
)
"""In the order of the menu."""


def _not_signed_in() -> StreamlitPage:
    """The sign-in page under every known URL, so that signing in can return to the one that was asked for."""
    pages = [
        st.Page("sign_in.py", title="Sign in", url_path=entry.path, default=entry.path == _HOME) for entry in _ENTRIES
    ]
    return st.navigation(pages, position="hidden")


def _broken(error: FreeRelayError) -> StreamlitPage:
    """What went wrong, under every known URL: nobody knows yet whose page it is."""

    def show() -> None:
        raise error

    pages = [st.Page(show, title=entry.title, url_path=entry.path, default=entry.path == _HOME) for entry in _ENTRIES]
    return st.navigation(pages, position="hidden")


def _menu(who: Identity) -> StreamlitPage:
    """The pages of this role in the menu; the others can be reached, and say that they are not for it."""
    own = [entry.page() for entry in _ENTRIES if who.role in entry.roles]
    foreign = [_refusal(entry, who, own[0]) for entry in _ENTRIES if who.role not in entry.roles]
    return st.navigation([*own, *foreign])


def _refusal(entry: _Entry, who: Identity, instead: StreamlitPage) -> StreamlitPage:
    def refuse() -> None:
        _layout.page_title(entry.title)
        owners = " and ".join(_ROLE_NAMES[role] for role in entry.roles)
        st.warning(
            f"**{entry.title}** is a page for {owners}, and you are signed in as {_as_whom(who)}. "
            f"To see it, sign out and sign in with another key.",
            icon=":material/lock:",
        )
        st.page_link(instead, label=f"Go to {instead.title}", icon=instead.icon)
        _layout.revision_mark()

    return st.Page(refuse, title=entry.title, url_path=entry.path, visibility="hidden")


def _as_whom(who: Identity) -> str:
    return "the operator" if who.tenant is None else "a tenant"


def _draw_account(who: Identity) -> None:
    if who.tenant is None:
        _layout.account("Operator", "signed in with the operator's key")
        return
    prefix = "" if who.key_id is None else _session.key_prefix(who.tenant.id, who.key_id)
    _layout.account(who.tenant.email, f"key {prefix}…" if prefix else f"tier {who.tenant.tier}")


def main() -> None:
    """Draw the dashboard for whoever is looking."""
    st.set_page_config(page_icon=_layout.FAVICON, layout="wide")
    _layout.style()
    _layout.brand()
    who = None
    try:
        who = _session.signed_in()
        page = _not_signed_in() if who is None else _menu(who)
    except FreeRelayError as error:
        page = _broken(error)
    st.set_page_config(page_title=f"{page.title} · FreeRelay")
    try:
        if who is not None:
            _draw_account(who)
        page.run()
    except FreeRelayError as error:
        _layout.failure(error)
        _layout.revision_mark()


main()
