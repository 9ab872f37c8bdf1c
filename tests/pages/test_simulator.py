"""The simulator shows what the router would decide, says why, and is restored by its link."""

from __future__ import annotations

import json
import threading

import pytest
from builders import NOON, endpoint, request, snapshot

from freerelay_core.catalogue import load_catalogue
from freerelay_core.decision import decide
from freerelay_core.errors import InvalidRequest
from freerelay_core.policy import NO_POLICY
from freerelay_core.preference import FACTORS, RoutingPreference
from freerelay_core.profile import Depth, LatencyClass, OutputContract, RequestProfile, TaskFamily
from freerelay_core.simulation import read_trace
from freerelay_core.snapshot import catalogue_snapshot
from pages import _session
from pages import _simulator_request as view
from pages import _simulator_words as words
from pages._factors import FACTOR_HELP
from pages._simulator_body import read_body
from pages._simulator_input import DEFAULT, bad_parameters
from pages._simulator_sensitivity import exponents_table, figures_table
from pages._simulator_trace import JOBS, rank_trace
from pages._trace_job import Setting

CHEAP, BALANCED, FAST = RoutingPreference


def plain(text: str) -> str:
    """Text without the escapes of Markdown, with ordinary spaces."""
    return text.replace("\\", "").replace("\u00a0", " ")


def shown(app) -> str:
    """All words on the page."""
    places = (app.header, app.subheader, app.markdown, app.caption, app.warning, app.error, app.info, app.success)
    return plain("\n".join(element.value for place in places for element in place))


def html(app) -> str:
    """Our own HTML on the page, without its style."""
    return "\n".join(part.proto.body for part in app.get("html") if not part.proto.body.startswith("<style"))


def ranking_of(app) -> list[str]:
    return list(app.dataframe[0].value["Endpoint"])


@pytest.fixture
def expected(running):
    """What the router would decide for the demo tenant on the present snapshot."""

    def decision(profile: RequestProfile, preference: RoutingPreference = BALANCED):
        hour = running.application.clock.now().hour
        fleet = running.application.fleet.snapshot()
        return decide(fleet, profile._replace(hour_utc=hour), decision_id="d", tenant_preference=preference)

    return decision


# -- the words


def test_the_answer_gives_the_winner_its_figures_and_why_it_stands_above_the_next():
    fleet = snapshot(endpoint("a/dear", usd=(5.0, 0.5, 20.0)), endpoint("b/cheap", usd=(0.1, 0.01, 0.4)))
    decision = decide(fleet, request(), decision_id="d")
    assert words.headline(decision) == "b/cheap ranks first"
    said = plain(words.answer(decision))
    assert "Under balanced it costs $0.13 per 1,000 requests" in said
    assert "It ranks above a/dear: 50.0 times cheaper, same speed, same quality." in said


def test_near_equals_are_called_so():
    decision = decide(snapshot(endpoint("a/one"), endpoint("b/two")), request(), decision_id="d")
    assert words.headline(decision) == "a/one ranks first, about equal with b/two"
    assert "about equal" in words.answer(decision)


def test_where_nothing_can_serve_the_reasons_are_counted():
    decision = decide(snapshot(endpoint(), endpoint("b/m")), request(needs=frozenset({"vision"})), decision_id="d")
    assert words.headline(decision) == "No endpoint can serve this request"
    assert words.answer(decision) == "2 × cannot read pictures."


def test_the_two_columns_of_a_comparison_sum_to_the_gap():
    fleet = snapshot(endpoint("a/m", ability=1250.0), endpoint("b/m", usd=(3.0, 0.3, 9.0)))
    decision = decide(fleet, request(), decision_id="d")
    comparison = decision.compare(0, 1)[0]
    table = view.comparison_table(decision.row(0), decision.row(1), comparison.by_factor, "")
    *factors, (label, a, b, gap) = table.rows
    assert label == "sum"
    assert [a, b, gap] == [pytest.approx(sum(row[i] for row in factors)) for i in (1, 2, 3)]
    assert gap == pytest.approx(a - b) == pytest.approx(comparison.gap)


