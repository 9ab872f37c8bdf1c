"""The tenants page: listed, found, changed and added by the operator, and by nobody else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from freerelay_core.composition.accounts import OPERATOR
from freerelay_core.store import well_formed
from tests.store.helpers import decision

DEMO = "demo@freerelay.local"


def html(app: AppTest) -> str:
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def press(app: AppTest, label: str) -> AppTest:
    (button,) = (button for button in app.button if button.label == label)
    return button.click().run()


def add(app: AppTest, email: str, tier: str = "free") -> AppTest:
    app.text_input(key="new_email").set_value(email)
    app.selectbox(key="new_tier").set_value(tier)
    return press(app, "Add tenant and first key")


@pytest.fixture
def ann(running: Any) -> Any:
    """A tenant without a key."""
    accounts = running.application.accounts
    return running.run(accounts.create_tenant(OPERATOR, "ann@example.com", tier="silver", allow_override=False))


def stored(running: Any, tenant: Any) -> Any:
    return running.run(running.application.store.tenant(tenant.id))


def change(app: AppTest, tenant: Any, *, tier: str) -> AppTest:
    return app.selectbox(key=f"tier:{tenant.id}:{tenant.settings_version}").set_value(tier).run()


def test_every_tenant_is_listed_with_what_it_may_sent_and_spent(operator_reader: Any, running: Any, ann: Any) -> None:
    records = [decision(ann.id, cost_usd=2.25), decision(ann.id, cost_usd=2.5)]
    running.run(running.application.store.append_decisions(records))
    app = operator_reader.open("tenants")
    shown = html(app)
    assert "<strong>2\u00a0tenants</strong>" in shown
    assert "in the last 24 hours" in shown
    row = shown[shown.index(">ann@example.com<") :].partition("</tr>")[0]
    for cell in (">silver<", ">default (balanced)<", ">not allowed<", "24 h'>2<", ">$4.75<", ">never<"):
        assert cell in row, cell
    assert "were answered by simulated endpoints" in shown
    assert shown.index(">ann@example.com<") < shown.index(f">{DEMO}<"), "who spent most comes first"


def test_numbers_stand_to_the_right_with_their_heads(operator_reader: Any, ann: Any) -> None:
    shown = html(operator_reader.open("tenants"))
    heads = re.findall(r"<th scope='col' class='fr-number'>([^<]+)<", shown)
    assert heads == ["Requests, 24 h", "Cost, 24 h", "Budget a month", "Spent this month", "Left", "Forecast"]
    row = shown[shown.index(">ann@example.com<") :].partition("</tr>")[0]
    assert re.findall(r"<td class='fr-number' data-column='([^']+)'", row) == heads


def test_the_search_finds_and_stands_in_the_url(operator_reader: Any, ann: Any) -> None:
    app = operator_reader.open("tenants", search="ANN")
    assert ">ann@example.com<" in html(app)
    assert DEMO not in html(app)
    app = app.text_input(key="search").set_value("nob*dy").run()
    assert app.query_params["search"] == "nob*dy"
    assert app.info[0].value == "No tenant's address contains “nob\\*dy”."


def test_the_way_back_leads_to_the_tenant_and_the_search_of_before(operator_reader: Any, ann: Any) -> None:
    app = operator_reader.open("tenants")
    app = app.selectbox(key="tenant").set_value(ann.id).run()
    app = app.text_input(key="search").set_value("Nobody").run()
    assert (app.query_params["tenant"], app.query_params["search"]) == (ann.id, "Nobody")
    del app.query_params["search"]
    app = app.run()
    assert (app.selectbox(key="tenant").value, app.text_input(key="search").value) == (ann.id, "")
    assert f">{DEMO}<" in html(app)
    app.query_params.clear()
    app = app.run()
    assert app.selectbox(key="tenant").value is None
    assert "tenant" not in app.query_params


def test_a_change_is_confirmed_in_words_before_it_is_saved(operator_reader: Any, running: Any, ann: Any) -> None:
    app = change(operator_reader.open("tenants", tenant=ann.id), ann, tier="gold")
    assert any(
        "Saving changes tier **silver → gold**, from this tenant's next request on." in part.value
        for part in app.markdown
    )
    assert stored(running, ann) == ann, "choosing saves nothing"


def test_a_saved_change_is_in_force_and_in_the_tenants_history(operator_reader: Any, running: Any, ann: Any) -> None:
    key = running.run(running.application.accounts.create_key(OPERATOR, ann.id, name="x"))
    identify = running.application.identities.identify
    assert running.run(identify(key.secret)).tenant.tier == "silver"
    app = change(operator_reader.open("tenants", tenant=ann.id), ann, tier="gold")
    app = app.toggle(key=f"override:{ann.id}:1").set_value(True).run()
    app = press(app, "Save changes")
    assert "tier **gold**, override **allowed**" in app.success[0].value
    known = running.run(identify(key.secret)).tenant
    assert (known.tier, known.allow_override) == ("gold", True)
    history = running.run(running.application.store.settings_history(ann.id))
    assert {(each.field, each.actor) for each in history} == {("tier", "operator"), ("allow_override", "operator")}
    assert not [button for button in app.button if button.label == "Save changes"], "nothing is left to save"


def test_a_tenant_is_added_and_its_first_key_is_shown_once(operator_reader: Any, running: Any) -> None:
    app = add(operator_reader.open("tenants"), "Bob@Example.com", "gold")
    (code,) = app.code
    assert well_formed(code.value, "live")
    tenant = running.run(running.application.identities.identify(code.value)).tenant
    assert (tenant.email, tenant.tier, tenant.allow_override) == ("bob@example.com", "gold", False)
    assert app.selectbox(key="tenant").value == tenant.id
    assert ">bob@example.com<" in html(app)
    assert not press(app, "I have stored it").code


@pytest.mark.parametrize(("email", "why"), [("bob", "write it as name@example"), (DEMO, "exists")])
def test_what_cannot_be_added_is_refused_and_stays_in_the_form(
    operator_reader: Any, running: Any, email: str, why: str
) -> None:
    app = add(operator_reader.open("tenants"), email)
    assert why in app.error[0].value
    assert app.text_input(key="new_email").value == email
    assert not app.code
    assert len(running.run(running.application.accounts.tenants(OPERATOR))) == 1


def test_a_tenant_without_a_key_is_given_one(operator_reader: Any, running: Any, ann: Any) -> None:
    app = operator_reader.open("tenants", tenant=ann.id)
    assert any("has no key that works" in caption.value for caption in app.caption)
    app.text_input(key="key_label").set_value("first")
    app = press(app, "Create key")
    assert running.run(running.application.identities.identify(app.code[0].value)).tenant == ann
    assert "first <code>" in html(app)


@pytest.mark.parametrize("asked", ["0198c0de-0000-7000-8000-000000000000", "<script>", "", "x" * 500])
def test_a_url_that_names_no_tenant_falls_back_and_says_so(operator_reader: Any, asked: str) -> None:
    app = operator_reader.open("tenants", tenant=asked)
    assert "names a tenant that does not exist" in app.warning[0].value
    assert app.selectbox(key="tenant").value is None


def test_a_tenant_does_not_get_the_page(tenant_reader: Any, ann: Any) -> None:
    app = tenant_reader.open("tenants", tenant=ann.id)
    assert app.warning[0].value.startswith("**Tenants** is a page for the operator")
    assert "ann@example.com" not in html(app)
    assert not app.button


def test_an_operator_who_has_lost_the_role_changes_nothing(operator_reader: Any, running: Any, ann: Any) -> None:
    app = change(operator_reader.open("tenants", tenant=ann.id), ann, tier="gold")
    operator_reader.sign_in(running.demo_key)
    press(app, "Save changes")
    assert stored(running, ann) == ann


class TestOnAFreshDatabase:
    """Somebody's own PostgreSQL: no demo tenant, nothing in it, and the operator's key from the environment."""

    @pytest.fixture
    def database(self, databases: Any) -> Iterator[str]:
        yield databases.create("brought_along")
        databases.drop("brought_along")

    @pytest.fixture
    def demo(self) -> bool:
        return False

    def test_the_operator_enters_and_makes_the_first_tenant_which_then_signs_in(self, operator_reader: Any) -> None:
        app = operator_reader.open("tenants")
        assert "<strong>0\u00a0tenants</strong>" in html(app)
        app = add(app, "first@example.com")
        secret = app.code[0].value
        operator_reader.sign_in(secret)
        assert "first@example.com" in html(operator_reader.open("settings"))


def test_a_budget_is_set_and_cleared_and_stands_in_the_list(operator_reader: Any, running: Any, ann: Any) -> None:
    running.run(running.application.store.append_decisions([decision(ann.id, cost_usd=2.25)]))
    app = operator_reader.open("tenants", tenant=ann.id)
    app.number_input(key=f"budget:{ann.id}:1").set_value(50.0)
    app = press(app, "Save budget")
    assert "the budget is **\\$50\\.00** a month" in app.success[0].value
    assert stored(running, ann).budget_usd == 50.0
    row = html(app).rpartition(">ann@example.com<")[2].partition("</tr>")[0]
    for cell in (">$50.00<", ">$2.25<", ">$47.75<", ">too early<"):
        assert cell in row, cell
    assert "there is **no budget**" in press(app, "Take the budget away").success[0].value
    assert stored(running, ann).budget_usd is None


def test_a_generated_request_is_not_counted_as_answered_as_well(operator_reader: Any, running: Any, ann: Any) -> None:
    records = [decision(ann.id, demo=True), decision(ann.id, demo=True), decision(ann.id)]
    running.run(running.application.store.append_decisions(records))
    app = operator_reader.open("tenants")
    total, answered, demo = (
        int(re.search(pattern, html(app)).group(1).replace(",", ""))
        for pattern in (
            r"([\d,]+)\u00a0requests and ",
            r" ([\d,]+) were answered by simulated",
            r" and ([\d,]+) were generated",
        )
    )
    assert answered == 1
    assert answered + demo == total
