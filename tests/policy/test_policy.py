"""Rules: what they may say, which of them decides, and that a wrong file is refused as a whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.decision import decide, directives_of, evaluate_batch
from freerelay_core.errors import ConfigurationError
from freerelay_core.policy import (
    VARIABLES,
    Conditions,
    Facts,
    batch_directives,
    load_policy,
    load_rule_file,
    matching,
    read_policy,
)
from freerelay_core.policy.condition import FUNCTIONS
from freerelay_core.preference import RoutingPreference
from freerelay_core.profile import (
    Depth,
    Determinism,
    Economics,
    LatencyClass,
    OutputContract,
    Precision,
    ProfileBatch,
    TaskFamily,
    ToolDependence,
    Topology,
)
from freerelay_core.scoring import evaluate

IDS = ("groq/llama", "openai/gpt", "openai/gpt@high")


@pytest.fixture
def rules(tmp_path):
    def write(text, endpoint_ids=IDS):
        path = tmp_path / "rules.yaml"
        path.write_text(text, "utf-8")
        return load_policy(path, endpoint_ids)

    return write


def decision(policy, profile=None, **arguments):
    endpoints = [builders.endpoint(name) for name in IDS]
    return decide(
        builders.snapshot(*endpoints), profile or builders.request(), decision_id="d", policy=policy, **arguments
    )


def test_an_excluded_endpoint_is_listed_with_the_rule_that_excluded_it(rules):
    policy = rules("rules: [{name: no groq, exclude: ['groq/*']}]")
    result = decision(policy)
    assert "groq/llama" not in result.endpoints
    assert [(e.endpoint, e.reason, e.detail) for e in result.excluded] == [
        ("groq/llama", "excluded_by_rule", "excluded by rule no groq")
    ]


def test_a_preferred_endpoint_moves_up_by_the_policy_weight_and_never_past_an_exclusion(rules):
    policy = rules("rules: [{name: gpt, prefer: ['openai/gpt@*'], policy_weight: 4}]")
    ranking = decision(policy).ranking
    assert ranking[0].endpoint == "openai/gpt@high"
    assert ranking[1].score == pytest.approx(25)
    both = rules("rules: [{name: both, prefer: ['openai/gpt@*'], exclude: ['openai/*']}]")
    assert decision(both).endpoints == ("groq/llama",)


def test_a_rule_that_prefers_only_what_is_excluded_leaves_the_rest_ranked(rules):
    policy = rules("rules: [{name: both, prefer: ['groq/*'], exclude: ['groq/*']}]")
    assert len(decision(policy).endpoints) == 2


def test_the_rules_preference_wins_over_request_and_tenant_and_one_that_names_none_leaves_them(rules):
    named = rules("rules: [{name: night, routing_preference: cost-optimized}]")
    chosen = {
        "tenant_preference": RoutingPreference.BALANCED,
        "request_preference": RoutingPreference.PERFORMANCE_FIRST,
    }
    result = decision(named, **chosen).preference
    assert (result.value, result.level, result.rule) == ("cost-optimized", "rule", "night")
    silent = rules("rules: [{name: quiet, prefer: ['groq/*']}]")
    assert str(decision(silent, **chosen).preference) == "performance-first; level=request"
    chosen.pop("request_preference")
    assert str(decision(silent, **chosen).preference) == "balanced; level=tenant"
    assert str(decision(silent).preference) == "balanced; level=default"


def test_the_first_rule_that_matches_decides_unless_it_lets_later_ones_add(rules):
    text = """
rules:
  - {name: first, when: 'task == "code"', prefer: ['groq/*'], continue: %s}
  - {name: second, exclude: ['openai/gpt'], routing_preference: cost-optimized}
"""
    code = builders.request(family=TaskFamily.CODE)
    assert decision(rules(text % "false"), code).directive.rules == ("first",)
    added = decision(rules(text % "true"), code).directive
    assert added.rules == ("first", "second")
    assert added.exclude == ("openai/gpt",)
    assert added.preference_rule == "second"
    assert decision(rules(text % "false")).directive.rules == ("second",)


def test_a_condition_reads_the_tenant_and_the_request(rules):
    policy = rules(
        """rules: [{name: r, when: 'tier == "gold" && input_tokens > 100 && !stream', exclude: ['groq/*']}]"""
    )
    assert decision(policy, tier="gold").directive.rules == ("r",)
    assert decision(policy, tier="free").directive.rules == ()
    assert decision(policy, builders.request(input_tokens=5), tier="gold").directive.rules == ()


def test_a_batch_follows_the_rules_that_each_request_meets_alone(rules):
    policy = rules(
        """
