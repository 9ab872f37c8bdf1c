"""The axes of a profile are read from what the request says, and are kept, batched and shown without loss."""

from __future__ import annotations

import builders
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.policy import Facts, batch_directives, read_policy
from freerelay_core.profile import (
    Determinism,
    Economics,
    LatencyClass,
    Precision,
    ProfileBatch,
    RequestProfile,
    ToolDependence,
    Topology,
    profile_request,
)

TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "42"}


def says(text="Hello there", **fields):
    return profile_request({"messages": [{"role": "user", "content": text}], **fields})


def turns(*messages, **fields):
    return profile_request({"messages": list(messages), **fields})


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("text", "fields", "precision"),
    [
        ("Solve the equation 2x = 4", {}, Precision.EXACT),
        ("Tell me about owls", {}, Precision.NORMAL),
        ("Tell me about owls", {"temperature": 1.2}, Precision.LOOSE),
        ("Write a poem about owls", {}, Precision.LOOSE),
        ("Write a poem about owls", {"response_format": {"type": "json_schema", "json_schema": {}}}, Precision.EXACT),
        ("Which is largest?\nA) Mars\nB) Venus\nC) Jupiter", {}, Precision.EXACT),
    ],
)
def test_precision_is_exact_where_one_answer_is_right_and_loose_where_many_are(text, fields, precision):
    assert says(text, **fields).precision is precision


def test_the_topology_is_the_way_the_context_is_built():
    assert turns({"role": "system", "content": "Be brief."}, user("hi")).topology is Topology.SINGLE
    assert turns(user("hi"), assistant("hello"), user("how are you")).topology is Topology.CONVERSATION
    assert says("word " * 5000).topology is Topology.LONG_DOCUMENT
    assert says("Context: <doc>The door is blue.</doc>\nWhich colour is the door?").topology is Topology.RETRIEVED
    assert turns(user("go"), CALL, RESULT, tools=[TOOL]).topology is Topology.TOOL_LOOP


@pytest.mark.parametrize(
    ("fields", "dependence"),
    [
        ({}, ToolDependence.NONE),
        ({"tools": []}, ToolDependence.NONE),
        ({"tools": [TOOL]}, ToolDependence.OFFERED),
        ({"tools": [TOOL], "tool_choice": "auto"}, ToolDependence.OFFERED),
        ({"tools": [TOOL], "tool_choice": "none"}, ToolDependence.NONE),
        ({"tools": [TOOL], "tool_choice": "required"}, ToolDependence.REQUIRED),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "f"}}}, ToolDependence.REQUIRED),
        ({"functions": [{"name": "f"}], "function_call": {"name": "f"}}, ToolDependence.REQUIRED),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto"}}},
            ToolDependence.OFFERED,
        ),
    ],
)
def test_tool_choice_says_how_much_hangs_on_tools(fields, dependence):
    assert says(**fields).tool_dependence is dependence


def test_results_of_tools_show_that_tools_are_in_use_even_where_none_are_offered_any_more():
    assert turns(user("go"), CALL, RESULT).tool_dependence is ToolDependence.IN_USE


@pytest.mark.parametrize(
    ("fields", "determinism"),
    [
        ({}, Determinism.DEFAULT),
        ({"temperature": 0.5}, Determinism.DEFAULT),
        ({"temperature": 0.9}, Determinism.FREE),
        ({"temperature": 0}, Determinism.FIXED),
        ({"temperature": 1, "seed": 7}, Determinism.FIXED),
        ({"temperature": False}, Determinism.DEFAULT),
        ({"temperature": "hot"}, Determinism.DEFAULT),
    ],
)
def test_temperature_and_seed_say_how_alike_answers_should_be(fields, determinism):
    assert says(**fields).determinism is determinism


@pytest.mark.parametrize(
    ("tier", "economics"),
    [
        (None, Economics.STANDARD),
        ("default", Economics.STANDARD),
        ("flex", Economics.BULK),
        ("batch", Economics.BULK),
        ("priority", Economics.PRIORITY),
        (["flex"], Economics.STANDARD),
    ],
)
def test_the_service_tier_says_what_the_caller_would_pay_for(tier, economics):
    assert says(service_tier=tier).economics is economics


def test_only_confidential_content_locks_the_posture_down():
    assert says(routing={"confidential": True}).locked_down
    assert not says(routing={"confidential": False}).locked_down


