"""No request names the host that it is sent to: known attacks on routers, and a listener that would notice."""

from __future__ import annotations

import pytest
from api_server import BODY
from upstreams import upstream_server

FIELDS = (
    "base_url", "api_base", "api_url", "url", "host", "endpoint", "proxy", "api_key", "custom_host", "azure_endpoint",
    "aws_bedrock_runtime_endpoint", "vertex_ai_location", "custom_llm_provider", "extra_headers", "default_headers",
    "extra_body", "client", "timeout", "mock_response", "model_list", "fallbacks", "config", "provider",
)  # fmt: skip
HEADERS = (
    "x-portkey-custom-host", "x-portkey-config", "x-portkey-provider", "x-litellm-api-base", "x-custom-host",
    "x-forwarded-host", "x-original-host", "forwarded", "openai-base-url", "x-api-base", "x-upstream-url",
    "helicone-target-url", "helicone-openai-api-base", "proxy-authorization", "x-freerelay-host",
)  # fmt: skip


@pytest.fixture(scope="module")
def trap():
    with upstream_server() as server:
        yield server


@pytest.mark.parametrize("stream", [False, True])
def test_neither_fields_nor_headers_lead_elsewhere(calm, upstream, trap, stream):
    values = dict.fromkeys(FIELDS, trap.url)
    values |= {"extra_headers": {"host": trap.url}, "extra_body": {"api_base": trap.url}}
    answer = calm.chat(BODY | values | {"stream": stream}, **dict.fromkeys(HEADERS, trap.url))
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-freerelay-endpoint"] == "first/m"
    assert trap.connections == 0
    (received,) = upstream.received
    assert received.headers["host"] == f"127.0.0.1:{upstream.port}"
    assert received.headers.keys().isdisjoint(HEADERS)


def test_a_name_of_a_model_is_no_address(calm, trap):
    for model in (
        trap.url,
        f"first/m@{trap.url}",
        f"first/../{trap.url}",
        f"{trap.url}#first/m",
        "first/m@evil.example",
    ):
        assert calm.chat(BODY | {"model": model}).status_code == 404
    assert trap.connections == 0
