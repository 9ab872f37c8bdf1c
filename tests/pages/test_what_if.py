"""What-if: the scenario is edited, kept and run on recorded traffic; what is not for a page's reader is refused."""

from __future__ import annotations

import pytest
from builders import NOON, endpoint, logged_decision, request, snapshot

from freerelay_core.policy import NO_POLICY
from freerelay_core.preference import DEFAULT_PREFERENCE, EffectivePreference, RoutingPreference
from freerelay_core.reports import report_of_what_if
from freerelay_core.simulation import World, read_scenario, read_trace, recorded_traffic, traffic_of_trace, what_if
from freerelay_core.store import RecordedRequest
from pages import _what_if_job as jobs
from pages._what_if_view import Answer, figures_table, headline, sentence

RISE = {"name": "Prices rise", "changes": [{"price": {"endpoints": "deepseek/*", "times": 3.0}}]}


@pytest.fixture
def operator(operator_reader):
    return operator_reader


@pytest.fixture(autouse=True)
def no_jobs():
    jobs.JOBS._jobs.clear()  # of other tests
    yield
    for job in list(jobs.JOBS._jobs.values()):
        job.cancel()
    jobs.JOBS._jobs.clear()


def plain(text: str) -> str:
    """Text without the escapes of Markdown, with ordinary spaces."""
    return text.replace("\\", "").replace("\u00a0", " ")


def texts(page) -> str:
    parts = [*page.markdown, *page.header, *page.subheader, *page.warning, *page.error, *page.caption]
    return "\n".join(part.value for part in parts)


def finished(page):
    """The page once its job has ended."""
    assert jobs.JOBS.get(jobs.OWNER, page.query_params["job"]).wait(30)
    return page.run()


def test_without_a_job_it_says_what_to_do(operator):
    page = operator.open("what-if")
    assert "What would a change do to everybody?" in texts(page)
    assert "Nothing changes yet" in texts(page)


def test_a_scenario_is_added_to_saved_run_and_opened_by_its_link(running, operator):
    for _ in range(2):
        tenant_id, _ = running.new_tenant()
        running.run(
            running.application.store.append_decisions(
                [logged_decision(running.application.clock, tenant_id) for _ in range(3)]
            )
        )
    page = operator.open("what-if")
    page.text_input(key="what_if_name").set_value("Prices rise").run()
    page.selectbox(key="change_kind").set_value("Price")
    page.selectbox(key="change_endpoints").set_value("deepseek/*")
    page.number_input(key="change_times").set_value(3.0)
    page.button(key="change_add").click().run()
    assert r"deepseek/\* costs 3 times as much" in texts(page)
    page.button(key="what_if_save").click().run()
    (saved,) = running.run(running.application.store.scenarios())
    assert read_scenario(saved.body) == read_scenario(RISE)
    assert page.query_params["scenario"] == saved.id

    page.button(key="what_if_run").click().run()
    page = finished(page)
    assert r"Prices rise\: " in texts(page)
    assert "6 recorded requests of the last 7 days" in texts(page)
    job_id = page.query_params["job"]

    other = operator.open("what-if", job=job_id, scenario=saved.id)
    assert r"Prices rise\: " in texts(other)
    assert r"deepseek/\* costs 3 times as much" in texts(other)
    assert r"deepseek/\* costs 3 times as much" in texts(operator.open("what-if", job=job_id)), (
        "its scenario comes along"
    )


def test_a_change_can_be_removed_again(running, operator):
    saved = running.run(running.application.store.save_scenario(RISE["name"], RISE))
    page = operator.open("what-if", scenario=saved.id)
    page.button(key="remove_change_0").click().run()
    assert "Nothing changes yet" in texts(page)
    page.button(key="what_if_delete").click().run()
    assert running.run(running.application.store.scenarios()) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "changes: [{outage: 1}]",
            r"scenario\:1\: change 1\: outage\: there is no field of that name",
        ),
        ("changes: [", r"scenario\:1\: is not YAML\: a value is missing"),
        ("changes:\n- withdraw: {endpoints: 'grok/*'}", "matches no endpoint of the catalogue; did you mean 'groq/"),
        (
            "changes:\n- rules:\n  - name: r\n    when: hour = 6\n    exclude: ['groq/*']",
            r"scenario\:4\: change 1\: r",
        ),
    ],
)
def test_yaml_that_cannot_be_meant_is_refused_as_soon_as_it_is_entered_and_nothing_is_lost(
    running, operator, text, said
):
    saved = running.run(running.application.store.save_scenario(RISE["name"], RISE))
    page = operator.open("what-if", scenario=saved.id)
    page.text_area[0].set_value(text).run()
    assert said in page.error[0].value
    page.button(key="what_if_take_over").click().run()
    assert said in page.error[0].value
    assert r"deepseek/\* costs 3 times as much" in texts(page)