def test_a_short_stream_of_code_is_awaited_at_the_cursor():
    code = "def area(radius):\n    return "
    assert says(code, stream=True, max_tokens=40).latency_class is LatencyClass.REALTIME
    assert says(code, stream=True, max_tokens=40).depth.label == "easy"
    assert says(code, stream=True, max_tokens=400).latency_class is LatencyClass.INTERACTIVE
    assert says(code, max_tokens=40).latency_class is LatencyClass.STANDARD
    assert says("Good morning!", stream=True, max_tokens=40).latency_class is LatencyClass.INTERACTIVE


# -- what a provider's cache holds


LONG = "The quick brown fox jumps over the lazy dog. " * 200


def test_what_was_sent_before_the_last_answer_is_expected_in_the_cache():
    profile = turns(user(LONG), assistant("Noted."), user("And now?"))
    assert 0.95 * profile.input_tokens < profile.cached_tokens < profile.input_tokens
    assert profile.cached_tokens == turns(user(LONG)).input_tokens


def test_nothing_is_expected_of_a_first_request_or_of_a_short_beginning():
    assert turns({"role": "system", "content": LONG}, user("hi")).cached_tokens == 0
    assert turns(user("hi"), assistant("hello"), user(LONG)).cached_tokens == 0
    assert turns(user(LONG), assistant("The answer begins with")).cached_tokens == 0, "it was never sent without it"


def test_tools_stand_at_the_beginning_of_what_is_cached():
    tools = [{"type": "function", "function": {"name": f"f{n}", "description": LONG[:500]}} for n in range(20)]
    profile = turns(user("go"), CALL, RESULT, tools=tools)
    assert profile.cached_tokens > 1_024


def test_an_agent_in_its_twelfth_step_finds_most_of_its_request_in_the_cache():
    messages = [{"role": "system", "content": LONG}, user("Find the cause.")]
    for step in range(12):
        call = {"function": {"name": "read_file", "arguments": f'{{"path": "src/module_{step}.py"}}'}}
        messages += [{"role": "assistant", "content": None, "tool_calls": [call]}]
        messages += [{"role": "tool", "tool_call_id": str(step), "content": LONG + LONG[: 100 * step]}]
    profile = turns(*messages, tools=[TOOL])
    assert (profile.family.value, profile.depth.label) == ("agent", "hard")
    assert 0.85 < profile.cached_tokens / profile.input_tokens < 0.95, "36,000 of 40,000 in the acceptance case"


# -- kept, batched, read by rules


def test_a_record_of_an_older_release_reads_with_ordinary_axes():
    record = builders.request().as_dict()
    for added in ("precision", "topology", "tool_dependence", "determinism", "economics"):
        del record[added]
    assert RequestProfile.from_dict(record) == builders.request()


def test_a_record_that_lacks_its_family_is_refused():
    record = builders.request().as_dict()
    del record["family"]
    with pytest.raises(KeyError):
        RequestProfile.from_dict(record)


@given(builders.profiles, st.sets(st.sampled_from(["tools", "vision", "logprobs", "confidential"])))
def test_a_profile_survives_its_record_and_a_batch(profile, needs):
    profile = profile._replace(needs=frozenset(needs), stream=True, reasons={"depth": "because"})
    assert RequestProfile.from_dict(profile.as_dict()) == profile
    assert ProfileBatch.of([profile]).profile(0) == profile._replace(stream=False, reasons={})


@given(st.lists(builders.profiles, min_size=1, max_size=5), st.data())
def test_rows_of_a_batch_are_the_requests_that_were_put_in(requests, data):
    batch = ProfileBatch.of(requests)
    rows = data.draw(st.lists(st.integers(0, len(requests) - 1), min_size=1))
    picked = batch[np.array(rows)]
    assert [picked.profile(n) for n in range(len(rows))] == [requests[row] for row in rows]


@given(st.lists(builders.profiles, min_size=1, max_size=6))
def test_rules_read_every_axis_of_a_batch_as_of_each_request_alone(requests):
    conditions = {
        "exact": 'precision == "exact"',
        "loop": 'topology == "tool_loop" && tool_dependence == "in_use"',
        "bulk": 'economics == "bulk" || determinism == "fixed"',
        "locked": "locked_down",
    }
    rules = [{"name": name, "when": when, "exclude": ["a/*"]} for name, when in conditions.items()]
    policy = read_policy({"rules": rules}, ("a/b",), source="test")
    directives, index = batch_directives(policy, ProfileBatch.of(requests))
    alone = [policy.directive(Facts(request)) for request in requests]
    assert [directives[row] for row in index] == alone
