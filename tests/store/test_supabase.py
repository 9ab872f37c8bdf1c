"""What is particular to the store on Supabase: wire, absences, configuration, and how it hears of changes."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

import httpx
import psycopg
import pytest

from freerelay_core.clock import SystemClock, new_id
from freerelay_core.errors import ConfigurationError, NotFound, StoreUnavailable
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import DecisionFilter, IdempotencyKey, PublishedSnapshot, new_key
from freerelay_core.store import supabase as adapter
from freerelay_core.store.supabase import SCHEMA_VERSION, SupabaseStore
from tests.store.helpers import decision, until
from tests.store.postgrest import PUBLISHABLE_KEY, SECRET_KEY, postgrest

pytestmark = [pytest.mark.anyio, pytest.mark.alters_schema]

TOMORROW = datetime.now(UTC) + timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
async def project(database):
    """The stand-in for a Supabase project."""
    async with postgrest(database, max_rows=3) as standin:
        yield standin


@pytest.fixture
async def store(project):
    opened = SupabaseStore(project.url, SECRET_KEY, clock=SystemClock())
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def tenant(store):
    return await store.create_tenant("ann@x", tier="silver", allow_override=True)


def everything(store, tenant, key_id="0198c0de-0000-7000-8000-000000000000"):
    """A call of every operation, with what must not be seen on the way: digests, addresses, labels."""
    whose, record = tenant.id, decision(tenant.id)
    since = {"since": EPOCH, "until": TOMORROW}
    snapshot = PublishedSnapshot("w-1", EPOCH, b"\0")
    return [
        store.ping(), store.identify("digest-of-key"), store.tenant(whose), store.tenant_by_email("ann@x"),
        store.create_tenant("bob@x", tier="free", allow_override=False), store.list_tenants(),
        store.update_tenant(whose, actor="actor@x", tier="gold"),
        store.create_key(whose, name="label", prefix="fr_live_", key_hash="digest-of-key", expires_at=TOMORROW),
        store.list_keys(whose), store.revoke_key(whose, key_id), store.rename_key(whose, key_id, "label"),
        store.touch_keys({key_id: EPOCH}),
        store.set_routing_preference(whose, RoutingPreference.BALANCED, actor="actor@x"),
        store.settings_history(whose),
        store.set_routing_preference_once(
            whose, RoutingPreference.BALANCED, actor="actor@x", key=IdempotencyKey("digest-of-key", "r"), answer="label"
        ),
        store.add_feedback_once(whose, record.id, 0.5, key=IdempotencyKey("digest-of-session", "r"), answer="label"),
        store.create_session("digest-of-session", role="operator", tenant_id=None, key_id=None, expires_at=TOMORROW),
        store.session("digest-of-session"), store.end_session("digest-of-session"),
        store.append_decisions([record]), store.decision(whose, record.id),
        store.recent_decisions(whose, since=EPOCH, limit=5),
        store.decision_lines(whose, DecisionFilter(since=EPOCH), limit=5), store.traffic(whose, **since),
        store.traffic_by_tenant(**since), store.recorded_traffic(whose, since=EPOCH, limit=5),
        store.remove_demo_decisions(whose), store.save_scenario("label", {}), store.scenarios(),
        store.scenario(key_id), store.delete_scenario(key_id), store.publish_snapshot(snapshot),
        store.latest_snapshot(),
    ]  # fmt: skip


# -- the wire


async def test_no_url_holds_a_digest_an_address_or_a_label(store, tenant, project, caplog):
    caplog.set_level(logging.DEBUG)
    results = await asyncio.gather(*everything(store, tenant), return_exceptions=True)

    assert [r for r in results if isinstance(r, Exception) and not isinstance(r, NotFound)] == []
    urls = " ".join(path for _, path, _ in project.requests)
    bodies = " ".join(body for *_, body in project.requests)
    for private in ("digest-of-key", "digest-of-session", "ann@x", "bob@x", "actor@x", "label"):
        assert private not in urls.replace("%40", "@")
        assert private in bodies
        assert private not in caplog.text
    assert SECRET_KEY not in caplog.text
    assert SECRET_KEY not in repr(vars(store))


async def test_every_question_about_a_tenants_rows_names_the_tenant(store, tenant, project):
    whose, record = tenant.id, decision(tenant.id)
    project.requests.clear()

    await asyncio.gather(
        store.tenant(whose), store.list_keys(whose), store.settings_history(whose), store.decision(whose, record.id),
        store.revoke_key(whose, record.id), store.rename_key(whose, record.id, "x"),
        store.recent_decisions(whose, since=EPOCH, limit=5), store.recorded_traffic(whose, since=EPOCH, limit=5),
        store.decision_lines(whose, DecisionFilter(since=EPOCH), limit=5), store.remove_demo_decisions(whose),
        store.traffic(whose, since=EPOCH, until=TOMORROW), return_exceptions=True,
    )  # fmt: skip

    assert len(project.requests) == 12
    assert [request for request in project.requests if whose not in request[1] + request[2]] == []


async def test_long_lists_do_not_end_at_the_projects_limit_of_rows(store, project, monkeypatch):
    monkeypatch.setattr(adapter, "_CHUNK", 2)
    tenants = [await store.create_tenant(f"{n}@x", tier="free", allow_override=False) for n in range(5)]
    one_moment = new_id(SystemClock())[:13]
    records = [decision(tenant.id, id=f"{one_moment}-7{n}00-8000-000000000000") for n, tenant in enumerate(tenants)]
    await store.append_decisions(records)
    newest_first = records[::-1]

    assert await store.list_tenants() == tenants
    assert await store.recent_decisions(None, since=EPOCH, limit=10) == newest_first
    assert await store.recent_decisions(None, since=EPOCH, limit=4) == newest_first[:4]
    assert await store.recent_decisions(None, since=EPOCH, limit=0) == []
    replayed = await store.recorded_traffic(None, since=EPOCH, limit=5)
    assert [request.tenant_id for request in replayed] == [tenant.id for tenant in tenants]
    assert len(await store.decision_lines(None, DecisionFilter(since=EPOCH), limit=10)) == 5
    assert len(await store.traffic_by_tenant(since=EPOCH, until=TOMORROW)) == 5


# -- away


async def test_nobody_listening_is_unavailable_at_once_for_every_operation(store, tenant, project):
    await project.stop()
    began = time.monotonic()
    results = await asyncio.gather(*everything(store, tenant), return_exceptions=True)
    took = time.monotonic() - began
    await project.start()

    assert {type(result) for result in results} == {StoreUnavailable}
    assert took < 1
    assert await store.tenant(tenant.id) == tenant


async def test_a_project_that_does_not_answer_is_waited_for_briefly_and_asked_once(store, tenant, project):
    project.silent = True
    project.requests.clear()

    for operation, limit_s in ((store.identify("x"), 1), (store.tenant(tenant.id), 2)):
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await operation
        assert time.monotonic() - began < limit_s + 0.7

    assert len(project.requests) == 2


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 521])
async def test_a_gateway_that_fails_is_unavailable_and_asked_once(store, tenant, project, status):
    project.gateway = (status, "<html>busy</html>")
    project.requests.clear()

    for operation in (store.tenant(tenant.id), store.identify("x"), store.open()):
        with pytest.raises(StoreUnavailable):
            await operation

    assert len(project.requests) == 3


async def test_a_database_that_is_gone_behind_the_project_is_unavailable(store, tenant, databases, database):
    databases.drop(psycopg.conninfo.conninfo_to_dict(database)["dbname"])

    with pytest.raises(StoreUnavailable):
        await store.tenant(tenant.id)


# -- configuration


@pytest.mark.parametrize("key", ["sb_secret_of_another_project", "eyJhbGciOiJIUzI1NiJ9.e30.x"])
async def test_a_wrong_secret_key_is_told_at_start(project, key):
    store = SupabaseStore(project.url, key, clock=SystemClock())

    with pytest.raises(ConfigurationError, match="SUPABASE_SECRET_KEY") as refused:
        await store.open()

    assert key not in str(refused.value)
    await store.close()


async def test_a_key_that_is_revoked_while_it_serves_is_no_fault_of_its_callers(store, project):
    project.gateway = (401, '{"message": "Invalid API key", "hint": "Double check your API key."}')

    with pytest.raises(StoreUnavailable) as away:
        await store.identify("x")

    assert "SUPABASE" not in away.value.message


async def test_a_project_without_the_schema_is_told_at_start(blank, database):
    async with postgrest(blank) as project:
        store = SupabaseStore(project.url, SECRET_KEY, clock=SystemClock())
        with pytest.raises(ConfigurationError, match=r"supabase_schema\.sql in its SQL editor"):
            await store.open()
        await store.close()


async def test_a_schema_of_an_older_release_is_told_at_start_and_a_newer_one_will_do(store, sql):
    assert sql.value("select schema_version()") == SCHEMA_VERSION
    for version in (SCHEMA_VERSION + 1, SCHEMA_VERSION - 1):
        sql.owner(f"create or replace function schema_version() returns int language sql as 'select {version}'")
        if version > SCHEMA_VERSION:
            await store.open()
    with pytest.raises(ConfigurationError, match="older release"):
        await store.open()


async def test_an_address_of_something_else_is_told_at_start(project):
    store = SupabaseStore(f"{project.url}/dashboard", SECRET_KEY, clock=SystemClock())

    with pytest.raises(ConfigurationError, match=r"https://<project>\.supabase\.co"):
        await store.open()

    await store.close()


# -- changes


class Heard:
    """A listener that notes what it hears."""

    def __init__(self):
        self.events = []

    def settings_changed(self, _tenant_id, settings_version):
        self.events.append(settings_version)

    def key_changed(self, key_hash):
        self.events.append(key_hash)

    def reconnected(self):
        self.events.append("reconnected")


@pytest.fixture
async def heard(store, monkeypatch):
    monkeypatch.setattr("freerelay_core.store.supabase_changes._EVERY_S", 0.02)
    listener = Heard()
    task = asyncio.create_task(store.listen(listener))
    await until(lambda: listener.events)
    yield listener
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def answered(project, times=2):
    seen = len(project.requests)
    await until(lambda: len(project.requests) >= seen + times)


async def test_a_change_is_told_once_however_often_it_is_asked_for(store, tenant, heard, project):
    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")
    await until(lambda: 2 in heard.events)
    await answered(project, 5)

    assert heard.events == ["reconnected", 2]


async def test_a_change_by_a_transaction_that_ends_after_later_ones_is_not_passed_over(
    store, tenant, heard, project, database
):
    other = await store.create_tenant("bob@x", tier="free", allow_override=False)
    with psycopg.connect(database) as slow:
        slow.execute("update users set tier = 'gold' where id = %s", [tenant.id])
        for preference in (RoutingPreference.BALANCED, RoutingPreference.COST_OPTIMIZED):
            await store.set_routing_preference(other.id, preference, actor="x")
        await until(lambda: 3 in heard.events)
        await answered(project)
        assert heard.events == ["reconnected", 2, 3]
        slow.commit()

    await until(lambda: len(heard.events) == 4)
    assert heard.events[-1] == 2


async def test_after_an_absence_the_listener_is_told_and_hears_again(store, tenant, heard, project):
    await project.stop()
    with pytest.raises(StoreUnavailable):
        await store.ping()
    await asyncio.sleep(0.1)
    await project.start()
    await until(lambda: heard.events.count("reconnected") == 2)

    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")

    await until(lambda: heard.events[-1] == 2)


async def test_changes_of_an_hour_ago_are_swept(store, tenant, sql):
    await store.set_routing_preference(tenant.id, RoutingPreference.BALANCED, actor="x")
    sql.owner("update changes set at = now() - interval '61 minutes'")

    await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="x")

    assert sql.owner("select settings_version from changes") == [(3,)]


# -- the stand-in itself


async def test_the_stand_in_refuses_what_a_project_refuses(project, store, tenant):
    def headers(key):
        return {"apikey": key, "authorization": f"Bearer {key}"}

    async with httpx.AsyncClient(base_url=f"{project.url}/rest/v1", headers=headers(SECRET_KEY)) as client:
        for method in ("PATCH", "DELETE"):
            answer = await client.request(method, "/users", json={"tier": "gold"})
            assert (answer.status_code, answer.json()["code"]) == (400, "21000")
        assert (await client.get("/users", params={"email": "like.a*"})).status_code == 501
        assert (await client.get("/users", params={"nothing": "eq.1"})).json()["code"] == "42703"
        assert (await client.get("/nothing")).json()["code"] == "PGRST205"
        assert (await client.post("/rpc/nothing", json={})).json()["code"] == "PGRST202"
        anonymous = await client.get("/users", headers=headers(PUBLISHABLE_KEY))
        assert anonymous.json()["code"] == "42501"
        assert (await client.get("/users", headers={"authorization": "Bearer x"})).json()["code"] == "PGRST301"
        assert (await client.get("/users", headers={"apikey": new_key("live").secret})).status_code == 401