def test_how_far_everything_must_move_before_the_winner_changes_is_told():
    fleet = snapshot(endpoint("a/m", ability=1250.0), endpoint("b/m", usd=(3.0, 0.3, 9.0)))
    decision = decide(fleet, request(depth=Depth.HARD), decision_id="d")
    said = decision.sensitivity
    exponents = {row[0]: row[1:] for row in exponents_table(said, "").rows}
    for turn in said.exponents:
        stated, turns_at, move, winner = exponents[turn.factor]
        assert (stated, turns_at, winner) == (turn.exponent, turn.turns_at, turn.winner)
        assert move is None if turns_at is None else stated + move == pytest.approx(turns_at)
    assert any(winner == decision.endpoints[1] for *_, winner in exponents.values())
    assert [(row[0], row[-1]) for row in figures_table(said, "").rows] == [
        (decision.endpoints[0], decision.endpoints[1]),
        (decision.endpoints[1], decision.endpoints[1]),
    ]


def test_the_contributions_of_an_endpoint_sum_to_its_log_utility():
    decision = decide(snapshot(endpoint()), request(), decision_id="d")
    *factors, total = view.contributions_table(decision.row(0), "").rows
    assert total[-1] == pytest.approx(sum(row[-1] for row in factors)) == pytest.approx(decision.log_utilities[0])


def test_what_the_factors_ask_is_said_without_opening_anything(tenant_reader):
    page = tenant_reader.open("simulator")
    assert not [panel for panel in page.expander if "factor" in panel.label]
    (said,) = [caption.value for caption in page.caption if "What the factors ask" in caption.value]
    assert (
        [name for name in FACTORS if f"**{name}**: {FACTOR_HELP[name]}" in said] == list(FACTORS) == list(FACTOR_HELP)
    )


# -- a pasted body


def body(**fields) -> str:
    return json.dumps(
        {"messages": [{"role": "user", "content": "Translate this letter into French, please."}], **fields}
    )