def test_a_kept_scenario_that_fits_no_more_says_so_before_it_is_run(running, operator):
    gone = {"name": "Gone", "changes": [{"withdraw": {"endpoints": "gone/model"}}]}
    saved = running.run(running.application.store.save_scenario("Gone", gone))
    page = operator.open("what-if", scenario=saved.id)
    assert r"Gone\: change 1\: withdraw\.endpoints\: 'gone/model' matches no endpoint" in page.error[0].value
    assert "cannot be run as it stands" in texts(page)
    page.button(key="remove_change_0").click().run()
    assert not page.error


def test_yaml_is_taken_over(operator):
    page = operator.open("what-if")
    page.text_area[0].set_value("name: By hand\nchanges: [{traffic: {times: 2}}]")
    page.button(key="what_if_take_over").click().run()
    assert "there are 2 times as many requests" in texts(page)
    assert page.text_input(key="what_if_name").value == "By hand"


@pytest.mark.parametrize(
    ("entered", "said"),
    [
        ("name: [", r"Rules\:1\: is not YAML\: a value is missing"),
        ("name: r", "rules\\: must be a list"),
        ("[{name: r, when: 'task = 1', exclude: ['groq/*']}]", "to compare write ==, as in"),
    ],
)
def test_rules_are_added_as_text_and_refused_as_soon_as_they_are_entered(operator, entered, said):
    page = operator.open("what-if")
    page.selectbox(key="change_kind").set_value("Rules").run()
    page.text_area(key="change_rules").set_value(entered).run()
    assert said in page.error[0].value
    assert page.button(key="change_add").disabled
    page.text_area(key="change_rules").set_value("[{name: r, exclude: ['groq/*']}]").run()
    assert not page.error
    page.button(key="change_add").click().run()
    assert "1 rule in place of the present ones" in texts(page)


def test_no_traffic_says_so(operator):
    page = operator.open("what-if")
    assert page.button(key="what_if_run").disabled, "nothing changes yet"
    assert page.button(key="what_if_run").proto.type == "secondary", "a disabled primary button shows no label"
    page.selectbox(key="change_kind").set_value("Traffic").run()
    page.button(key="change_add").click().run()
    page.button(key="what_if_run").click().run()
    page = finished(page)
    assert "No requests were recorded in the last 7 days" in texts(page)


@pytest.mark.parametrize("parameter", [{"job": "unknown"}, {"scenario": "6f1f8f5c-1111-4111-8111-111111111111"}])
def test_a_link_to_what_is_not_there_says_so(operator, parameter):
    page = operator.open("what-if", **parameter)
    assert page.warning
    assert not page.exception


def test_a_tenant_is_told_that_it_is_for_the_operator(tenant_reader):
    page = tenant_reader.open("what-if")
    assert "a page for the operator" in texts(page)
    assert not page.text_area


def test_where_some_are_no_longer_served_it_says_what_the_figures_leave_out():
    trace = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,100,50\n2026-11-16 18:15:47,9000,50\n"
    traffic = traffic_of_trace(read_trace(trace, origin="t.csv"), preference=DEFAULT_PREFERENCE)
    refused = {"rules": [{"name": "short", "when": "input_tokens > 1000", "exclude": ["*"]}]}
    world = World(snapshot(endpoint("a/x"), endpoint("b/x")), NO_POLICY)
    said = []
    for change in (refused, {"price": {"endpoints": "*", "times": 2.0}}):
        answer = Answer(what_if(traffic, world, read_scenario({"name": "s", "changes": [change]})), NOON)
        said.append(sentence(answer.what_if))
    left_out = "so the scenario's figures leave them out; differences of cost and quality per request are over those"
    assert left_out in said[0]
    assert "leave" not in said[1]


