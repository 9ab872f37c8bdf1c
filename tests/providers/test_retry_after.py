"""How long providers ask us to wait, in all the ways they say it."""

from __future__ import annotations

import builders
import pytest

from freerelay_core.providers.retry_after import retry_after_s


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Tue, 24 Nov 2026 12:01:00 GMT"}, 60.0),
        ({"retry-after": "Tue, 24 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1e9999"}, None),
        ({"retry-after": "9" * 400}, None),
        ({"retry-after": "Fri, 31 Dec 99999999999 23:59:59 GMT"}, None),
        ({"retry-after": "Fri, 1 Jan 2027 1:1:1 " + "9" * 30}, None),
        ({}, None),
    ],
)
def test_retry_after_is_read(headers, seconds):
    assert retry_after_s(headers, builders.NOON) == seconds