rules:
  - {name: long, when: 'input_tokens > 1000', exclude: ['groq/*']}
  - {name: night, when: 'hour < 6', routing_preference: cost-optimized, prefer: ['openai/gpt']}
"""
    )
    profiles = [
        builders.request(input_tokens=tokens, hour_utc=hour) for tokens in (10, 5000, 10, 999) for hour in (3, 12)
    ]
    directives, index = batch_directives(policy, ProfileBatch.of(profiles), tier="free")
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in IDS))
    together = evaluate(snapshot, ProfileBatch.of(profiles), directives_of(directives, index, snapshot))
    for row, profile in enumerate(profiles):
        alone = decision(policy, profile, tier="free")
        assert directives[index[row]] == alone.directive
        assert np.array_equal(together.excluded[row], alone.evaluation.excluded)
        assert builders.row_of(together, row).tobytes() == alone.evaluation.log_factors.tobytes()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("rules: [{name: a, policy_weight: 2, exclude: ['groq/*']}]", "no effect without prefer"),
        ("rules: [{name: a, fallback: none, exclude: ['groq/*']}]", "no effect without require"),
        ("rules: [{name: a, require: ['x/*']}]", "matches no endpoint"),
        ("rules: [{name: a, max_cost_usd: 0}]", "max_cost_usd: must be a number above 0"),
        ("rules: [{name: a, max_cost_usd: .inf}]", "finite"),
        ("rules: [{name: a, set_temperature: 3}]", "must be a number up to 2"),
        ("rules: [{name: a, enforce_mode: xml}]", "'json' or 'strict'"),
        (
            "rules: [{name: a, when: 'duration(\"1s\") == duration(task)', prefer: ['groq/*']}]",
            "may not call 'duration'",
        ),
        ("rules: [{name: a, when: 'min(depth, 2) == 2', prefer: ['groq/*']}]", "may not call 'min'"),
        ("rules: [{name: a, when: '[task].filter(task, true) == []', prefer: ['groq/*']}]", "may not use"),
        ("rules: [{name: a, when: '[1] . exists_one (task, true)', prefer: ['groq/*']}]", "may not use"),
        ("rules: [{name: a, when: 'task == \"legal\" && depth == 4 && tier > 3', prefer: ['groq/*']}]", "rule 'a'"),
        ("rules: [{name: a, when: '" + "(" * 2001 + "', prefer: ['groq/*']}]", "2,000 characters"),
        ("rules: [{name: a, exclude: ['groq/*'], exclude: ['openai/*']}]", "'exclude' is stated twice"),
        ("rules: 3", "rules: "),
        ("rules: [3]", "rules.0: "),
        ("rules: [{name: 3, exclude: ['groq/*']}]", "rules.0: name: "),
        ("rules: [{name: a, when: 'd == c && b == a', prefer: ['groq/*']}]", "unknown variable 'a'"),
        ("rules: [{name: a, when: 'duration(task) == b2(a1(c3(task)))', prefer: ['groq/*']}]", "may not call 'a1'"),
        (
            "examples: [{name: a, request: {messages: []}, expect: {}}]",
            "example 'a': request: ",
        ),
        (
            "examples: [{name: a, profile: {}, expect: {endpoint: x/*}}]",
            "example 'a': expect.endpoint.0: 'x/\\*' matches no endpoint",
        ),
        ("- a", "must be a mapping"),
        ("rules: [{name: a, prefer: ['x/*']}]", "matches no endpoint"),
        ("rules: [{name: a}]", "asks for nothing"),
        ("rules: [{name: a, when: 'task ==', prefer: ['groq/*']}]", "rule 'a'"),
        ("rules: [{name: a, when: 'task', prefer: ['groq/*']}]", "true or false"),
        ("rules: [{name: a, when: 'colour == 1', prefer: ['groq/*']}]", "colour"),
        ("rules: [{name: a, when: '[1].map(x, x) == [1]', prefer: ['groq/*']}]", "may not use"),
        ("rules: [{name: a, when: 'task > 1', prefer: ['groq/*']}]", "rule 'a'"),
        ("rules: [{name: a, prefer: ['groq/*'], hedge: true}]", "hedge: there is no field of that name"),
        ("rules: [{name: a, routing_preference: cheapest}]", "routing_preference"),
        ("rules: [{name: a, prefer: ['groq/*']}, {name: a, exclude: ['groq/*']}]", "two rules"),
        ("rules: {", "not YAML"),
        ("rules: \x07", r"rules\.yaml: is not YAML"),  # wrong as a whole: no line is named
    ],
)
def test_a_wrong_rule_file_is_refused_naming_the_rule_and_the_reason(rules, text, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        rules(text)
    assert "rules.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("rules:\n  - name: a\n    exclude: [groq/*]\n    hedge: true\n", 4),
        ("rules:\n  - name: a\n    exclude:\n      - groq/*\n      - x/*\n", 5),
        ("rules:\n  - name: a\n    exclude: [groq/*]\n  - name: b\n", 4),
        ("rules:\n  - {name: a, exclude: [groq/*]}\n  - {exclude: [groq/*], name: a}\n", 3),
        ("rules:\n  - name: a\n    exclude: [groq/*]\n    when: |\n      task ==\n", 4),
        ("rules:\n  - name: a\n\n    when: hour\n    exclude: [groq/*]\n", 4),
        ("rules:\n  - name: a\n    exclude: [groq/*]\n    name: b\n", 4),
        ("rules:\n  - name: a\n    exclude: [groq/*\n    when: a\n", 4),
        ("tenants: 1\nrules: []\n", 1),
    ],
)
def test_what_is_wrong_is_named_with_its_line(rules, text, line):
    with pytest.raises(ConfigurationError) as caught:
        rules(text)
    assert f"rules.yaml:{line}: " in str(caught.value)


def written(**item):
    """A file with one rule, or with one example where the item is that of one."""
    kind = "examples" if "expect" in item else "rules"
    effect = {} if kind == "examples" or "prefer" in item else {"exclude": ["groq/*"]}
    return json.dumps({kind: [{"name": "a", **effect, **item}]})


@pytest.mark.parametrize(
    ("most", "beyond"),
    [
        ({"name": "n" * 64}, {"name": "n" * 65}),
        ({"when": "true" + " " * 1996}, {"when": "true" + " " * 1997}),
        ({"prefer": ["groq/*"], "policy_weight": 1000}, {"prefer": ["groq/*"], "policy_weight": 1000.5}),
        ({"prefer": ["groq/*"], "policy_weight": 1.01}, {"prefer": ["groq/*"], "policy_weight": 1}),
        ({"set_temperature": 0}, {"set_temperature": -0.1}),
        ({"set_temperature": 2}, {"set_temperature": 2.1}),
        ({"max_cost_usd": 1e-9}, {"max_cost_usd": 0}),
        ({"max_latency_s": 1e-9}, {"max_latency_s": 0}),
        ({"name": "n" * 80, "profile": {}, "expect": {}}, {"name": "n" * 81, "profile": {}, "expect": {}}),
        *(
            ({"profile": {}, "expect": {}, field: most}, {"profile": {}, "expect": {}, field: beyond})
            for field, most, beyond in (
                ("hour", 0, -1),
                ("hour", 23, 24),
                ("weekday", 1, 0),
                ("weekday", 7, 8),
                *(
                    (field, most, beyond)
                    for field in ("healthy_share", "schema_success", "budget_left")
                    for most, beyond in ((0, -0.1), (1, 1.1))
                ),
            )
        ),
    ],
)
def test_every_number_and_length_has_its_border(rules, most, beyond):
    rules(written(**most))
    with pytest.raises(ConfigurationError):
        rules(written(**beyond))


def test_an_example_that_says_little_is_an_ordinary_request_at_noon(tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text("examples: [{name: a, profile: {}, expect: {}}]", "utf-8")
    (example,) = load_rule_file(path, IDS).examples
    profile = example.request_profile()
    assert (profile.input_tokens, profile.output_tokens, profile.hour_utc) == (500, 200, 12)
    assert example.conditions() == Conditions(healthy_share=1.0, schema_success=1.0, weekday=3)
    assert example.budget_left == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("rules: 5", "rules: must be a list"),
        ("rules: [3]", "must be a mapping; write names with values"),
        ("- rules", "must be a mapping; write names with values"),
        ("rules: [{name: a, exclude: {a: 1}}]", "exclude: must be a list"),
    ],
)
def test_another_shape_than_that_of_rules_is_told_in_plain_words(rules, content, said):
    with pytest.raises(ConfigurationError, match=said):
        rules(content)


@pytest.mark.parametrize(
    ("content", "known"),
    [
        ("rule: []", ["rules", "examples"]),
        ("rules: [{name: a, excludes: ['groq/*']}]", ["exclude", "continue", "fallback"]),
        ("examples: [{name: a, profile: {}, expect: {}, hours: 3}]", ["hour", "failing_providers", "expect"]),
    ],
)
def test_who_misspells_a_field_is_told_those_that_may_stand_there(rules, content, known):
    with pytest.raises(ConfigurationError, match="there is no field of that name; known are ") as refused:
        rules(content)
    told = str(refused.value).partition("known are ")[2].rstrip(".").split(", ")
    assert set(known) <= set(told)
    assert ("continue" in told) == (known[0] == "exclude")


@pytest.mark.parametrize(
    "trick",
    [
        "[1].all (x, true)",
        "[1] .map(x, x) == [1]",
        "[1].filter// c\n(x, true) == [1]",
        r'r"\" == "" || [1].all(x, true)',
        "'''it's''' == '' || [1].exists_one(x, true)",
        'b"x" == b"" || [1].map(x, x) == [1]',
        '""" == "" || [1].exists(x, true)',
    ],
)
def test_no_trick_of_writing_gets_a_loop_into_a_condition(trick):
    rule = {"name": "a", "when": trick, "exclude": ["groq/*"]}
    with pytest.raises(ConfigurationError, match="rule 'a': when: "):
        read_policy({"rules": [rule]}, IDS, source="test")


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("", "is empty; write a condition such as hour < 6"),
        ("hour = 6", "cannot be read at character 6: to compare write ==, as in"),
        ("task === 'chat'", "to compare write =="),
        ("hour => 6", "write >= and <="),
        ("hour <> 6", "for unequal write !="),
        ("tools and vision", "cannot be read at character 7: write && for and, || for or"),
        ("tools | vision", "write && for and, || for or"),
        ("not tools", "for not write !, as in !tools"),
        ("task is 'chat'", "to compare write =="),
        ("if tools then true", "write condition ? this : that"),
        ("task == 'chat", "a quote is not closed"),
        ("task == \u201cchat\u201d", "write straight quotes"),
        ("task in ['a and b', 'is'", "a ] is missing"),
        ("hour < 6)", "a ( is missing"),
        ("hour 6", "cannot be read at character 6: something is missing or too much; write a condition such as"),
        ("hour < 6\n&& task =", "cannot be read at character 9 of its line 2: "),
        ("5 < hour < 8", "join two comparisons with &&, as in 5 < hour && hour < 8"),
        ("task > 1", "values of different kinds; numbers stand without quotes, texts in quotes"),
        ("1 / depth == 1", "divides by zero for some requests"),
        ("['a', 'b'][depth] == 'a'", "asks for a place that a list does not have"),
        ("startsWith(task, 'c')", "calls a function on what it does not take; write task.startsWith"),
        ("int(task) == 1", "gives int what it cannot take"),
        ("task == chat", "unknown variable 'chat'; a text stands in quotes, \"chat\"; known are task, "),
        ("tools == True", "unknown variable 'True'; write true."),
        ("hour", "must be true or false, not '0'; compare it with something"),
    ],
)
def test_a_faulty_condition_is_refused_in_plain_words_with_what_to_write(when, said):
    with pytest.raises(ConfigurationError) as caught:
        read_policy({"rules": [{"name": "a", "when": when, "exclude": ["groq/*"]}]}, IDS, source="test")
    assert said in str(caught.value)
    assert not re.search(r"ERROR|<input>|EOF|overload", str(caught.value)), "not in the parser's words"