def rehearsed(*changes):
    """What these changes do to two requests that nobody in particular has sent."""
    trace = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,100,50\n2026-11-16 18:15:47,200,50\n"
    traffic = traffic_of_trace(read_trace(trace, origin="t.csv"), preference=DEFAULT_PREFERENCE)
    world = World(snapshot(endpoint("a/x"), endpoint("b/x")), NO_POLICY)
    return what_if(traffic, world, read_scenario({"name": "s", "changes": list(changes)}))


def test_where_nobody_is_served_it_does_not_praise_what_that_saves():
    result = rehearsed({"withdraw": {"endpoints": "*"}})
    assert headline(result) == "s: nobody would be served"
    assert "free" not in headline(result)
    assert "faster" not in sentence(result)
    assert "2\u00a0requests would no longer be answered" in sentence(result)
    assert "nobody would be served" in report_of_what_if(result, made_at=NOON).finding


def rehearsed_on(requests, *changes):
    """What these changes do to requests of so many (input, output) tokens, all of which an able endpoint serves now."""
    rows = [f"2026-11-16 18:15:{second},{read},{written}" for second, (read, written) in enumerate(requests, start=10)]
    trace = "\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *rows, ""]).encode()
    traffic = traffic_of_trace(read_trace(trace, origin="t.csv"), preference=RoutingPreference.PERFORMANCE_FIRST)
    able, other = endpoint("a/able", usd=(1, 0.1, 8), ability=1500.0), endpoint("b/reads-dearly", usd=(9, 0.9, 1))
    world = World(snapshot(able, other), NO_POLICY)
    return what_if(traffic, world, read_scenario({"name": "s", "changes": list(changes)}))


AWAY = {"withdraw": {"endpoints": "a/able"}}
READERS_AND_WRITERS = [(3000, 100), (100, 3000)] * 5


def test_a_difference_that_may_be_either_way_is_not_told_as_one():
    result = rehearsed_on(READERS_AND_WRITERS, AWAY)
    mean, low, high = result.interval("cost_usd")
    assert low < 0 < mean < high
    assert headline(result).endswith(" more, within chance)")
    assert "Other requests of this kind may cost more or less under the scenario" in sentence(result)


@pytest.mark.parametrize(
    ("requests", "changes"),
    [
        (READERS_AND_WRITERS, [{"price": {"endpoints": "*", "times": 2.0}}]),
        (READERS_AND_WRITERS, [AWAY, {"traffic": {"times": 9}}]),
        (READERS_AND_WRITERS[:1], [AWAY]),
    ],
    ids=["every request is dearer", "growth is no chance", "one request has no interval"],
)
def test_a_difference_that_is_one_is_told_without_a_doubt(requests, changes):
    result = rehearsed_on(requests, *changes)
    assert "chance" not in headline(result)
    assert "Other requests" not in sentence(result)


def test_the_ends_of_an_interval_say_of_what_level_they_are():
    labels = [column.label for column in figures_table(Answer(rehearsed(), NOON)).columns]
    assert labels[-2:] == ["90 % from", "90 % to"]


def test_requests_whose_cost_nobody_knows_are_counted():
    trace = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,100,50\n2026-11-16 18:15:47,200,50\n"
    traffic = traffic_of_trace(read_trace(trace, origin="t.csv"), preference=DEFAULT_PREFERENCE)
    world = World(snapshot(endpoint("a/x"), endpoint("b/unpriced", usd=None, ability=1600.0)), NO_POLICY)
    careless = read_scenario({"name": "s", "changes": [{"exponents": {"values": {"cost": 0}}}]})
    result = what_if(traffic, world, careless)
    assert "2\u00a0requests go to endpoints without a price: that cost is left out." in sentence(result)
    assert "2 requests go to endpoints without a price" in report_of_what_if(result, made_at=NOON).finding
    assert "without a price" not in sentence(rehearsed())


