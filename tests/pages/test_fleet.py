"""The fleet page: who serves and why others do not, for the operator and nobody else."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest


def html(app: AppTest) -> str:
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def hold(running: Any, name: str) -> None:
    """Let a provider ask us to wait for a minute."""
    fleet = running.application.fleet
    index = fleet.snapshot().endpoint_ids.index(name)

    async def wait() -> None:
        fleet.record(index, ok=False, rate_limited=True, retry_after_s=60)

    running.run(wait())


def endpoints(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["Endpoint"])


def test_all_endpoints_serve_and_are_listed_with_units(operator_reader: Any, running: Any) -> None:
    app = operator_reader.open("fleet")
    assert not app.exception
    number = len(running.application.catalogue.endpoints)
    assert f"<strong>{number} of {number}\u00a0endpoints</strong> serve live traffic" in html(app)
    assert len(endpoints(app)) == number
    assert not app.warning
    assert "First token p50, s" in app.dataframe[0].value


def test_an_endpoint_that_does_not_serve_stands_above_with_its_reason(operator_reader: Any, running: Any) -> None:
    name = running.application.catalogue.endpoints[0].id
    hold(running, name)
    app = operator_reader.open("fleet", state="cooling_down")
    assert any("It asked us to wait" in each.value and "Asked again in" in each.value for each in app.warning)
    assert name in endpoints(app)
    assert "asked us to wait." in html(app)


def test_filters_narrow_the_table_and_an_empty_one_says_so(operator_reader: Any) -> None:
    app = operator_reader.open("fleet")
    app.selectbox(key="provider").set_value("groq").run()
    assert {name.partition("/")[0] for name in endpoints(app)} == {"groq"}
    app.selectbox(key="state").set_value("breaker_open").run()
    assert "No endpoint is of this provider" in app.info[0].value


def test_filters_in_the_url_that_cannot_be_used_are_named_in_one_line(operator_reader: Any, running: Any) -> None:
    app = operator_reader.open("fleet", provider="nope](x)" + "a" * 500, state="foo")
    (warning,) = app.warning
    assert warning.value.replace("\\", "") == (
        f"Not usable in this link, so left out: provider=nope](x){'a' * 52}; state=foo."
    )
    assert "](" not in warning.value
    assert len(endpoints(app)) == len(running.application.catalogue.endpoints)


def test_only_the_filter_that_cannot_be_used_is_left_out(operator_reader: Any) -> None:
    app = operator_reader.open("fleet", provider="groq", state="foo")
    assert [each.value.replace("\\", "") for each in app.warning] == [
        "Not usable in this link, so left out: state=foo."
    ]
    assert {name.partition("/")[0] for name in endpoints(app)} == {"groq"}


@pytest.mark.parametrize("state", ["cooling_down", "asked us to wait"], ids=["id", "words of older links"])
def test_filters_in_the_url_that_can_be_used_are_used_without_a_word(
    operator_reader: Any, running: Any, state: str
) -> None:
    held, other = (each.id for each in running.application.catalogue.endpoints[:2])
    hold(running, held)
    app = operator_reader.open("fleet", provider=held.partition("/")[0], state=state)
    assert held in endpoints(app)
    assert other not in endpoints(app)
    assert not [each for each in app.warning if "link" in each.value]
    assert app.query_params["state"] == "cooling_down"


def test_the_link_holds_the_id_of_the_chosen_state_and_the_page_its_words(operator_reader: Any) -> None:
    app = operator_reader.open("fleet")
    assert "state" not in app.query_params
    choice = app.selectbox(key="state")
    assert "quota used up" in choice.options
    choice.set_value("quota_gone").run()
    assert app.query_params["state"] == "quota_gone"
    assert operator_reader.open("fleet", state="quota_gone").selectbox(key="state").value == "quota_gone"
    app.selectbox(key="state").set_value("all").run()
    assert "state" not in app.query_params


def test_the_quotas_of_the_chosen_endpoints_are_listed_the_tightest_first(operator_reader: Any, running: Any) -> None:
    application = running.application
    index = next(n for n, each in enumerate(application.catalogue.endpoints) if each.limits.rpd)
    endpoint = application.catalogue.endpoints[index]

    async def use() -> None:
        assert application.fleet.admit(index) is not None

    running.run(use())
    app = operator_reader.open("fleet", provider=endpoint.provider)
    quotas = app.dataframe[1].value
    first = quotas.iloc[0]
    assert (first["Quota group"], first["Used"], first["Known from"]) == (endpoint.quota_group, 1, "our count")
    assert set(quotas["Limit"]) <= {"requests a minute", "tokens a minute", "requests a day", "tokens a day"}
    assert list(quotas["Left, %"]) == sorted(quotas["Left, %"])


def test_limits_have_separators_between_thousands(operator_reader: Any) -> None:
    columns = json.loads(operator_reader.open("fleet").dataframe[1].proto.columns)
    assert {columns[name]["type_config"]["format"] for name in ("Allowed", "Used", "Left")} == {"%,d"}


def test_the_catalogue_pace_says_why_the_list_of_the_catalogue_differs(operator_reader: Any) -> None:
    app = operator_reader.open("fleet")
    (column,) = (each for name, each in json.loads(app.dataframe[0].proto.columns).items() if "Catalogue" in name)
    for said in (column["help"], html(app)):
        assert "A prior enters at the slow end of its interval, while freerelay catalogue list shows" in said


def test_endpoints_without_limits_have_no_table_of_quotas(operator_reader: Any, running: Any) -> None:
    limited = {each.provider for each in running.application.catalogue.endpoints if any(vars_of(each.limits))}
    free = next(each.provider for each in running.application.catalogue.endpoints if each.provider not in limited)
    app = operator_reader.open("fleet", provider=free)
    assert len(app.dataframe) == 1
    assert any("None of these endpoints has a known limit" in each.value for each in app.markdown)


def vars_of(limits: Any) -> list[Any]:
    return [limits.rpm, limits.tpm, limits.rpd, limits.tpd]


def test_a_tenant_does_not_get_the_page(tenant_reader: Any) -> None:
    app = tenant_reader.open("fleet")
    assert app.warning[0].value.startswith("**Fleet** is a page for the operator")
    assert not app.dataframe
