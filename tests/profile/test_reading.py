"""What a request's own body says about it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile import (
    Depth,
    Determinism,
    LatencyClass,
    OutputContract,
    RequestProfile,
    TaskFamily,
    profile_request,
)
from freerelay_core.profile.text import estimate_tokens


def body(text="Hello there", **fields):
    return {"model": "freerelay/auto", "messages": [{"role": "user", "content": text}], **fields}


@pytest.mark.parametrize(
    ("text", "family"),
    [
        ("Hello, how are you today?", "chat"),
        ("Write a python function that reverses a list", "code"),
        ("```\nx = 1\n```\nwhat does this do", "code"),
        ("Translate to German: good morning", "translate"),
        ("Summarize the following article", "summarize"),
        ("Solve the equation x^2 = 4", "math"),
        ("Classify the sentiment of this review", "classify"),
        ("Write a poem about autumn", "creative"),
        ("Is this clause of the contract a liability?", "legal"),
    ],
)
def test_words_point_to_a_family(text, family):
    profile = profile_request(body(text))
    assert profile.family == family
    assert profile.reasons["family"]


def test_structure_outweighs_words():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    profile = profile_request(body("Translate this", tools=tools))
    assert profile.family is TaskFamily.AGENT
    assert "tools" in profile.needs
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}
    seen = profile_request({"messages": [{"role": "user", "content": [{"type": "text", "text": "What?"}, picture]}]})
    assert seen.family is TaskFamily.VISION
    assert "vision" in seen.needs


@pytest.mark.parametrize(("stream", "needs"), [(True, {"streaming"}), (False, set()), (None, set())])
def test_a_streamed_answer_needs_an_endpoint_that_streams(stream, needs):
    assert profile_request(body(stream=stream)).needs == needs


def test_several_calls_of_tools_in_one_answer_are_permitted_and_not_needed():
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert profile_request(body(tools=tools, parallel_tool_calls=True)).needs == {"tools"}


@pytest.mark.parametrize(
    ("response_format", "contract"),
    [
        (None, OutputContract.TEXT),
        ({"type": "text"}, OutputContract.TEXT),
        ({"type": "json_object"}, OutputContract.JSON),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {}}}, OutputContract.SCHEMA),
        ({"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}, OutputContract.STRICT),
    ],
)
def test_the_response_format_is_the_output_contract(response_format, contract):
    assert profile_request(body(response_format=response_format)).contract is contract


@pytest.mark.parametrize(
    ("fields", "depth"),
    [
        ({}, Depth.EASY),
        ({"reasoning_effort": "low"}, Depth.EASY),
        ({"reasoning_effort": "medium"}, Depth.STANDARD),
        ({"reasoning_effort": "high"}, Depth.HARD),
    ],
)
def test_reasoning_effort_states_the_depth(fields, depth):
    assert profile_request(body(**fields)).depth is depth


def test_long_code_at_high_effort_is_expert_work():
    assert profile_request(body("def f(): pass\n" * 4000, reasoning_effort="high")).depth is Depth.EXPERT


def test_what_the_caller_states_wins():
    profile = profile_request(body("Write a poem"), task="legal", depth="expert")
    assert (profile.family, profile.depth) == (TaskFamily.LEGAL, Depth.EXPERT)
    assert set(profile.reasons.values()) == {"stated by the caller"}


@pytest.mark.parametrize("stated", [{"task": "cooking"}, {"depth": "abyssal"}])
def test_an_unknown_statement_is_refused_naming_the_choices(stated):
    with pytest.raises(UnprocessableRequest, match="must be one of") as refusal:
        profile_request(body(), **stated)
    (value,) = stated.values()
    assert value not in refusal.value.message, "what was sent may be a secret in the wrong place"


def test_max_tokens_caps_the_expected_answer():
    assert profile_request(body(max_tokens=5)).output_tokens == 5
    assert profile_request(body(max_completion_tokens=7, max_tokens=900)).output_tokens == 7
    assert profile_request(body(max_tokens=100_000)).output_tokens < 1000


@pytest.mark.parametrize(
    ("stated", "limit"),
    [({}, None), ({"max_tokens": 900, "max_completion_tokens": 7}, 7), ({"max_tokens": 9_999_999}, 9_999_999),
     ({"max_tokens": 10_000_000}, None), ({"max_tokens": 10**400}, None)],
)  # fmt: skip
def test_the_limit_is_kept_where_it_is_one(stated, limit):
    assert profile_request(body(**stated)).answer_limit == limit


@given(st.integers(0, 60_000))
def test_input_is_estimated_to_a_sixteenth_of_an_octave(words):
    """So that requests that are about as long share a ranking; a stricter estimate would claim what nobody knows."""
    exact = estimate_tokens("word " * words) + 4
    rounded = profile_request(body(messages=[{"role": "user", "content": "word " * words}])).input_tokens
    assert abs(rounded - exact) <= 0.022 * exact + 0.5
    assert exact >= 24 or rounded == exact
    assert rounded < 24 or abs(rounded - 2 ** (round(16 * math.log2(rounded)) / 16)) <= 0.5


def test_a_stream_that_is_neither_wanted_nor_not_is_refused():
    with pytest.raises(UnprocessableRequest, match="stream must be true or false"):
        profile_request(body(stream="yes"))


def test_a_limit_that_cannot_be_meant_is_refused_beside_a_sound_one_too():
    with pytest.raises(UnprocessableRequest, match="max_tokens must be a whole number"):
        profile_request(body(max_completion_tokens=7, max_tokens=0))


@pytest.mark.parametrize("limit", [0, -1, "many", 1.5, True])
def test_a_senseless_max_tokens_is_refused(limit):
    with pytest.raises(UnprocessableRequest, match="max_tokens"):
        profile_request(body(max_tokens=limit))


@pytest.mark.parametrize("messages", [None, [], "hello", [1], [{"content": "no role"}]])
def test_messages_that_are_none_are_refused(messages):
    with pytest.raises(UnprocessableRequest, match="messages"):
        profile_request({"messages": messages})


def test_a_stream_is_awaited_and_a_batch_is_not():
    assert profile_request(body(stream=True)).latency_class is LatencyClass.INTERACTIVE
    assert profile_request(body(service_tier="batch")).latency_class is LatencyClass.BATCH
    assert profile_request(body()).latency_class is LatencyClass.STANDARD


@given(st.text(max_size=3000))
def test_any_text_has_a_profile_and_more_text_is_never_fewer_tokens(text):
    shorter, longer = profile_request(body(text)), profile_request(body(text + " and more"))
    assert 0 < shorter.input_tokens <= longer.input_tokens


@given(st.data())
def test_a_profile_survives_its_own_record(data):
    import builders

    profile = data.draw(builders.profiles)
    assert RequestProfile.from_dict(profile.as_dict()) == profile


# -- whatever is sent

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters(categories=["L", "N", "P", "Cs", "Zs"]), max_size=20)
    | st.sampled_from(["user", "assistant", "tool", "system", "text", "image_url", "json_schema", "high", "flex"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "function", "name", "arguments", "mode", "strict"]),
            inner,
        )
    ),
    max_leaves=12,
)
messages = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system", "developer", "?"])},
    optional={"content": anything, "tool_calls": anything},
)
bodies = st.fixed_dictionaries(
    {"messages": st.lists(messages | anything, max_size=4)},
    optional=dict.fromkeys(
        [
            "tools", "functions", "tool_choice", "function_call", "response_format", "reasoning_effort", "service_tier",
            "temperature", "seed", "max_tokens", "max_completion_tokens", "stream", "logprobs", "routing",
        ],
        anything,
    ),
)  # fmt: skip


@given(bodies)
def test_any_body_has_a_profile_or_is_refused_naming_the_field(sent):
    refused = None
    try:
        profile = profile_request(sent)
    except UnprocessableRequest as refusal:
        refused = refusal.param
    assert refused or profile.input_tokens >= profile.cached_tokens >= 0 < profile.output_tokens


def test_parts_that_are_no_text_count_for_nothing():
    odd = [{"type": "text", "text": "hello"}, 7, None, {"type": "text", "text": 5}, {"type": "input_audio"}, [], "x"]
    plain = profile_request(body("hello"))
    assert profile_request({"messages": [{"role": "user", "content": odd}]}) == plain
    assert profile_request({"messages": [{"role": "user", "content": 12345}]}).input_tokens == 4


def test_tools_nested_without_end_are_refused():
    nested: list = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(UnprocessableRequest, match="nested too deeply"):
        profile_request(body(tools=nested))
    while nested:  # taken apart by hand: its own destruction would nest as deeply
        nested = nested.pop()


def test_a_megabyte_is_read_and_counted():
    assert 150_000 < profile_request(body("four words of text. " * 50_000)).input_tokens < 350_000


@pytest.mark.parametrize(("n", "answers"), [(None, 1), (1, 1), (3, 3), (99, 99)])
def test_several_answers_are_counted_and_the_most_are_the_provider_s_affair(n, answers):
    assert profile_request(body(n=n)).answers == answers


@pytest.mark.parametrize("n", [0, -1, 2.5, True, "4", [1]])
def test_a_number_of_answers_that_is_none_is_refused_by_name(n):
    with pytest.raises(UnprocessableRequest, match="n must be a whole number of at least 1") as refused:
        profile_request(body(n=n))
    assert refused.value.param == "n"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 1}, {"answer_limit": 1, "output_tokens": 1}),
        ({"max_completion_tokens": 7, "max_tokens": 9}, {"answer_limit": 7}),
        ({"n": 1}, {"answers": 1, "needs": frozenset()}),
        ({"n": 2}, {"answers": 2, "needs": frozenset({"choices"})}),
        ({}, {"answers": 1, "answer_limit": None, "needs": frozenset()}),
        ({"temperature": 0.7}, {"determinism": Determinism.DEFAULT}),
        ({"temperature": 0.71}, {"determinism": Determinism.FREE}),
        ({"temperature": 0}, {"determinism": Determinism.FIXED}),
    ],
)
def test_options_count_from_their_very_first_value(fields, expected):
    profile = profile_request(body(**fields))
    assert {name: getattr(profile, name) for name in expected} == expected


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_below_one_is_refused_by_name(name):
    with pytest.raises(UnprocessableRequest) as refused:
        profile_request(body(**{name: 0}))
    assert refused.value.param == name
