"""`freerelay key`: made, shown once, listed, and revoked under a running server."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from serving import Serving

from freerelay_core.store import well_formed
from tests.cli.shell import freerelay, printed, refused

ANN = "ann@example.com"


@pytest.fixture
def tenant(database: str) -> dict[str, str]:
    """Where a tenant is that has no key yet."""
    where = {"DATABASE_URL": database}
    printed("tenant", "add", ANN, **where)
    return where


def keys(where: dict[str, str]) -> list[dict[str, Any]]:
    return json.loads(printed("key", "list", ANN, "--json", **where))


def models(it: Serving, secret: str) -> int:
    return httpx.get(f"{it.url}/v1/models", headers={"Authorization": f"Bearer {secret}"}).status_code


def test_a_key_is_printed_alone_and_once(tenant):
    assert "has no key yet" in printed("key", "list", ANN, **tenant)
    run = freerelay("key", "create", " Ann@example.com", "--name", "my laptop", **tenant)
    assert run.status == 0
    secret = run.stdout.removesuffix("\n")
    assert well_formed(secret, "live")
    assert "shown this once" in run.stderr
    assert secret not in run.stderr
    listing = printed("key", "list", ANN, **tenant)
    assert "my laptop" in listing
    assert f"{secret[:12]}…" in listing
    assert secret not in listing
    assert secret not in printed("key", "list", ANN, "--json", **tenant)


def test_as_json_a_key_tells_when_it_ends(tenant):
    made = json.loads(printed("key", "create", ANN, "--expires-in-days", "30", "--json", **tenant))
    assert well_formed(made.pop("secret"), "live")
    ends = datetime.fromisoformat(made["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=5)
    assert keys(tenant) == [made]


def test_what_cannot_be_is_refused_in_one_line(tenant):
    assert "no tenant with this address" in refused("key", "create", "bob@example.com", **tenant)
    assert "from 1 to 3650 days" in refused("key", "create", ANN, "--expires-in-days", "0", **tenant)
    assert "printable characters" in refused("key", "create", ANN, "--name", "", **tenant)
    assert keys(tenant) == []


def test_a_key_is_revoked_by_id_or_by_its_beginning_and_by_nothing_else(tenant):
    first, second = (json.loads(printed("key", "create", ANN, "--json", **tenant)) for _ in range(2))
    for wrong in ("", "fr_live_", first["secret"], "0198c0de-0000-7000-8000-000000000000"):
        line = refused("key", "revoke", ANN, wrong, **tenant)
        assert "No key of this tenant" in line
        assert first["secret"] not in line
    assert "is revoked" in printed("key", "revoke", ANN, f"{first['prefix']}…", **tenant)
    assert json.loads(printed("key", "revoke", ANN, second["id"], "--json", **tenant))["state"] == "revoked"
    assert [key["state"] for key in keys(tenant)] == ["revoked", "revoked"]


def test_a_running_server_takes_a_new_key_at_once_and_refuses_it_within_a_second_of_its_end(running):
    local = {"home": running.home}
    printed("tenant", "add", ANN, **local)
    secret = printed("key", "create", ANN, **local).strip()
    assert models(running, secret) == 200
    printed("key", "revoke", ANN, secret[:12], **local)
    deadline = time.monotonic() + 1
    while models(running, secret) != 401:
        assert time.monotonic() < deadline
        time.sleep(0.02)