def test_content_that_stands_in_no_file_has_no_line():
    with pytest.raises(ConfigurationError, match=r"^stored: rule 'a': hedge: there is no field of that name; .*"):
        read_policy({"rules": [{"name": "a", "exclude": ["groq/*"], "hedge": True}]}, IDS, source="stored")


@pytest.mark.parametrize(
    "branch",
    [
        *("tools", "!tools", "vision", "!vision", "confidential", "!confidential", "stream", "!stream"),
        *("hour == 0", "hour == 23", "weekday == 1", "weekday == 7"),
        *("input_tokens <= 1", "input_tokens >= 100000", "output_tokens <= 1", "output_tokens >= 10000"),
        *(f"{share} == {value}" for share in ("healthy_share", "budget_left") for value in (0.0, 0.25, 0.5, 0.75, 1.0)),
        *(f"schema_success == {value}" for value in (0.0, 0.5, 1.0)),
        *(f"size(failing_providers) == {size}" for size in (0, 1)),
        *(f'tier == "{tier}"' for tier in ("free", "bronze", "silver", "gold")),
        *(f'preference == "{preference}"' for preference in RoutingPreference),
        *(f'contract == "{contract.label}"' for contract in OutputContract),
        *(f'latency_class == "{latency_class.label}"' for latency_class in LatencyClass),
        *(f'task == "{family}" && depth == {depth:d}' for family in TaskFamily for depth in Depth),
    ],
)
def test_a_condition_that_makes_no_sense_in_some_branch_is_refused(branch):
    rule = {"name": "a", "when": f"{branch} && tenant > 3", "exclude": ["groq/*"]}
    with pytest.raises(ConfigurationError, match="rule 'a': when: "):
        read_policy({"rules": [rule]}, IDS, source="test")


