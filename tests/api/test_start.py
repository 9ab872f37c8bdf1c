"""What a start makes, refuses and lives through: databases that are late, away or somebody else's."""

from __future__ import annotations

import stat

import pytest
from api_server import BODY, OPERATOR_KEY, running
from serving import eventually

from freerelay_core.clock import SystemClock
from freerelay_core.composition import Application, current
from freerelay_core.composition.beside import DEMO_EMAIL
from freerelay_core.config import load_settings
from freerelay_core.errors import ConfigurationError, Unavailable
from freerelay_core.preference import RoutingPreference
from freerelay_core.store import PostgresStore
from freerelay_core.store.embedded import acquire_database

LOCAL = {"simulated_time_scale": 0.01, "drain_s": 1.0}


def test_a_local_start_makes_everything_it_needs_and_leaves_nothing_running(short_folder):
    home = short_folder / "home"
    with running(home=home, **LOCAL) as server:
        assert server.chat().status_code == 200
        assert server.application.loop.is_running()
        credentials = home / "credentials"
        assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
        assert server.key in credentials.read_text()
        key = server.key
    with pytest.raises(Unavailable):
        current()
    assert not (home / "connection.json").exists()
    with running(home=home, **LOCAL) as server:
        assert server.key == key
        assert server.chat().status_code == 200


def test_a_guest_uses_the_database_of_its_host_and_leaves_it_running(short_folder):
    home = short_folder / "home"
    with acquire_database(home, require_ownership=True) as host:
        with running(home=home, **LOCAL) as server:
            assert server.chat().status_code == 200
        assert host.alive()


def test_a_database_that_this_process_owns_is_started_again_when_it_dies(short_folder):
    import psutil

    home = short_folder / "home"
    with running(home=home, **LOCAL) as server:
        assert server.chat().status_code == 200
        pid = int((home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])
        psutil.Process(pid).kill()
        assert server.chat().status_code == 200  # a known key needs no database
        with server.http() as client:
            eventually(lambda: client.post("/v1/tenant/settings", json={"routing_preference": "balanced"}).is_success)


def test_with_a_database_of_the_operator_there_is_no_demo_tenant_unless_asked_for(start):
    with start(demo=False) as server:
        assert server.application.demo_key is None
        assert server.run(server.application.store.tenant_by_email("demo@freerelay.local")) is None
        _, key = server.tenant()
        assert server.chat(key=key).status_code == 200


@pytest.mark.parametrize("key", [None, "short"])
def test_a_missing_or_short_operator_key_is_refused(database, tmp_path, key):
    with (
        pytest.raises(ConfigurationError, match="FREERELAY_OPERATOR_KEY"),
        running(home=tmp_path, database_url=database, operator_key=key, **LOCAL),
    ):
        pass
    with pytest.raises(Unavailable):
        current()


@pytest.mark.anyio
async def test_one_application_a_process(database, tmp_path):
    settings = load_settings(home=tmp_path, database_url=database, operator_key=OPERATOR_KEY)
    application = await Application.start(settings, environment={})
    try:
        with pytest.raises(RuntimeError):
            await Application.start(settings, environment={})
        assert current() is application
    finally:
        await application.stop()


def test_a_database_that_is_late_delays_readiness_only(databases, tmp_path):
    dsn = databases.create("late")
    databases.drop("late")
    options = {"home": tmp_path, "database_url": dsn, "operator_key": OPERATOR_KEY, "demo": True}
    with running(**options, **LOCAL) as server, server.http() as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        waiting = client.post("/v1/chat/completions", json=BODY)
        assert (waiting.status_code, waiting.json()["error"]["type"]) == (503, "service_unavailable")
        assert waiting.headers["retry-after"]
        databases.create("late")
        eventually(lambda: client.get("/readyz").status_code == 200)
        assert server.chat().status_code == 200
    databases.drop("late")


