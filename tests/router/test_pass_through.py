"""What a provider receives is what the client sent, but for the few fields that routing owns."""

from __future__ import annotations

import builders
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.providers import upstream_body

OWNED = {"model", "routing", "reasoning_effort"}
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
BODIES = st.dictionaries(TEXT | st.sampled_from(sorted(OWNED | {"tools", "messages"})), VALUES, max_size=8)


def _exact(value):
    """As text that tells 1 from 1.0, and True from 1."""
    return repr(value)


@given(BODIES)
def test_the_provider_receives_every_field_but_the_model_and_the_routing_as_it_was_sent(body):
    received = orjson.loads(
        upstream_body(orjson.loads(orjson.dumps(body)), builders.endpoint("a/m", thinking_tokens=1))
    )
    assert received.pop("model") == "m"
    assert _exact(received) == _exact({name: value for name, value in body.items() if name not in {"model", "routing"}})


@given(BODIES)
def test_an_endpoint_of_a_stated_effort_replaces_that_field_and_no_other(body):
    received = orjson.loads(upstream_body(orjson.loads(orjson.dumps(body)), builders.endpoint("a/m@high")))
    assert received["reasoning_effort"] == "high"
    kept = {name: value for name, value in received.items() if name not in OWNED}
    assert _exact(kept) == _exact({name: value for name, value in body.items() if name not in OWNED})


@pytest.mark.parametrize("number", [2**63 - 1, 2**64 - 1, -(2**63)])
def test_integers_of_64_bit_stay_exact(number):
    sent = orjson.loads(b'{"seed": %d}' % number)
    assert orjson.loads(upstream_body(sent, builders.endpoint("a/m")))["seed"] == number