def test_a_condition_that_makes_no_sense_of_what_cannot_be_is_accepted():
    beyond = "hour < 0 || hour > 23 || weekday < 1 || weekday > 7 || input_tokens < 0 || output_tokens < 0"
    shares = (f"{share} < 0.0 || {share} > 1.0" for share in ("healthy_share", "schema_success", "budget_left"))
    rule = {"name": "a", "when": f"{' || '.join([beyond, *shares])} ? tenant > 3 : true", "exclude": ["groq/*"]}
    assert len(read_policy({"rules": [rule]}, IDS, source="test")) == 1


@pytest.mark.parametrize("sighted", [False, True])
def test_a_condition_reads_the_facts_of_a_request(sighted):
    needs, others = ({"vision", "tools"}, {"confidential"})[:: 1 if sighted else -1]
    profile = builders.request(needs=frozenset(needs), hour_utc=7, depth=Depth.HARD, locked_down=sighted)
    facts = Facts(profile, budget_left=0.559)
    read = {name: variable.value(facts) for name, variable in VARIABLES.items()}
    assert all(read[name] is True for name in needs)
    assert all(read[name] is False for name in others)
    neutral = {
        "tenant": "", "tier": "", "preference": "balanced",
        "healthy_share": 1.0, "failing_providers": (), "schema_success": 1.0, "weekday": 1,
    }  # fmt: skip
    stated = {"hour": 7, "depth": 3, "locked_down": sighted, "input_tokens": 500, "output_tokens": 200, "task": "chat"}
    for name, value in (neutral | stated | {"budget_left": 0.55}).items():
        assert read[name] == value, name
    assert VARIABLES["budget_left"].value(Facts(profile)) == 1


