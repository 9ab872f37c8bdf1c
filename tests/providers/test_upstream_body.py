"""What each provider is sent: the client's request in that provider's words."""

from __future__ import annotations

import json

import builders
import pytest

from freerelay_core.catalogue import Wire, load_catalogue
from freerelay_core.profile import profile_request
from freerelay_core.providers import asks_for_usage, upstream_body

HELLO = [{"role": "user", "content": "ü"}]


NOTHING_KNOWN = Wire("w")


def sent(body, wire=NOTHING_KNOWN, endpoint=None):
    return json.loads(upstream_body({"messages": HELLO} | body, endpoint or builders.endpoint("a/m"), wire))


def shipped(provider):
    return load_catalogue().providers[provider].wire


def test_only_model_effort_and_our_own_field_are_touched():
    body = {"model": "freerelay/auto", "messages": HELLO, "seed": 2**63, "top_p": 0.1, "unknown": {"x": [1, None]}}
    thinks = builders.endpoint("a/m", thinking_tokens=100)
    assert sent(body | {"routing": {"task": "chat"}}) == body | {"model": "m"}
    assert sent({"reasoning_effort": "low"}, endpoint=thinks)["reasoning_effort"] == "low"
    assert sent({"reasoning_effort": "low"}, endpoint=builders.endpoint("a/m@high"))["reasoning_effort"] == "high"
    assert sent({}, endpoint=builders.endpoint("a/m@max"))["reasoning_effort"] == "max"


@pytest.mark.parametrize("name", ["a/m", "a/m@instant"])
def test_an_endpoint_that_does_not_think_is_told_no_effort(name):
    assert "reasoning_effort" not in sent({"reasoning_effort": "high"}, endpoint=builders.endpoint(name))


@pytest.mark.parametrize("client", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize(
    ("provider", "name"),
    [
        ("openai", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("cerebras", "max_completion_tokens"),
        ("x-ai", "max_completion_tokens"),
        ("mistral", "max_tokens"),
        ("together", "max_tokens"),
        ("deepseek", "max_tokens"),
    ],
)
def test_the_limit_of_the_answer_has_the_provider_s_name(provider, name, client):
    body = sent({client: 40}, shipped(provider))
    assert {key: body[key] for key in body if key.startswith("max_")} == {name: 40}


def test_of_two_limits_the_newer_name_counts_and_an_absent_one_stays_absent():
    limited = Wire("w", output_limit="max_tokens")
    assert sent({"max_tokens": 9, "max_completion_tokens": 7}, limited)["max_tokens"] == 7
    assert sent({"max_tokens": None}, limited) == sent({}, limited)
    assert "max_tokens" not in sent({}, limited)
    assert sent({"max_tokens": 9, "max_completion_tokens": 7})["max_tokens"] == 9, "as it came, where nothing is known"


def test_fields_are_renamed_and_hints_that_would_be_refused_left_out():
    said = sent({"seed": 3, "user": "u", "store": False, "top_p": 0.5, "unknown": 1}, shipped("mistral"))
    assert said == {"messages": HELLO, "model": "m", "random_seed": 3, "top_p": 0.5, "unknown": 1}
    assert "presence_penalty" not in sent({"presence_penalty": 0}, shipped("x-ai"))
    assert sent({"n": 1, "logprobs": False, "stop": "x"}, shipped("groq")) == {
        "messages": HELLO,
        "model": "m",
        "stop": "x",
    }


def test_messages_are_said_as_the_provider_knows_them_and_the_client_s_are_left_alone():
    messages = [
        {"role": "developer", "content": "be brief", "name": "ops"},
        {"role": "assistant", "content": "hm", "reasoning_content": "thinking of another model"},
        *HELLO,
    ]
    before = json.dumps(messages)
    said = sent({"messages": messages}, shipped("mistral"))["messages"]
    assert said == [{"role": "system", "content": "be brief"}, {"role": "assistant", "content": "hm"}, *HELLO]
    assert json.dumps(messages) == before
    assert sent({"messages": messages}, shipped("openai"))["messages"] == messages
    assert sent({"messages": "not a list"}, shipped("mistral"))["messages"] == "not a list"


@pytest.mark.parametrize("provider", ["openai", "groq", "cerebras", "x-ai", "deepseek"])
def test_usage_of_a_stream_is_asked_for_where_that_is_understood(provider):
    assert sent({"stream": True}, shipped(provider))["stream_options"] == {"include_usage": True}
    options = {"include_usage": False, "include_obfuscation": False}
    said = sent({"stream": True, "stream_options": options}, shipped(provider))
    assert said["stream_options"] == {"include_usage": True, "include_obfuscation": False}
    assert "stream_options" not in sent({}, shipped(provider))


@pytest.mark.parametrize("provider", ["openrouter", "mistral", "together", "nvidia-free"])
def test_usage_is_not_asked_for_where_it_comes_anyway_or_nothing_is_known(provider):
    assert "stream_options" not in sent({"stream": True}, shipped(provider))


def test_whether_the_client_asks_for_usage():
    assert asks_for_usage({"stream_options": {"include_usage": True}})
    for options in (None, [], {}, {"include_usage": False}, {"include_usage": 1}):
        assert not asks_for_usage({"stream_options": options})


def test_what_would_change_the_form_of_the_answer_is_a_need():
    for body, need in (({"n": 2}, "choices"), ({"logit_bias": {"50256": -100}}, "logit_bias")):
        assert need in profile_request({"messages": HELLO} | body).needs
    assert not profile_request({"messages": HELLO, "n": 1, "logit_bias": {}}).needs
