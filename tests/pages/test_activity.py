"""Activity: decisions listed by filters, and one opened to its ranking, attempts and expectations."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from builders import logged_decision

from freerelay_core.clock import SystemClock
from freerelay_core.store import DecisionRecord


class LaterClock(SystemClock):
    """Eleven minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=11)


TRIED_TWICE = ({"endpoint": "a/b", "error": "status 500"}, {"endpoint": "c/d", "status": 200, "duration_s": 1.5})


@pytest.fixture
def tenant(running, reader) -> str:
    tenant_id, key = running.new_tenant()
    reader.sign_in(key)
    return tenant_id


def send(running, tenant_id: str, **outcome) -> DecisionRecord:
    application = running.application
    record = logged_decision(application.clock, tenant_id, **outcome)
    running.run(application.store.append_decisions([record]))
    return record


def texts(page) -> str:
    assert not page.exception
    parts = [*page.header, *page.subheader, *page.markdown, *page.caption, *page.warning]
    return "\n".join(part.value for part in parts).replace("\xa0", " ")


def said(page) -> str:
    return "\n".join(part.value for part in [*page.success, *page.error]).replace("\xa0", " ")


def listed(page) -> list[str]:
    """Endpoints in the list."""
    return list(page.dataframe[0].value["Endpoint"])


def shown_as(frame, label: str) -> str:
    """The format of a column's numbers."""
    return json.loads(frame.proto.columns)[label]["type_config"]["format"]


def test_an_empty_list_says_what_to_do(reader, tenant):
    assert "send a request" in texts(reader.open("activity"))


def test_decisions_are_listed_newest_first_and_filtered_by_the_url(running, reader, tenant):
    send(running, tenant, endpoint="first/m")
    send(running, tenant, endpoint=None, status=502)
    send(running, tenant, endpoint="third/m", attempts=TRIED_TWICE)
    assert listed(reader.open("activity")) == ["third/m", "nobody", "first/m"]
    assert "3 decisions, 1 failed" in texts(reader.open("activity"))
    assert listed(reader.open("activity", status="failed")) == ["nobody"]
    assert listed(reader.open("activity", status="failed over")) == ["third/m"]
    assert "Nothing matches" in texts(reader.open("activity", family="vision"))


def test_times_are_listed_to_the_second_so_that_rows_of_one_minute_differ(running, reader, tenant):
    record = send(running, tenant)
    table = reader.open("activity").dataframe[0].value
    assert f"{record.created_at:%H:%M:%S}" in table["Arrived, UTC"][0]


def test_a_cost_of_nothing_is_shown_as_0(running, reader, tenant):
    send(running, tenant, cost_usd=0.0)
    frame = reader.open("activity").dataframe[0]
    assert frame.value["Cost, USD"][0] == 0.0
    assert shown_as(frame, "Cost, USD") == "%.3g"  # of which 0 is "0"


def test_nothing_is_chosen_to_be_opened_before_somebody_chooses(running, reader, tenant):
    record = send(running, tenant)
    choice = reader.open("activity").selectbox(key="open")
    assert (choice.value, choice.placeholder, len(choice.options)) == (None, "Choose one", 1)
    page = choice.set_value(record.id).run()
    assert page.query_params["decision"] == record.id


def test_a_filter_that_cannot_be_used_is_said_to_be_left_out(running, reader, tenant):
    send(running, tenant, endpoint="first/m")
    page = reader.open("activity", status="nonsense", range="2 years", endpoint="<b>*x*</b>")
    assert r"range=2 years; status=nonsense; endpoint=\<b\>\*x\*" in page.warning[0].value
    assert listed(page) == ["first/m"]


def test_it_rests_after_ten_minutes_and_goes_on_when_asked(running, reader, tenant, monkeypatch):
    page = reader.open("activity")
    assert "then it rests" not in texts(page)
    monkeypatch.setattr(running.application, "clock", LaterClock())
    assert "then it rests" in texts(page.run())
    assert "then it rests" not in texts(page.toggle[0].set_value(False).run())
    assert "then it rests" not in texts(page.toggle[0].set_value(True).run())


def test_one_is_opened_with_its_ranking_attempts_and_expectations(running, reader, tenant):
    record = send(running, tenant, endpoint="c/d", attempts=TRIED_TWICE, cost_usd=0.5)
    page = reader.open("activity", decision=record.id)
    assert r"c/d answered in 1\.5 s for \$0\.50" in texts(page)
    expected, ranking, attempts, excluded = (frame.value for frame in page.dataframe)
    cost = expected[expected["Figure"] == "Cost, USD"].iloc[0]
    assert (cost["Expected"], cost["Actual"]) == (0.2, 0.5)
    assert list(ranking["Endpoint"]) == ["a/b", "c/d"]
    assert list(ranking["cost"]) == [-0.5, -1.0]
    assert list(attempts["What went wrong"]) == ["status 500", "nothing"]
    assert list(excluded["Reason"]) == ["no_tools"]
    assert "the same order" not in said(page)
    page.button[0].click().run()
    assert "the same order of 2 endpoints, and every score equal to the last bit" in said(page)
    assert "No text of the request or the answer is stored" in texts(page).replace("\\", "")