def test_a_batch_of_no_requests_follows_no_rule_of_a_request():
    content = {"rules": [{"name": "long", "when": "input_tokens > 1000", "exclude": ["groq/*"]}]}
    nobody = ProfileBatch.of([builders.request()])[:0]
    directives, index = batch_directives(read_policy(content, IDS, source="test"), nobody)
    snapshot = builders.snapshot(*(builders.endpoint(name) for name in IDS))
    assert evaluate_batch(snapshot, nobody, directives, index).excluded.shape == (0, len(IDS))


def test_which_endpoints_patterns_name_is_remembered_and_cannot_be_changed():
    mask = matching(("groq/*",), IDS)
    assert mask.tolist() == [True, False, False]
    with pytest.raises(ValueError, match="read-only"):
        mask[1] = True


def test_a_condition_that_fails_on_a_request_does_not_match_and_is_logged_once(rules, caplog):
    policy = rules(
        """
rules:
  - {name: fragile, when: 'tenant == "t-1" && int(tenant) > input_tokens', exclude: ['groq/*']}
  - {name: next, when: 'tenant == "t-1"', exclude: ['openai/gpt']}
"""
    )
    for tokens in (10, 20):
        result = decision(policy, builders.request(input_tokens=tokens), tenant_id="t-1")
        assert result.directive.rules == ("next",)
    assert caplog.text.count("rule fragile failed and did not match: ") == 1
    assert "None" not in caplog.text


