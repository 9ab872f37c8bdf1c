"""The menu, who is signed in, and what somebody sees who may not see a page."""

from __future__ import annotations

import asyncio
from html import unescape
from typing import Any

import psycopg
import pytest
from streamlit.testing.v1 import AppTest


def html(app: AppTest) -> str:
    """All of our own HTML on the page, without its style."""
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def titles(app: AppTest) -> list[str]:
    return [title.value for title in app.title]


@pytest.mark.parametrize("page", ["", "settings", "simulator"])
def test_nobody_sees_a_page_without_signing_in(reader: Any, page: str) -> None:
    app = reader.open(page)
    assert titles(app) == ["Sign in to FreeRelay"]
    assert '<label for="fr-api-key">API key</label>' in html(app)
    assert not app.button


def test_signing_in_returns_to_the_query_that_was_asked_for(reader: Any) -> None:
    app = reader.open("settings", preference="cost-optimized", sign_in="failed", note="a b&c")
    assert 'name="next" type="hidden" value="/?preference=cost-optimized&note=a+b%26c"' in unescape(html(app))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("failed", "This key is not valid."),
        ("limited", "Too many attempts."),
        ("unavailable", "The database does not answer"),
        ("<script>", "This key is not valid."),
    ],
)
def test_a_failed_sign_in_says_why(reader: Any, reason: str, words: str) -> None:
    app = reader.open("settings", sign_in=reason)
    assert f"role='alert'>{words}" in html(app)
    assert "<script>" not in html(app)


def test_a_local_install_says_where_the_demo_key_is_and_never_shows_it(reader: Any, running: Any) -> None:
    shown = html(reader.open())
    assert "FREERELAY_HOME/credentials" in shown
    assert running.demo_key not in shown


def test_a_tenant_is_named_with_the_prefix_of_its_key(tenant_reader: Any, running: Any) -> None:
    shown = html(tenant_reader.open("settings"))
    assert "demo@freerelay.local" in shown
    assert f"key {running.demo_key[:12]}…" in shown
    assert running.demo_key not in shown
    assert "action='/session/end'" in shown


def test_a_tenant_lands_on_the_overview(tenant_reader: Any) -> None:
    assert titles(tenant_reader.open()) == ["Overview"]


def test_the_operator_lands_on_the_overview(operator_reader: Any) -> None:
    app = operator_reader.open()
    assert titles(app) == ["Overview"]
    assert "<strong>Operator</strong>" in html(app)


def test_a_page_of_another_role_is_refused_by_name(operator_reader: Any) -> None:
    app = operator_reader.open("settings")
    assert app.warning[0].value.startswith("**Routing settings** is a page for tenants")
    assert not app.button


@pytest.mark.parametrize("session", ["", "nobody", "x" * 5000, "' or 1=1 --", "\u2603"])
def test_a_session_that_is_not_known_is_nobodys(reader: Any, session: str) -> None:
    from freerelay_core.api.session import COOKIE

    reader.cookies[COOKIE] = session
    assert titles(reader.open("settings")) == ["Sign in to FreeRelay"]


def test_a_session_that_has_ended_is_nobodys(tenant_reader: Any) -> None:
    app = tenant_reader.open("settings")
    tenant_reader.sign_out()
    assert titles(app.run()) == ["Sign in to FreeRelay"]


def test_a_key_that_is_revoked_ends_its_sessions(reader: Any, running: Any) -> None:
    tenant_id, secret = running.new_tenant()
    reader.sign_in(secret)
    app = reader.open("settings")
    (key,) = running.run(running.application.store.list_keys(tenant_id))
    running.run(running.application.store.revoke_key(tenant_id, key.id))
    assert titles(app.run()) == ["Sign in to FreeRelay"]


def test_a_database_that_is_away_is_no_sign_out(tenant_reader: Any, running: Any, database: str) -> None:
    app = tenant_reader.open("settings")
    running.run(_refuse_connections(database, refuse=True))
    try:
        app.run()
        assert app.error
        assert "Sign in" not in "".join(titles(app))
        assert [button.label for button in app.button] == ["Try again"]
    finally:
        running.run(_refuse_connections(database, refuse=False))
    assert titles(app.button[0].click().run()) == ["Routing settings"]


async def _refuse_connections(database: str, *, refuse: bool) -> None:
    from psycopg.conninfo import conninfo_to_dict, make_conninfo

    name = conninfo_to_dict(database)["dbname"]
    async with await psycopg.AsyncConnection.connect(
        make_conninfo(database, dbname="postgres"), autocommit=True
    ) as connection:
        await connection.execute(f'alter database "{name}" allow_connections {"false" if refuse else "true"}'.encode())
        if refuse:
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )
    await asyncio.sleep(0)