def test_a_body_is_read_as_the_endpoint_reads_it():
    read = read_body(body(stream=True, model="openai/gpt-4o-mini", routing={"preference": "cost-optimized"}), 7)
    assert (read.profile.family, read.profile.hour_utc) == (TaskFamily.TRANSLATE, 7)
    assert read.profile.latency_class is LatencyClass.INTERACTIVE
    assert (read.preference, read.pinned) == (CHEAP, "openai/gpt-4o-mini")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Paste the JSON body"),
        ("{\n  nonsense", "line 2, column 3"),
        ("[1]", "must be a JSON object, not a list"),
        ("7", "not a number"),
        ('{"messages": [], "temperature": NaN}', "NaN is no JSON number"),
        ("{}", "messages must be a non-empty list"),
        ('{"messages": [{"content": "x"}]}', "messages[0] must be an object with a role"),
        (body(max_tokens=0), "max_tokens must be a whole number"),
        (body(routing={"preference": "fastest"}), "cost-optimized, balanced, performance-first"),
        (body(user="\ud800"), "lone surrogate"),
        ('{"messages": ' + "9" * 5000 + "}", "too many digits"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_body_that_cannot_be_meant_is_answered_with_what_is_wrong(text, says):
    with pytest.raises(InvalidRequest) as caught:
        read_body(text, 0)
    assert says in caught.value.message


def test_only_values_that_cannot_be_used_are_complained_about():
    good = {"input": ["trace"], "under": ["balanced"], "in": ["0"], "needs": ["tools", "vision"], "hour": ["23"]}
    assert bad_parameters({**good, "preference": ["balanced"], "a": ["groq/x"], "job": ["7"]}) == []
    bad = {"input": ["telepathy"], "in": ["-1"], "out": ["9" * 5000], "needs": ["tools", "luck"], "hour": ["24"]}
    assert [found.name for found in bad_parameters(bad)] == ["input", "needs", "in", "out", "hour"]
    assert [(found.name, found.allowed) for found in bad_parameters({"prefer": ["balanced"]})] == [("prefer", "")]


# -- the page


def test_the_name_that_the_settings_give_a_preference_is_understood(tenant_reader, expected):
    page = tenant_reader.open("simulator", preference=CHEAP.value)
    assert ranking_of(page) == list(expected(DEFAULT, CHEAP).endpoints)
    assert not page.warning
    page.segmented_control(key="under").set_value(FAST.value).run()
    assert ranking_of(page) == list(expected(DEFAULT, FAST).endpoints)


def test_a_link_that_cannot_be_understood_says_what_of_it(tenant_reader):
    page = tenant_reader.open("simulator", preference="cheap", colour="red")
    assert plain(page.warning[0].value) == (
        "Not usable in this link, so left out: preference=cheap (can be cost-optimized, balanced, performance-first); "
        "colour=red (no parameter of this page)."
    )


def test_the_page_opens_with_the_ranking_that_the_router_would_give(tenant_reader, expected):
    page = tenant_reader.open("simulator")
    decision = expected(DEFAULT)
    assert not page.exception
    assert ranking_of(page) == list(decision.endpoints)
    assert plain(page.header[0].value) == words.headline(decision)
    first = page.dataframe[0].value.iloc[0]
    assert (first["Rank"], first["Score, 0-100"], first["Served by"]) == (1, 100.0, "simulation")
    assert first["USD per 1,000"] == pytest.approx(decision.row(0).cost_usd * 1000)
    assert words.ABSOLUTE in shown(page)


def test_the_ranking_stands_before_chart_explanations_preferences_and_exclusions(tenant_reader):
    page = tenant_reader.open("simulator", needs="vision")
    kinds = [element.type for element in page.main if element.type in {"title", "header", "subheader", "dataframe"}]
    assert kinds[:4] == ["title", "header", "dataframe", "subheader"]
    headers = [plain(header.value) for header in page.header]
    assert headers[1:4] == ["Why A, not B", "What would change the winner", "The three preferences"]
    assert "endpoints are excluded" in headers[4]


def test_another_preference_ranks_otherwise_and_changes_nothing_else(tenant_reader, expected, running):
    page = tenant_reader.open("simulator")
    page.segmented_control(key="under").set_value(FAST.value).run()
    assert ranking_of(page) == list(expected(DEFAULT, FAST).endpoints)
    tenants = running.application.store
    demo = running.run(tenants.tenant_by_email("demo@freerelay.local"))
    assert demo.routing_preference is None


def test_the_preference_in_force_is_the_one_at_first(tenant_reader, running, expected):
    application = running.application
    demo = running.run(application.store.tenant_by_email("demo@freerelay.local"))
    running.run(application.set_preference(demo.id, CHEAP.value, actor="test"))
    page = tenant_reader.open("simulator")
    assert ranking_of(page) == list(expected(DEFAULT, CHEAP).endpoints)
    running.run(application.set_preference(demo.id, FAST.value, actor="test"))
    page.run()
    assert ranking_of(page) == list(expected(DEFAULT, FAST).endpoints)


def test_a_link_restores_the_view(tenant_reader, expected):
    profile = RequestProfile(
        family=TaskFamily.CODE,
        depth=Depth.HARD,
        latency_class=LatencyClass.STANDARD,
        contract=OutputContract.STRICT,
        needs=frozenset({"tools"}),
        input_tokens=2500,
        output_tokens=1200,
    )
    query = {"task": "code", "depth": "hard", "class": "standard", "form": "strict", "needs": "tools", "in": "2500"}
    decision = expected(profile, CHEAP)
    third = decision.endpoints[2]
    page = tenant_reader.open("simulator", out="1200", under="cost-optimized", a=third, **query)
    assert ranking_of(page) == list(decision.endpoints)
    assert not page.warning
    assert page.selectbox(key="a").value == third
    assert any(f"holds {third} back" in plain(title.value) for title in page.subheader)


def test_a_bad_link_falls_back_and_says_so(tenant_reader, expected):
    page = tenant_reader.open("simulator", under="fastest", out="many", a="nobody/nothing")
    assert ranking_of(page) == list(expected(DEFAULT).endpoints)
    said = shown(page)
    for part in ("under=fastest (can be cost-optimized, balanced, performance-first)", "out=many", "a=nobody/nothing"):
        assert part in said


def test_excluded_endpoints_are_listed_with_their_reasons(tenant_reader, expected):
    page = tenant_reader.open("simulator", needs="confidential")
    excluded = expected(DEFAULT._replace(needs=frozenset({"confidential"}))).excluded
    table = page.dataframe[-1].value
    assert list(table["Endpoint"]) == [row.endpoint for row in excluded]
    assert set(table["Because it"]) == {"is not cleared for confidential content"}


def test_a_request_that_nothing_can_serve_is_answered_with_the_reasons(tenant_reader):
    page = tenant_reader.open("simulator", **{"in": "2000000"})
    assert not page.exception
    assert plain(page.header[0].value) == "No endpoint can serve this request"
    assert f"{len(load_catalogue().endpoints)} × the request is longer than its context" in shown(page)


def test_the_snapshot_is_named_and_the_catalogue_can_be_chosen(tenant_reader, running):
    page = tenant_reader.open("simulator")
    assert running.application.fleet.snapshot().id in shown(page)
    page.segmented_control(key="snapshot").set_value("catalogue").run()
    assert "Snapshot catalogue-" in shown(page)


def test_a_pasted_body_fills_in_the_form_and_is_ranked(tenant_reader, expected):
    page = tenant_reader.open("simulator", input="body")
    page.text_area(key="body_text").set_value(body(max_tokens=80, routing={"preference": CHEAP.value}))
    page.button(key="read_body").click().run()
    assert not page.exception
    read = read_body(page.text_area(key="body_text").value, 0)
    assert (page.selectbox(key="task").value, page.number_input(key="out").value) == (
        "translate",
        read.profile.output_tokens,
    )
    assert ranking_of(page) == list(expected(read.profile, CHEAP).endpoints)
    page.selectbox(key="task").set_value("legal").run()
    corrected = read.profile._replace(family=TaskFamily.LEGAL)
    assert ranking_of(page) == list(expected(corrected, CHEAP).endpoints)


def test_a_pasted_conversation_says_what_was_sent_before_and_fills_in_what_rules_read(tenant_reader):
    long = "The quick brown fox jumps over the lazy dog. " * 300
    turns = [("user", long), ("assistant", "Noted."), ("user", "Solve x + 2 = 5")]
    text = json.dumps(
        {
            "messages": [{"role": role, "content": content} for role, content in turns],
            "temperature": 0,
            "service_tier": "priority",
            "routing": {"confidential": True},
        }
    )
    page = tenant_reader.open("simulator", input="body")
    page.text_area(key="body_text").set_value(text)
    page.button(key="read_body").click().run()
    assert not page.exception
    read = read_body(text, 0).profile
    assert page.number_input(key="cached").value == read.cached_tokens > 1_024
    assert page.toggle(key="locked").value
    axes = ("precision", "topology", "tool_dependence", "determinism", "economics")
    assert [page.selectbox(key=axis).value for axis in axes] == ["exact", "conversation", "none", "fixed", "priority"]
    assert "One right answer, a conversation, the same answer wanted each time, may cost more to be first." in shown(
        page
    )


def test_several_answers_cost_as_many_stand_in_the_form_and_are_restored_by_the_link(tenant_reader, expected):
    page = tenant_reader.open("simulator", input="body")
    page.text_area(key="body_text").set_value(body(max_tokens=80, n=4))
    page.button(key="read_body").click().run()
    read = read_body(page.text_area(key="body_text").value, 0).profile
    decision = expected(read)
    assert read.answers == page.number_input(key="n").value == 4
    assert list(page.dataframe[0].value["USD per request"]) == [row.cost_usd for row in decision.ranking]
    assert "tokens out in each of 4 answers" in shown(page)
    assert "per 1,000 requests like this, 4 answers each, takes" in shown(page)
    asked = DEFAULT._replace(answers=3, needs=frozenset({"choices"}))
    page = tenant_reader.open("simulator", n="3")
    assert ranking_of(page) == list(expected(asked).endpoints), "who gives one answer alone is excluded"
    assert list(page.dataframe[0].value["USD per request"]) == [row.cost_usd for row in expected(asked).ranking]
    assert "n=0 (can be 1 to 128)" in shown(tenant_reader.open("simulator", n="0"))


def test_a_token_limit_is_read_ranked_by_and_restored_by_the_link(tenant_reader, expected):
    page = tenant_reader.open("simulator", input="body")
    page.text_area(key="body_text").set_value(body(max_tokens=80))
    page.button(key="read_body").click().run()
    read = read_body(page.text_area(key="body_text").value, 0).profile
    assert read.answer_limit == page.number_input(key="limit").value == 80
    assert "limited to 80" in shown(page)
    assert list(page.dataframe[0].value["USD per request"]) == [row.cost_usd for row in expected(read).ranking]
    page.text_area(key="body_text").set_value(body())
    page.button(key="read_body").click().run()
    assert page.number_input(key="limit").value is None, "the limit of the request before is gone"
    asked = DEFAULT._replace(answer_limit=120, depth=Depth.HARD)
    page = tenant_reader.open("simulator", limit="120", depth="hard")
    assert ranking_of(page) == list(expected(asked).endpoints)
    assert ranking_of(page) != list(expected(asked._replace(answer_limit=None)).endpoints)
    assert "limit=0 (can be 1 to 2,000,000)" in shown(tenant_reader.open("simulator", limit="0"))


def test_a_bad_body_says_what_is_wrong_and_keeps_the_ranking(tenant_reader, expected):
    page = tenant_reader.open("simulator", input="body")
    page.text_area(key="body_text").set_value("{oops")
    page.button(key="read_body").click().run()
    assert "line 1, column 2" in shown(page)
    assert "The ranking is for the profile below, as it was." in shown(page)
    assert ranking_of(page) == list(expected(DEFAULT).endpoints)


RULE = "rules: [{name: quick-chat, when: task == 'chat', routing_preference: performance-first}]"


@pytest.mark.parametrize("rules", [RULE])
def test_a_rule_that_sets_the_preference_is_named(tenant_reader, expected):
    page = tenant_reader.open("simulator", under="cost-optimized")
    assert ranking_of(page) == list(expected(DEFAULT, FAST).endpoints)
    assert "The operator's rule quick-chat sets performance-first for this request" in shown(page)
    assert "All three preferences choose" in shown(page)


def test_the_operator_simulates_too(operator_reader, expected):
    assert ranking_of(operator_reader.open("simulator")) == list(expected(DEFAULT).endpoints)


def test_another_tenant_s_job_is_answered_like_an_unknown_one(reader, running):
    (owner, _), (_, key) = running.new_tenant(), running.new_tenant()
    job = JOBS.start(owner, "secret.csv", lambda _: None)
    reader.sign_in(key)
    foreign, unknown = (reader.open("simulator", input="trace", job=job_id) for job_id in (job.id, "unknown"))
    assert [warning.value for warning in foreign.warning] == [warning.value for warning in unknown.warning]
    assert "There is no such job" in shown(unknown)
    assert "secret" not in shown(foreign)


def test_a_finished_trace_is_shown_to_its_owner_whenever_the_link_is_opened(reader, running):
    tenant_id, key = running.new_tenant()
    setting = Setting(running.application.fleet.snapshot(), NO_POLICY, tenant_id, "bronze", NOON)
    content = b"timestamp,input_tokens,output_tokens\n2026-11-23 10:00:00,900,200\n2026-11-23 11:00:00,90,20\n"
    job = JOBS.start(tenant_id, "two.csv", lambda job: rank_trace(job, content, "two.csv", DEFAULT, setting))
    assert job.wait(30)
    reader.sign_in(key)
    page = reader.open("simulator", input="trace", job=job.id)
    assert not page.exception
    assert plain(page.header[0].value).startswith("2 requests: $")
    assert list(page.dataframe[0].value["Preference"]) == [CHEAP, BALANCED, FAST]
    said = shown(page)
    for part in ("File two.csv, SHA-256 ", "2 rows", f"Snapshot {setting.snapshot.id}", "seed 0", "990 input"):
        assert part in said


def test_a_running_trace_says_by_which_keys_it_is_cancelled(reader, running):
    owner, key = running.new_tenant()
    go_on = threading.Event()
    job = JOBS.start(owner, "long.csv", lambda _: go_on.wait(30))
    try:
        reader.sign_in(key)
        cancel = reader.open("simulator", input="trace").button(key="cancel_job")
        assert cancel.help.startswith("Alt+X ")
        assert cancel.proto.shortcut == "alt+x"
        cancel.click().run()
        assert job.cancelled()
    finally:
        go_on.set()


def test_an_empty_trace_page_says_what_to_do(tenant_reader):
    page = tenant_reader.open("simulator", input="trace")
    assert "Upload a trace of past requests" in shown(page)
    assert page.button(key="rank_trace").disabled
    assert "64 MB" in shown(page)


def test_a_trace_is_taken_as_reports_and_the_shell_take_it_unless_the_reader_says_otherwise(tenant_reader):
    page = tenant_reader.open("simulator")
    assert page.selectbox(key="depth").value == "standard"
    page.segmented_control(key="input").set_value("trace").run()
    content = b"TIMESTAMP,ContextTokens,GeneratedTokens\n2026-11-16 18:15:46,374,44\n"
    usual = read_trace(content, origin="t.csv").profiles.profile(0)
    assert page.selectbox(key="depth").value == usual.depth.label
    assert page.selectbox(key="class").value == usual.latency_class.label
    page.segmented_control(key="input").set_value("form").run()
    assert page.selectbox(key="depth").value == "standard"
    page.selectbox(key="depth").set_value("hard").run()
    page.segmented_control(key="input").set_value("trace").run()
    assert page.selectbox(key="depth").value == "hard", "what was chosen stays"


def test_what_two_preferences_share_is_not_told_as_a_change():
    fleet = snapshot(
        endpoint("dear/x", usd=(20.0, 20.0, 20.0), ability=1500.0),
        endpoint("cheap/x", usd=(0.1, 0.1, 0.1), ability=1300.0),
    )
    decisions = {
        each: decide(fleet, request(depth=Depth.HARD), decision_id="d", tenant_preference=each)
        for each in RoutingPreference
    }
    assert {decisions[CHEAP].row(0).endpoint, decisions[FAST].row(0).endpoint} == {"cheap/x", "dear/x"}
    said = plain(words.preferences_sentence(decisions))
    assert "the same time" in said
    assert said.count("instead of") == 2, "cost and good answers differ"


@pytest.mark.parametrize("page", ["simulator", "reports"])
def test_what_serves_no_live_traffic_is_said_to_be_ranked_all_the_same(tenant_reader, monkeypatch, page):
    assert "no live traffic" not in html(tenant_reader.open(page))
    mixed = catalogue_snapshot(load_catalogue(None), NOON, real_providers=frozenset({"groq"}))
    monkeypatch.setattr(_session, "fleet_snapshot", lambda: mixed)
    idle = int((~mixed.live).sum())
    said = f"<strong>{idle} of {len(mixed)}\u00a0endpoints</strong> are simulated and get no live traffic"
    assert said in html(tenant_reader.open(page))
