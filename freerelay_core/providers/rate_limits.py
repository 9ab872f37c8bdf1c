"""Reads what providers say of their rate limits in the headers of an answer. Nothing in a header can raise.

Names, windows and the way back differ by vendor and are data here (`_DIALECTS`); whoever is not listed is read as
OpenAI, and by the draft standard (draft-ietf-httpapi-ratelimit-headers). What no limit of ours can hold (per second,
per month, input tokens alone) is left out: a 429 with its `Retry-After` speaks for those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from freerelay_core.fleet import LIMITS, Statement

__all__ = ["exhausted", "rate_limits"]

RPM, TPM, RPD, TPD = range(len(LIMITS))

_LONGEST_S = 90_000.0
"""Beyond a day (and an hour, for clocks that differ) a reset is that of no limit of ours."""
_EPOCH_S, _EPOCH_MS = 1e9, 1e12
"""Larger numbers are a time since 1970, in s and in ms."""
_LONGEST_VALUE = 200
_LONGEST_NUMBER = 20


class _Fields(NamedTuple):
    """The headers of one limit, and which limit it is."""

    limit: int | None
    """None: the time until the reset tells whether it is of a minute or of a day."""
    most: str
    left: str
    reset: str
    refills: bool = True
    """A bucket that fills little by little; false where all comes back at once, at the end of the window."""


def _named(limit: int | None, name: str, *, refills: bool = True) -> _Fields:
    """Headers as OpenAI has them, of the limit `name`."""
    return _Fields(
        limit, f"x-ratelimit-limit-{name}", f"x-ratelimit-remaining-{name}", f"x-ratelimit-reset-{name}", refills
    )


_OPENAI = (_named(None, "requests"), _named(TPM, "tokens"))
_BY_WINDOW = (
    _named(RPM, "requests-minute"),
    _named(RPD, "requests-day"),
    _named(TPM, "tokens-minute"),
    _named(TPD, "tokens-day"),
)
_DIALECTS: Mapping[str, tuple[_Fields, ...]] = MappingProxyType(
    {
        # "x-ratelimit-limit-requests" is a day's at Groq, always (console.groq.com/docs/rate-limits).
        "groq": (_named(RPD, "requests"), _named(TPM, "tokens")),
        # inference-docs.cerebras.ai/support/rate-limits; answers seen in public carry minute, hour and day.
        "cerebras": _BY_WINDOW,
        # Two generations of names; neither says when (answers seen in public, 2025-2026).
        "mistral": (
            _named(RPM, "req-minute", refills=False),
            _named(TPM, "tokens-minute", refills=False),
            _Fields(
                TPM,
                "x-ratelimitbysize-limit-minute",
                "x-ratelimitbysize-remaining-minute",
                "ratelimitbysize-reset",
                refills=False,
            ),
        ),
        # Only for free models: 20 a minute or 50 a day, whichever is short; the reset is an epoch in ms.
        "openrouter": (
            _Fields(None, "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", refills=False),
        ),
        # Requests a minute, and a day's beside them; resets are epochs in s.
        "sambanova": (_named(RPM, "requests", refills=False), _named(RPD, "requests-day", refills=False)),
        "anthropic": tuple(
            _Fields(
                limit, f"anthropic-ratelimit-{unit}-limit", f"anthropic-ratelimit-{unit}-remaining",
                f"anthropic-ratelimit-{unit}-reset",
            )
            for limit, unit in ((RPM, "requests"), (TPM, "tokens"))
        ),
        # Tokens are limited apart by prompt and answer there, which no limit of ours can hold.
        "fireworks": (_named(RPM, "requests"),),
        # Requests and tokens a second, which move with the traffic: its 429s speak for it.
        "together": (),
    }
)  # fmt: skip
"""By vendor; `groq-free` is read as `groq`."""


def rate_limits(headers: Mapping[str, str], provider: str, now: datetime) -> tuple[Statement, ...]:
    """What the headers (names in lower case) say of the limits; empty where they say nothing."""
    found = []
    fields = _dialect(provider)
    for limit, most, left, reset, refills in fields:
        left_value = _number(headers.get(left))
        most_value = _number(headers.get(most))
        if left_value is None and most_value is None:
            continue
        reset_s = _seconds(headers.get(reset), now)
        which = _window_of(most_value, left_value, reset_s, refills=refills) if limit is None else limit
        if which is not None:
            found.append(Statement(which, most_value, left_value, reset_s, refills))
    if not found and ("ratelimit" in headers or "ratelimit-remaining" in headers):
        found.extend(_by_the_draft(headers, now))
    return tuple(found)


def exhausted(statements: tuple[Statement, ...]) -> str | None:
    """The limits of which nothing is left, in words; None where there is none."""
    return " and ".join(_WORDS[each.limit] for each in statements if each.left is not None and each.left < 1) or None


_WORDS = ("requests a minute", "tokens a minute", "requests a day", "tokens a day")


@lru_cache(maxsize=256)
def _dialect(provider: str) -> tuple[_Fields, ...]:
    vendor = provider.removesuffix("-free")
    return _DIALECTS.get(vendor, _OPENAI)


def _window_of(most: float | None, left: float | None, reset_s: float | None, *, refills: bool) -> int | None:
    """Whether these requests are of a minute or of a day; None where the figures do not tell.

    A bucket that refills to `most` in a whole window has refilled what is missing after the reset.
    """
    if most is None or left is None or reset_s is None:
        return None
    if not refills:
        return RPM if reset_s <= 60.0 else RPD
    if most <= left:
        return None
    window_s = reset_s * most / (most - left)
    return RPD if window_s > 3_600.0 else RPM


# -- the draft standard


_ITEM = re.compile(r'[^,"]*(?:"[^"]*"[^,"]*)*')


def _by_the_draft(headers: Mapping[str, str], now: datetime) -> Iterator[Statement]:
    """`RateLimit-Policy: "burst";q=100;w=60` with `RateLimit: "burst";r=50;t=30`, and the three fields before them."""
    policies = dict(_items(headers.get("ratelimit-policy")))
    for name, values in _items(headers.get("ratelimit")):
        policy = policies.get(name, {})
        left = _number(values.get("r") or values.get("remaining"))
        most = _number(policy.get("q") or values.get("limit") or (name if name.isdecimal() else None))
        limit = _WINDOWS.get(policy.get("w", "60"))
        if left is not None and limit is not None and policy.get("qu", "requests").strip('"') == "requests":
            yield Statement(limit, most, left, _seconds(values.get("t") or values.get("reset"), now), refills=False)
    left = _number(headers.get("ratelimit-remaining"))
    if left is not None:
        first, _, more = (headers.get("ratelimit-limit") or "").partition(",")
        limit = next((_WINDOWS.get(values.get("w", "60")) for _, values in _items(more)), RPM)
        if limit is not None:
            yield Statement(limit, _number(first), left, _seconds(headers.get("ratelimit-reset"), now), refills=False)


_WINDOWS = {"60": RPM, "86400": RPD}


def _items(value: str | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Name and parameters of each item of a structured field, as far as they can be read."""
    if value is None or len(value) > _LONGEST_VALUE:
        return
    for item in _ITEM.findall(value):
        name, *parameters = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in parameters)
        if name:
            yield name.strip('"'), {key: what for key, _, what in pairs}


# -- numbers and times


def _number(value: str | None) -> float | None:
    """The number, unless it is none, negative or beyond all sense."""
    if value is None or len(value) > _LONGEST_NUMBER:
        return None
    if value.isdecimal() or value.strip().replace(".", "", 1).isdecimal():
        return float(value)
    return None


_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?", re.ASCII)


def _seconds(value: str | None, now: datetime) -> float | None:
    """Seconds from a duration as Go writes it (`6m0s`, `1.2s`, `825ms`), a number, an epoch or a date (RFC 3339)."""
    if value is None or not 0 < len(value) <= _LONGEST_VALUE:
        return None
    number = _number(value)
    if number is not None:
        if number >= _EPOCH_S:
            number = (number / 1000 if number >= _EPOCH_MS else number) - now.timestamp()
        seconds = max(0.0, number)
    elif match := _DURATION.fullmatch(value):
        days, hours, minutes, s, ms = match.groups("0")
        seconds = 86_400.0 * int(days) + 3_600.0 * int(hours) + 60.0 * int(minutes) + float(s) + float(ms) / 1000
    else:
        try:
            at = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
        seconds = max(0.0, ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds())
    return seconds if seconds <= _LONGEST_S else None
