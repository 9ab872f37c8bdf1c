"""Rows that no schema of ours would let in: a tenant goes on with defaults, and it is said and counted."""

from __future__ import annotations

import pytest

from freerelay_core.store import new_key
from freerelay_core.store.rows import ODD_VALUES

pytestmark = [pytest.mark.anyio, pytest.mark.every_store, pytest.mark.alters_schema]

DEFAULTS = {"tier": "free", "routing_preference": None, "settings_version": 0}


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("ann@x", tier="gold", allow_override=False)


@pytest.mark.parametrize(
    ("column", "value", "read"),
    [
        ("routing_preference", "'fastest'", None),
        ("routing_preference", "''", None),
        ("tier", "'platinum'", "free"),
        ("tier", "null", "free"),
        ("settings_version", "null", 0),
    ],
)
async def test_an_odd_value_is_read_as_the_default_said_and_counted(store, tenant, sql, caplog, column, value, read):
    key = new_key("live")
    await store.create_key(tenant.id, name="a", prefix=key.prefix, key_hash=key.digest)
    sql.owner("alter table users disable trigger all")
    for (name,) in sql.owner("select conname from pg_constraint where conrelid = 'users'::regclass and contype = 'c'"):
        sql.owner(f'alter table users drop constraint "{name}"')
    sql.owner(f"alter table users alter {column} drop not null")
    sql.owner(f"update users set {column} = {value}")  # noqa: S608 -- of the list above
    before = ODD_VALUES[column]

    identity = await store.identify(key.digest)

    assert getattr(identity.tenant, column) == read
    assert getattr(await store.tenant(tenant.id), column) == read
    assert ODD_VALUES[column] == before + 2
    assert f"{column} is" in caplog.text


async def test_no_choice_is_no_odd_value(store, tenant):
    before = ODD_VALUES.total()
    assert (await store.tenant(tenant.id)).routing_preference is None
    assert ODD_VALUES.total() == before
