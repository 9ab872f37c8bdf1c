"""A body that comes again has the profile that it had, and nothing else has it."""

from __future__ import annotations

from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.errors import UnprocessableRequest
from freerelay_core.profile import KnownProfiles, profile_request
from freerelay_core.profile import known as module

BODIES = [
    {"messages": [{"role": "user", "content": text}], **fields}
    for text in ("Hello there", "Write a python function", "Prove that the sum converges")
    for fields in ({}, {"stream": True}, {"max_tokens": 40}, {"reasoning_effort": "high"})
]
ASKED = st.tuples(
    st.sampled_from(BODIES), st.integers(0, 2), st.sampled_from([None, "legal"]), st.sampled_from([None, "expert"])
)


def profile(known, body, hour=0, task=None, depth=None):
    return known.profile(body, sha256(orjson.dumps(body)).digest(), hour_utc=hour, task=task, depth=depth)


@given(st.lists(ASKED, max_size=60), st.integers(1, 8))
def test_whatever_came_before_a_body_is_read_as_if_nothing_had(asked, most):
    known = KnownProfiles()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MOST", most)
        for body, hour, task, depth in asked:
            expected = profile_request(body, hour_utc=hour, task=task, depth=depth)
            assert profile(known, body, hour, task, depth) == expected


def test_a_body_that_comes_again_is_not_read_again():
    known, body = KnownProfiles(), BODIES[0]
    assert profile(known, body) is profile(known, body)


def test_a_body_that_is_refused_is_refused_again():
    known = KnownProfiles()
    for _ in range(2):
        with pytest.raises(UnprocessableRequest):
            profile(known, {"messages": []})
