"""FreeRelay on a Supabase project: chosen by two variables, refused where they cannot be meant, and serving."""

from __future__ import annotations

import base64
import json

import pytest
from api_server import BODY, OPERATOR_KEY, running
from serving import eventually

from freerelay_core import behaviour
from freerelay_core.composition.keys import own_keys
from freerelay_core.config import load_settings
from freerelay_core.errors import ConfigurationError
from tests.store.helpers import Sql
from tests.store.postgrest import SECRET_KEY, postgrest_in_a_thread

URL = "https://abc.supabase.co"
VARIABLES = ("DATABASE_URL", "SUPABASE_URL", "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY")


def token(role):
    """A project's key in its older form."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256"}, {"iss": "supabase", "role": role})]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


@pytest.fixture
def environment(monkeypatch):
    """Sets the variables that name a database, and no others of them."""

    def set_to(**values):
        for variable in VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        for variable, value in values.items():
            monkeypatch.setenv(variable, value)

    return set_to


@pytest.mark.parametrize("variable", ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
@pytest.mark.parametrize("key", ["sb_secret_abc", token("service_role"), "an.opaque.key"])
def test_two_variables_choose_the_project_and_the_key_is_never_shown(environment, variable, key):
    environment(SUPABASE_URL=URL, **{variable: key})

    settings = load_settings()

    assert (settings.supabase_url, settings.local) == (URL, False)
    assert settings.supabase_secret_key.get_secret_value() == key
    assert key not in repr(settings)


def test_without_them_the_data_lies_in_the_home(environment):
    environment(SUPABASE_URL="", SUPABASE_SECRET_KEY="sb_secret_left_in_a_shell")

    assert load_settings().local


def test_two_databases_at_once_are_refused_saying_what_to_drop(environment):
    environment(SUPABASE_URL=URL, SUPABASE_SECRET_KEY="sb_secret_abc", DATABASE_URL="postgresql://localhost/x")

    with pytest.raises(ConfigurationError, match=r"Drop SUPABASE_URL .* or DATABASE_URL"):
        load_settings()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "set SUPABASE_SECRET_KEY"),
        ({"SUPABASE_SECRET_KEY": ""}, "set SUPABASE_SECRET_KEY"),
        ({"SUPABASE_SECRET_KEY": "sb_publishable_abc"}, "publishable"),
        ({"SUPABASE_SECRET_KEY": token("anon")}, "publishable"),
        ({"SUPABASE_SERVICE_ROLE_KEY": token("authenticated")}, "publishable"),
        ({"SUPABASE_SECRET_KEY": "sb_secret_abc", "SUPABASE_URL": "abc.supabase.co"}, "SUPABASE_URL"),
    ],
)
def test_a_project_without_a_fitting_key_or_address_is_refused(environment, values, message):
    environment(**{"SUPABASE_URL": URL} | values)

    with pytest.raises(ConfigurationError, match=message) as refused:
        load_settings()

    for secret in ("sb_publishable_abc", token("anon")):
        assert secret not in str(refused.value)


def test_the_operators_key_is_required_and_there_is_no_demo_tenant_unless_asked_for(environment, tmp_path):
    environment(SUPABASE_URL=URL, SUPABASE_SECRET_KEY="sb_secret_abc")

    with pytest.raises(ConfigurationError, match=r"With SUPABASE_URL .* FREERELAY_OPERATOR_KEY"):
        own_keys(load_settings(home=tmp_path))
    assert own_keys(load_settings(home=tmp_path, operator_key=OPERATOR_KEY)).demo_key is None
    assert own_keys(load_settings(home=tmp_path, operator_key=OPERATOR_KEY, demo=True)).demo_key


@pytest.fixture
def server(environment, database, tmp_path, monkeypatch):
    """The real application on a stand-in for a project; no simulated endpoint fails."""
    environment()
    monkeypatch.setattr(behaviour, "FAILURE_RATE", 0.0)
    monkeypatch.setattr(behaviour, "FREE_TIER_FAILURE_RATE", 0.0)
    with (
        postgrest_in_a_thread(database) as project,
        running(
            home=tmp_path,
            supabase_url=project.url,
            supabase_secret_key=SECRET_KEY,
            operator_key=OPERATOR_KEY,
            simulated_time_scale=0.01,
        ) as server,
    ):
        yield server


def test_a_tenant_on_supabase_is_served_by_its_preference_and_its_decisions_are_logged(server, database):
    sql = Sql(database)
    tenant, key = server.tenant()
    assert server.chat(BODY, key=key).headers["x-freerelay-preference"] == "balanced; level=default"

    with server.http(key) as client:
        assert client.post("/v1/tenant/settings", json={"routing_preference": "cost-optimized"}).status_code == 200
    answer = server.chat(BODY, key=key)
    assert (answer.status_code, answer.headers["x-freerelay-preference"]) == (200, "cost-optimized; level=tenant")
    assert server.decision(answer, key)["exponents"]["cost"] == 1.5

    eventually(lambda: sql.value("select count(*) from decisions where user_id = %s", tenant.id) == 2)
    assert sql.owner("select preference from decisions order by id") == [("balanced",), ("cost-optimized",)]
    assert sql.value("select old_value is null and new_value = 'cost-optimized' from settings_audit")
    assert server.run(server.application.store.decision(tenant.id, answer.headers["x-freerelay-decision-id"]))

    sql.owner("update users set routing_preference = 'performance-first'")  # by another worker, as it were
    eventually(lambda: "performance-first" in server.chat(key=key).headers["x-freerelay-preference"])

    (info,) = server.run(server.application.store.list_keys(tenant.id))
    sql.owner("update api_keys set revoked_at = now() where id = %s", info.id)
    eventually(lambda: server.chat(key=key).status_code == 401)
    assert server.run(server.application.store.tenant_by_email("demo@freerelay.local")) is None
    eventually(lambda: sql.value("select count(*) from published_snapshots") == 1)
    sql.close()