def test_a_database_that_goes_away_is_lived_through(short_folder, tmp_path):
    lease = acquire_database(short_folder / "home", require_ownership=True)
    options = {"home": tmp_path, "database_url": lease.dsn, "operator_key": OPERATOR_KEY, "demo": True}
    with running(**options, **LOCAL) as server:
        _, unseen = server.tenant()
        assert server.chat().status_code == 200
        lease.release()
        assert server.chat().status_code == 200
        unknown = server.chat(key=unseen)
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (503, "store_unavailable")
        assert unknown.headers["retry-after"]
        with server.http() as client:
            assert client.post("/v1/tenant/settings", json={"routing_preference": "balanced"}).status_code == 503
            assert client.get("/readyz").status_code == 200
            form = client.post("/session", data={"api_key": server.key, "next": "/"})
            assert form.headers["location"] == "/?sign_in=unavailable"
        lease = acquire_database(short_folder / "home", require_ownership=True)
        eventually(lambda: server.application.decision_log.pending == 0)
        assert server.application.decision_log.dropped == 0
    lease.release()


@pytest.fixture
def started(start):
    with start() as server:
        yield server


def test_a_change_by_another_worker_is_heard(started):
    tenant, key = started.tenant()
    assert started.chat(key=key).headers["x-freerelay-preference"] == "balanced; level=default"

    async def change_elsewhere():
        store = PostgresStore(started.application.settings.database_url.get_secret_value(), clock=SystemClock())
        await store.open()
        await store.set_routing_preference(tenant.id, RoutingPreference.COST_OPTIMIZED, actor="another worker")
        await store.close()

    started.run(change_elsewhere())
    eventually(lambda: "cost-optimized" in started.chat(key=key).headers["x-freerelay-preference"])


def test_the_fleet_s_snapshot_is_published(started):
    store = started.application.store
    eventually(lambda: started.run(store.latest_snapshot()) is not None)
    published = started.run(store.latest_snapshot())
    assert published.id.rpartition("-")[0] == started.application.fleet.snapshot().id.rpartition("-")[0]


RULES = """
rules:
  - name: cheap-by-night
    when: 'tier == "free"'
    routing_preference: cost-optimized
"""


def test_a_rule_for_a_tenant_decides_above_its_own_preference_and_is_named(start, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(RULES)
    with start(rules=rules) as server:
        _, key = server.tenant()
        with server.http(key) as client:
            saved = client.post("/v1/tenant/settings", json={"routing_preference": "performance-first"}).json()
        assert saved["routing_preference"] == "performance-first"
        assert saved["effective"] == {"value": "cost-optimized", "level": "rule", "rule": "cheap-by-night"}
        chosen = server.chat(key=key).headers["x-freerelay-preference"]
        assert chosen == "cost-optimized; level=rule; rule=cheap-by-night"


def test_an_edited_rules_file_takes_effect_and_a_wrong_one_changes_nothing(start, tmp_path, caplog):
    rules = tmp_path / "rules.yaml"
    rules.write_text("rules: [{name: first, exclude: ['groq/*'], set_temperature: 0}]")
    with start(rules=rules) as server:

        def fired():
            answer = server.chat()
            assert answer.status_code == 200, answer.text
            return server.decision(answer)

        assert fired()["actions"] == [
            {"rule": "first", "action": "set_temperature", "value": 0},
            {"rule": "first", "action": "exclude", "value": ["groq/*"]},
        ]
        rules.write_text("rules:\n  - name: wrong\n    exclude: ['nobody/*']\n")
        eventually(lambda: "rules.yaml:3: rule 'wrong'" in caplog.text)
        assert fired()["rules"] == ["first"]
        rules.write_text("rules: [{name: second, require: ['groq/*'], max_cost_usd: 1.0e-12, fallback: none}]")

        def refused():
            answer = server.chat()
            return answer.status_code == 503 and "more than rule second allows" in answer.json()["error"]["message"]

        eventually(refused)


def test_a_limit_of_a_tenant_that_does_not_exist_is_warned_of_once(start, caplog):
    demo = DEMO_EMAIL.title()
    with start(tenant_rpm=f"600,{demo}=700,Nobody@example.com=5", tenant_concurrency="no@example.com=3") as server:
        eventually(lambda: "no@example.com" in caplog.text)
        assert server.chat().headers["x-ratelimit-limit-requests"] == "700"
    said = [record.getMessage() for record in caplog.records if "address" in record.getMessage()]
    assert said == [
        "FREERELAY_TENANT_RPM names nobody@example.com, and no tenant has this address now",
        "FREERELAY_TENANT_CONCURRENCY names no@example.com, and no tenant has this address now",
    ]
