"""A tenant's settings: read, saved, refused, and never another tenant's."""

from __future__ import annotations

import uuid

import pytest
from api_server import BODY, OPERATOR_KEY

PATH = "/v1/tenant/settings"


@pytest.fixture
def tenant(server):
    made, key = server.tenant()
    with server.http(key) as client:
        client.tenant = made
        yield client


def save(client, **body):
    return client.post(PATH, json=body)


def test_a_tenant_that_never_chose_has_the_default(tenant):
    answer = tenant.get(PATH)
    assert answer.status_code == 200
    shown = answer.json()
    assert shown.pop("updated_at")
    assert shown.pop("budget")["budget_usd"] is None
    assert shown == {
        "success": True,
        "routing_preference": "balanced",
        "effective": {"value": "balanced", "level": "default", "rule": None},
        "settings_version": tenant.tenant.settings_version,
    }


def test_what_is_saved_is_read_back_and_in_force(tenant):
    saved = save(tenant, routing_preference="cost-optimized")
    assert saved.status_code == 200
    assert saved.json()["effective"] == {"value": "cost-optimized", "level": "tenant", "rule": None}
    assert saved.json()["settings_version"] > tenant.tenant.settings_version
    again = tenant.get(PATH).json()
    assert {**again, "budget": None} == {**saved.json(), "budget": None}


def test_null_takes_the_choice_back_and_the_default_decides(server, tenant):
    save(tenant, routing_preference="cost-optimized")
    back = save(tenant, routing_preference=None)
    assert back.status_code == 200
    shown = tenant.get(PATH).json()
    assert shown["routing_preference"] == "balanced"
    assert shown["effective"] == {"value": "balanced", "level": "default", "rule": None}
    assert shown["settings_version"] == back.json()["settings_version"]
    asked = tenant.post("/v1/router/decide", json=BODY)
    assert asked.json()["preference"]["level"] == "default"
    change, _ = server.run(server.application.store.settings_history(tenant.tenant.id))
    assert (change.old_value, change.new_value) == ("cost-optimized", None)


def test_null_on_a_stale_version_conflicts_and_changes_nothing(tenant):
    version = tenant.tenant.settings_version
    save(tenant, routing_preference="cost-optimized")
    stale = save(tenant, routing_preference=None, settings_version=version)
    assert stale.status_code == 409
    assert tenant.get(PATH).json()["effective"]["level"] == "tenant"


def test_a_change_is_audited_with_the_key_that_made_it(server, tenant):
    save(tenant, routing_preference="performance-first")
    (change,) = server.run(server.application.store.settings_history(tenant.tenant.id))
    assert (change.old_value, change.new_value) == (None, "performance-first")
    assert change.actor.startswith("key:")


def test_a_save_on_a_stale_version_conflicts_and_changes_nothing(tenant):
    version = tenant.tenant.settings_version
    assert save(tenant, routing_preference="cost-optimized", settings_version=version).status_code == 200
    stale = save(tenant, routing_preference="performance-first", settings_version=version)
    assert stale.status_code == 409
    assert stale.json()["error"]["message"].endswith("Read them again, then save.")
    assert tenant.get(PATH).json()["routing_preference"] == "cost-optimized"


@pytest.mark.parametrize(
    ("wanted", "stored"), [("cost-optimized", "already cost-optimized"), (None, "the default already")]
)
def test_a_stale_save_of_what_is_stored_conflicts_and_says_that_nothing_needs_saving(tenant, wanted, stored):
    version = tenant.tenant.settings_version
    save(tenant, routing_preference="cost-optimized")
    now = save(tenant, routing_preference=wanted).json()["settings_version"]
    stale = save(tenant, routing_preference=wanted, settings_version=version)
    error = stale.json()["error"]
    assert (stale.status_code, error["code"], error["param"]) == (409, "settings_changed", "settings_version")
    assert error["message"] == (
        f"The settings changed meanwhile, to version {now}, not {version}, and the stored preference is {stored}: "
        "there is nothing to save."
    )
    assert tenant.get(PATH).json()["settings_version"] == now


@pytest.mark.parametrize(
    ("body", "param", "words"),
    [
        ({"routing_preference": "turbo"}, "routing_preference", "cost-optimized, balanced, performance-first"),
        ({"routing_preference": ["balanced"]}, "routing_preference", "cost-optimized, balanced, performance-first"),
        ({}, "routing_preference", "is missing; it must be one of cost-optimized, balanced, performance-first"),
        ({"routing_preference": "balanced", "tier": "gold"}, "tier", "not known"),
        ({"routing_preference": "balanced", "allow_override": True}, "allow_override", "not known"),
        ({"rooting_preference": "balanced"}, "rooting_preference", "Did you mean routing_preference?"),
        ({"routingPreference": "balanced"}, "routingPreference", "Did you mean routing_preference?"),
        ({"colour": 1}, "colour", "The fields are routing_preference, settings_version."),
        ({"routing_preference_1": "balanced"}, None, "not known. The fields are routing_preference"),
        ({"zqXkvWmLpRtB": 1}, None, "not known. The fields are routing_preference"),
        ({"a" * 41: 1}, None, "not known. The fields are routing_preference"),
        ({"a" * 1_000_000: 1}, None, "not known. The fields are routing_preference"),
        ({"routing_preference": "balanced", "settings_version": "1"}, "settings_version", "must be a whole number"),
        ({"routing_preference": "balanced", "settings_version": 1.5}, "settings_version", "must be a whole number"),
        ({"routing_preference": "balanced", "settings_version": 2**63}, "settings_version", "must be a whole number"),
    ],
)
def test_what_is_no_settings_change_is_refused(tenant, body, param, words):
    answer = save(tenant, **body)
    error = answer.json()["error"]
    assert (answer.status_code, error["param"]) == (422, param)
    assert words in error["message"]
    kept = {"turbo"} if param else set(body)
    assert not any(sent in error["message"].split() for sent in kept), "it may be a secret in the wrong place"
    assert tenant.get(PATH).json()["settings_version"] == tenant.tenant.settings_version


def test_the_operator_has_no_settings(server):
    with server.http(OPERATOR_KEY) as client:
        for answer in (client.get(PATH), save(client, routing_preference="balanced")):
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "operator_key_not_allowed")


def test_one_tenant_s_change_leaves_the_other_as_it_was(server, tenant):
    _, other = server.tenant()
    save(tenant, routing_preference="cost-optimized")
    with server.http(other) as client:
        assert client.get(PATH).json()["routing_preference"] == "balanced"


def test_settings_of_a_tenant_without_row_are_not_found(server):
    from freerelay_core.errors import NotFound

    absent = str(uuid.uuid4())
    with pytest.raises(NotFound):
        server.run(server.application.settings_view(absent))
    with pytest.raises(NotFound):
        server.run(server.application.set_preference(absent, "balanced", actor="test"))
