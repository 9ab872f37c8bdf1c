"""Reading rate-limit headers, as vendors write them, and whatever else comes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freerelay_core.fleet import Statement
from freerelay_core.providers import exhausted, rate_limits

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
RPM, TPM, RPD, TPD = range(4)


def trio(name, most, left, reset):
    return {
        f"x-ratelimit-limit-{name}": most,
        f"x-ratelimit-remaining-{name}": left,
        f"x-ratelimit-reset-{name}": reset,
    }


def epoch(seconds, factor=1):
    return str(int((NOW.timestamp() + seconds) * factor))


@pytest.mark.parametrize(
    ("provider", "headers", "said"),
    [
        (
            "groq-free",
            trio("requests", "14400", "14370", "2m59.56s") | trio("tokens", "18000", "0", "7.66s"),
            (Statement(RPD, 14400, 14370, 179.56, refills=True), Statement(TPM, 18000, 0, 7.66, refills=True)),
        ),
        ("openai", trio("requests", "60", "59", "1s"), (Statement(RPM, 60, 59, 1.0, refills=True),)),
        ("openai", trio("requests", "200", "199", "7m12s"), (Statement(RPD, 200, 199, 432.0, refills=True),)),
        ("nobody-knows", trio("tokens", "1000", "10", "825ms"), (Statement(TPM, 1000, 10, 0.825, refills=True),)),
        (
            "cerebras",
            trio("requests-day", "14400", "13693", "11726.25") | trio("tokens-minute", "60000", "60000", "26.5"),
            (Statement(RPD, 14400, 13693, 11726.25, refills=True), Statement(TPM, 60000, 60000, 26.5, refills=True)),
        ),
        (
            "mistral-free",
            {"x-ratelimit-limit-req-minute": "60", "x-ratelimit-remaining-req-minute": "59"},
            (Statement(RPM, 60, 59, None, refills=False),),
        ),
        (
            "openrouter-free",
            {
                "x-ratelimit-limit": "50",
                "x-ratelimit-remaining": "0",
                "x-ratelimit-reset": epoch(3600, 1000),
            },
            (Statement(RPD, 50, 0, 3600.0, refills=False),),
        ),
        (
            "sambanova-free",
            trio("requests", "20", "19", epoch(30)),
            (Statement(RPM, 20, 19, 30.0, refills=False),),
        ),
        (
            "anthropic",
            {
                "anthropic-ratelimit-requests-limit": "50",
                "anthropic-ratelimit-requests-remaining": "49",
                "anthropic-ratelimit-requests-reset": "2026-11-24T12:00:01Z",
            },
            (Statement(RPM, 50, 49, 1.0, refills=True),),
        ),
        (
            "vllm",
            {
                "ratelimit-policy": '"burst";q=100;w=60, "daily";q=1000;w=86400',
                "ratelimit": '"burst";r=50;t=30, "daily";r=900',
            },
            (Statement(RPM, 100, 50, 30.0, refills=False), Statement(RPD, 1000, 900, None, refills=False)),
        ),
        (
            "vllm",
            {"ratelimit-limit": "100, 100;w=60", "ratelimit-remaining": "4", "ratelimit-reset": "12"},
            (Statement(RPM, 100, 4, 12.0, refills=False),),
        ),
        ("together", trio("requests", "10", "1", "1"), ()),
        ("openai", {"content-type": "application/json"}, ()),
        ("openai", trio("requests", "many", "-3", "soon"), ()),
        ("openai", trio("tokens", "100", "1", "never"), (Statement(TPM, 100, 1, None, refills=True),)),
        ("openai", trio("tokens", "100", "1", "999999"), (Statement(TPM, 100, 1, None, refills=True),)),
    ],
)
def test_each_vendor_is_read_in_its_own_words(provider, headers, said):
    assert rate_limits(headers, provider, NOW) == said


def test_which_limit_is_spent_is_said_in_words():
    said = rate_limits(trio("requests", "14400", "0", "6s") | trio("tokens", "18000", "0", "7s"), "groq", NOW)
    assert exhausted(said) == "requests a day and tokens a minute"
    assert exhausted(said[:0]) is None


values = st.one_of(
    st.text(max_size=60),
    st.from_regex(r"\A[0-9dhms.:TZ+\-;,=\"rwqt ]{0,40}\Z"),
    st.sampled_from(["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "9" * 300 + "s", "."]),
)
names = st.sampled_from(
    [
        *trio("requests", "", "", ""),
        *trio("tokens", "", "", ""),
        *trio("requests-day", "", "", ""),
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "anthropic-ratelimit-tokens-reset",
        "anthropic-ratelimit-tokens-remaining",
        "ratelimit",
        "ratelimit-policy",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
    ]
)


@given(
    st.dictionaries(names, values, max_size=8),
    st.sampled_from(["openai", "groq", "cerebras", "openrouter", "anthropic", "sambanova", "mistral"]),
)
def test_nothing_in_a_header_raises_and_all_that_is_read_makes_sense(headers, provider):
    for said in rate_limits(headers, provider, NOW):
        assert said.most is None or said.most >= 0
        assert said.left is None or said.left >= 0
        assert said.reset_s is None or 0 <= said.reset_s <= 90_000
