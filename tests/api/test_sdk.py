"""The unmodified openai SDK against the running API."""

from __future__ import annotations

import json

import jsonschema
import openai
import pydantic
import pytest
from api_server import HELLO, OPERATOR_KEY

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": PERSON}}


def test_a_chat_completion(server):
    answer = server.openai().chat.completions.create(model="freerelay/auto", messages=HELLO, max_tokens=40)
    assert "simulated" in answer.choices[0].message.content
    assert answer.usage.completion_tokens >= 1
    assert answer.system_fingerprint == "simulated"


def test_a_stream(server):
    stream = server.openai().chat.completions.create(
        model="freerelay/auto", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert "simulated" in "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].usage.prompt_tokens > 0
    assert sum(bool(chunk.choices) for chunk in chunks) > 3


@pytest.mark.anyio
async def test_the_asynchronous_client(server):
    async with openai.AsyncOpenAI(api_key=server.key, base_url=f"{server.root}/v1", max_retries=0) as client:
        answer = await client.chat.completions.create(model="freerelay/auto", messages=HELLO)
        assert answer.choices[0].finish_reason == "stop"
        stream = await client.chat.completions.create(model="freerelay/auto", messages=HELLO, stream=True)
        assert [chunk async for chunk in stream][-1].choices[0].finish_reason == "stop"


def test_structured_output(server):
    form = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    answer = server.openai().chat.completions.create(model="freerelay/auto", messages=HELLO, response_format=form)
    jsonschema.validate(json.loads(answer.choices[0].message.content), PERSON)


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_an_answer_parsed_into_a_class(server):
    answer = server.openai().chat.completions.parse(model="freerelay/auto", messages=HELLO, response_format=Person)
    assert isinstance(answer.choices[0].message.parsed, Person)


def test_several_answers_a_seed_and_a_picture(server):
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    content = [{"type": "text", "text": "What is this?"}, picture]
    answer = server.openai().chat.completions.with_raw_response.create(
        model="freerelay/auto", messages=[{"role": "user", "content": content}], n=2, seed=7
    )
    assert [choice.index for choice in answer.parse().choices] == [0, 1]
    assert not answer.headers["x-freerelay-endpoint"].startswith("groq"), "Groq refuses n"


@pytest.mark.parametrize("stream", [False, True])
def test_a_conversation_with_a_tool(server, stream):
    client = server.openai()
    common = {"model": "freerelay/auto", "tools": [TOOL]}
    if stream:
        with client.chat.completions.stream(messages=HELLO, **common) as events:
            message = events.get_final_completion().choices[0].message
    else:
        message = client.chat.completions.create(messages=HELLO, **common).choices[0].message
    (call,) = message.tool_calls
    jsonschema.validate(json.loads(call.function.arguments), PERSON)
    answered = [
        *HELLO,
        {"role": "assistant", "tool_calls": [call.model_dump(include={"id", "type", "function"})]},
        {"role": "tool", "tool_call_id": call.id, "content": "42"},
    ]
    assert client.chat.completions.create(messages=answered, **common).choices[0].message.content


def test_models_are_listed_and_each_can_be_named(server):
    client = server.openai()
    names = [model.id for model in client.models.list()]
    assert "freerelay/auto" in names
    assert len(names) > 30
    for name in ("freerelay/auto", "openai/gpt-5.6-luna@none"):
        assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("openai/none-such")


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (openai.AuthenticationError, {"key": "fr_live_" + "x" * 49}),
        (openai.NotFoundError, {"model": "gpt-4"}),
        (openai.UnprocessableEntityError, {"messages": []}),
        (openai.PermissionDeniedError, {"key": "operator"}),
    ],
)
def test_errors_are_the_sdk_s_own(server, kind, call):
    key = call.pop("key", None)
    client = server.openai(OPERATOR_KEY if key == "operator" else key)
    with pytest.raises(kind) as error:
        client.chat.completions.create(**{"model": "freerelay/auto", "messages": HELLO, **call})
    assert error.value.body["message"]
    assert error.value.request_id.startswith("req_")


@pytest.mark.parametrize(
    ("kind", "more", "param"),
    [
        (openai.UnprocessableEntityError, {"n": 0}, "n"),
        (openai.BadRequestError, {"n": 99}, "n"),
        (openai.BadRequestError, {"temperature": 9}, "temperature"),
        (openai.BadRequestError, {"response_format": {"type": "yaml"}}, "response_format.type"),
    ],
)
def test_what_is_refused_is_named_to_the_sdk(server, kind, more, param):
    with pytest.raises(kind) as error:
        server.openai().chat.completions.create(model="freerelay/auto", messages=HELLO, **more)
    assert (error.value.code, error.value.param) == ("invalid_value", param)