def test_what_requests_asked_for_themselves_is_kept_and_an_unserved_one_is_told(running, operator):
    tenant_id, _ = running.new_tenant()
    store, clock = running.application.store, running.application.clock
    running.run(store.update_tenant(tenant_id, actor="operator", allow_override=True))
    named = logged_decision(clock, tenant_id)._replace(model="deepseek/v4-flash")
    own = EffectivePreference(RoutingPreference.PERFORMANCE_FIRST, "request")
    overriding = logged_decision(clock, tenant_id)._replace(preference=own)
    running.run(store.append_decisions([named, overriding, logged_decision(clock, tenant_id)]))
    away = {"name": "Away", "changes": [{"withdraw": {"endpoints": "deepseek/*"}}]}
    saved = running.run(store.save_scenario("Away", away))
    page = operator.open("what-if", scenario=saved.id)
    page.button(key="what_if_run").click().run()
    said = plain(texts(finished(page)))
    assert "1 request would get no answer from the model that it names, and no other is asked for it." in said
    assert "On both sides 1 request keeps the preference that it asked for, and 1 the model that was named;" in said
    assert "it cannot serve 0 of these now, 1 under the scenario." in said
    assert "No budget of a tenant is counted." in said


def test_that_every_model_named_can_serve_is_not_told_as_a_lack(running, operator):
    tenant_id, _ = running.new_tenant()
    store = running.application.store
    named = logged_decision(running.application.clock, tenant_id)._replace(model="deepseek/v4-flash")
    running.run(store.append_decisions([named]))
    saved = running.run(store.save_scenario(RISE["name"], RISE))
    page = operator.open("what-if", scenario=saved.id)
    page.button(key="what_if_run").click().run()
    said = plain(texts(finished(page)))
    assert "and 1 the model that was named; no other is asked in its place." in said
    assert "cannot serve" not in said


def test_models_that_cannot_serve_their_requests_even_now_are_told():
    requests = [RecordedRequest("t", NOON, request().as_dict(), name, None, demo=False) for name in ("a/x", "gone/x")]
    traffic = recorded_traffic(requests, {}, days=1)
    assert traffic.trace.origin == "2 recorded requests of the last day"
    world = World(snapshot(endpoint("a/x"), endpoint("b/x")), NO_POLICY)
    results = [
        what_if(traffic, world, read_scenario({"name": "s", "changes": [{"withdraw": {"endpoints": gone}}]}))
        for gone in ("a/*", "b/*")
    ]
    lost = "2 requests would get no answer from the model that they name (now 1), and no other is asked for them."
    assert lost in plain(sentence(results[0]))
    assert "from the model" not in sentence(results[1])
    figures = {figure.key: figure.value for figure in report_of_what_if(results[0], made_at=NOON).summary}
    assert [figures[f"{key}"] for key in ("own_preference", "named_model")] == [0, 2]
    assert [figures[f"named_unserved_{side}"] for side in ("now", "scenario")] == [1, 2]


def test_a_tenant_without_a_request_is_named_as_it_may_be_a_slip():
    wish = {"preference": {"value": "cost-optimized", "tenant": "ghost@example.org"}}
    assert "No request is of ghost@example.org" in sentence(rehearsed(wish))
    known = {"preference": {"value": "cost-optimized", "tenant": "all requests"}}
    assert "No request is of" not in sentence(rehearsed(known))


def test_a_total_that_falls_although_a_price_rises_is_explained():
    able = endpoint("a/able", usd=(5, 0.5, 25), ability=1500.0)
    world = World(snapshot(able, endpoint("b/cheap", usd=(1, 0.1, 4), ability=1000.0)), NO_POLICY)
    trace = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,100,50\n2026-11-16 18:15:47,200,50\n"
    traffic = traffic_of_trace(read_trace(trace, origin="t.csv"), preference=RoutingPreference.PERFORMANCE_FIRST)
    rise = {"name": "s", "changes": [{"price": {"endpoints": "a/*", "times": 1000}}]}
    said = sentence(what_if(traffic, world, read_scenario(rise)))
    assert "because 2\u00a0requests move from a/able to b/cheap, which costs $" in said
    assert "of\u00a0100 answers worse)" in said, "what it was not chosen for before"
    assert "although prices rise" not in sentence(rehearsed({"price": {"endpoints": "*", "times": 2.0}}))
