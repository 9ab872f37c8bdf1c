"""How many requests may be open, of a tenant and at all, as clients meet it."""

from __future__ import annotations

import pytest
from api_server import BODY, OPERATOR_KEY
from serving import eventually
from upstreams import Hanging, saying, upstream_server

CHAT = "/v1/chat/completions"
CATALOGUE = """
providers:
  slow: {{base_url: "{url}"}}
endpoints:
  slow/m: {{like: openai/gpt-4o-mini, upstream_model: m, price: free}}
"""


@pytest.mark.parametrize(
    ("limits", "status", "code"),
    [
        ({"tenant_concurrency": "1"}, 429, "too_many_open_requests"),
        ({"max_open_requests": 1}, 503, "overloaded"),
    ],
)
def test_what_is_open_limits_what_comes_in_and_its_end_frees_the_place(start, tmp_path, limits, status, code):
    with upstream_server() as upstream:
        (tmp_path / "catalogue.yaml").write_text(CATALOGUE.format(url=upstream.url))
        with start(catalogue=tmp_path / "catalogue.yaml", **limits) as server:
            hanging = Hanging("Hello")
            upstream.plan("m", hanging)
            with server.http() as client, client.stream("POST", CHAT, json=BODY | {"stream": True}) as first:
                events = first.iter_raw()
                next(events)
                refused = server.chat()
            assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)
            assert refused.headers["retry-after"] == "1"
            assert hanging.left.wait(10)
            eventually(lambda: server.application.admission.open == 0)
            upstream.plan("m", saying("Hello"))
            assert server.chat().status_code == 200
            with server.http(OPERATOR_KEY) as client:
                assert f'freerelay_rejected_requests_total{{reason="{code}"}} 1.0' in client.get("/metrics").text