def test_an_attempt_whose_answer_a_limit_ended_says_so(running, reader, tenant):
    cut = ({"endpoint": "a/b", "error": "timed out"}, {"endpoint": "c/d", "status": 200, "cut_off": True})
    record = send(running, tenant, endpoint="c/d", attempts=cut)
    attempts = reader.open("activity", decision=record.id).dataframe[2].value
    assert list(attempts["What went wrong"]) == ["timed out", "a limit cut the answer off"]


def test_a_generated_decision_is_called_so_throughout(running, reader, tenant):
    record = logged_decision(running.application.clock, tenant)
    generated = record._replace(demo=True, outcome=record.outcome._replace(basis="simulated"))
    running.run(running.application.store.append_decisions([generated]))
    shown = texts(reader.open("activity", decision=generated.id)).replace("\\", "")
    assert "Demo data: generated, nobody sent it." in shown
    assert "Outcome: generated" in shown
    assert "imulated" not in shown.replace("Simulated. Every endpoint", "")


@pytest.mark.parametrize(
    ("status", "cost_usd", "says"),
    [
        (499, 0.5, r"The client left after 1\.5 s, while c/d worked; what had come cost \$0\.50"),
        (499, None, r"The client left after 1\.5 s, while c/d worked"),
        (400, None, r"c/d refused the request \(status 400\)"),
        (502, None, r"The answer of c/d broke off after 1\.5 s \(status 502\)"),
    ],
)
def test_nobody_is_said_to_have_answered_who_did_not(running, reader, tenant, status, cost_usd, says):
    record = send(running, tenant, endpoint="c/d", status=status, cost_usd=cost_usd)
    page = reader.open("activity", decision=record.id)
    assert page.header[0].value.replace("\xa0", " ") == says


def test_durations_are_shown_to_the_millisecond(running, reader, tenant):
    record = send(running, tenant, endpoint="c/d", duration_s=1.880243, first_token_s=0.290596)
    expected = reader.open("activity", decision=record.id).dataframe[0].value.set_index("Figure")
    assert list(expected.loc[["Duration, s", "First token, s"], "Actual"]) == [1.88, 0.291]


def test_what_the_rules_did_is_said(running, reader, tenant):
    required = {"rule": "eu", "action": "require", "value": ["c/*"], "fallback": "any", "dropped": True}
    record = logged_decision(running.application.clock, tenant)._replace(
        rules=("eu", "cool"),
        actions=(required, {"rule": "cool", "action": "set_temperature", "value": 0}),
    )
    running.run(running.application.store.append_decisions([record]))
    shown = texts(reader.open("activity", decision=record.id)).replace("\\", "")
    assert "eu: require c/* (dropped: nothing left met it); cool: set_temperature 0." in shown


def test_a_request_for_several_limited_answers_is_simulated_as_one(running, reader, tenant):
    record = logged_decision(running.application.clock, tenant)
    several = record._replace(profile={**record.profile, "answers": 4, "answer_limit": 90})
    running.run(running.application.store.append_decisions([several]))
    links = reader.open("activity", decision=several.id).get("page_link")
    (query,) = (link.proto.query_string for link in links if link.proto.label == "Simulate this one")
    assert {"n=4", "limit=90"} <= set(query.split("&"))


def test_an_exploration_is_said_with_its_chance(running, reader, tenant):
    record = logged_decision(running.application.clock, tenant)._replace(explored=True, propensity=0.005)
    running.run(running.application.store.append_decisions([record]))
    shown = texts(reader.open("activity", decision=record.id))
    assert "was tried first, to learn of it (chance 0.5" in shown.replace("\\", "")


@pytest.mark.parametrize(
    ("log_factors", "fault"), [((-1.0, -0.5), "another order"), ((-0.5, -1.0 - 2**-52), "other scores")]
)
def test_a_log_that_contradicts_itself_is_called_a_fault(running, reader, tenant, log_factors, fault):
    record = logged_decision(running.application.clock, tenant)
    wrong = dict.fromkeys(record.log_factors, log_factors)
    running.run(running.application.store.append_decisions([record._replace(log_factors=wrong)]))
    page = reader.open("activity", decision=record.id)
    page.button[0].click().run()
    assert f"{fault}. This is a fault" in said(page)


@pytest.mark.parametrize("identifier", ["01a21381-ebe3-7cea-81da-200f4055f1a6", "x", "' or 1=1"])
def test_an_unknown_decision_is_named_so(reader, tenant, identifier):
    assert "There is no such decision" in texts(reader.open("activity", decision=identifier))


def test_the_operator_sees_whose_they_are(running, operator_reader):
    tenant_id, _ = running.new_tenant()
    send(running, tenant_id)
    page = operator_reader.open("activity")
    assert page.dataframe[0].value["Tenant"][0].endswith("@example.com")