def test_every_level_of_preference_gives_way_to_the_one_above(rules):
    named = {"tenant_preference": RoutingPreference.BALANCED, "request_preference": RoutingPreference.COST_OPTIMIZED}
    rule = rules("rules: [{name: r, routing_preference: performance-first}]")
    none = rules("rules: [{name: r, set_temperature: 1}]")
    won = [
        decision(none).preference,
        decision(none, tenant_preference=named["tenant_preference"]).preference,
        decision(none, **named).preference,
        decision(rule, **named).preference,
    ]
    assert [(p.level, p.rule) for p in won] == [("default", None), ("tenant", None), ("request", None), ("rule", "r")]


def test_a_batch_tells_requests_apart_by_every_variable_of_its_own(rules):
    """Whatever a condition may read, a request in a batch fires the rules that it fires alone."""
    profiles = [
        builders.request(
            family=family, depth=depth, latency_class=latency_class, contract=contract, hour_utc=hour,
            input_tokens=tokens, output_tokens=tokens // 2, needs=frozenset(needs), locked_down="confidential" in needs,
            precision=Precision(number), topology=Topology(number), tool_dependence=ToolDependence(number),
            determinism=Determinism(number), economics=Economics(number),
        )
        for number, (family, depth, latency_class, contract, hour, tokens, needs) in enumerate([
            (TaskFamily.CODE, Depth.HARD, LatencyClass.BATCH, OutputContract.JSON, 3, 10, {"tools"}),
            (TaskFamily.CHAT, Depth.EASY, LatencyClass.REALTIME, OutputContract.TEXT, 12, 900, {"vision"}),
            (TaskFamily.RAG, Depth.EXPERT, LatencyClass.STANDARD, OutputContract.STRICT, 23, 5000, {"confidential"}),
        ])
    ]  # fmt: skip
    for name in VARIABLES:
        seen = {VARIABLES[name].value(Facts(profile)) for profile in profiles}
        assert (len(seen) > 1) is (VARIABLES[name].column is not None), f"{name}: the requests must differ in it"
        text = [{"name": "r", "when": f"{name} == {json.dumps(max(seen))}", "exclude": ["groq/*"]}]
        policy = read_policy({"rules": text}, IDS, source="test")
        directives, index = batch_directives(policy, ProfileBatch.of(profiles))
        assert [directives[i] for i in index] == [policy.directive(Facts(profile)) for profile in profiles], name


@given(st.lists(builders.profiles, min_size=2, max_size=20))
def test_what_earlier_requests_were_changes_nothing(profiles):
    content = {
        "rules": [
            {"name": "a", "when": 'task == "code" || input_tokens > 5000', "exclude": ["groq/*"], "continue": True},
            {"name": "b", "when": "hour < 12 && depth >= 2", "set_temperature": 0},
            {"name": "c", "when": 'contract != "text" && output_tokens < 4000', "require": ["openai/*"]},
        ]
    }
    used = read_policy(content, IDS, source="test")
    for profile in profiles:
        fresh = read_policy(content, IDS, source="test")
        assert used.directive(Facts(profile)) == fresh.directive(Facts(profile))


def test_a_comprehension_named_inside_a_text_is_no_comprehension(rules):
    assert len(rules("""rules: [{name: a, when: 'tenant != "x.map(y)"', prefer: ['groq/*']}]""")) == 1


def test_no_file_means_no_rules():
    assert len(load_policy(None, IDS)) == 0


def test_the_documentation_names_every_variable_and_every_function():
    documented = (Path(__file__).parents[2] / "docs/policy.md").read_text("utf-8")
    assert [name for name in (*VARIABLES, *FUNCTIONS) if f"`{name}`" not in documented] == []
