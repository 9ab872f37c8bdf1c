"""The cheapest provider fails at 60 % of its calls, two are well; then nobody is.

    python benchmarks/brownout.py [--requests 3000] [--json]

The real application over three providers on loopback (`faulty.py`). First all are well, then the one that is ranked
first answers 500 to 30 % of its calls, nothing to 20 %, and 429 to 10 %: clients should notice nothing but some slower
first tokens. Last, all answer 500: who comes then should be told so at once. Half of the requests stream. Limits on
waiting are shortened (the first content within 1 s), everything else is as shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.faulty import providers
from benchmarks.figures import figure, p99, report
from benchmarks.loopback import FIRST_BYTE_LIMIT_S, catalogue_of, served, short_limits
from benchmarks.phases import measured
from freerelay_core.config import load_settings

AT_ONCE = 16
"""Requests under way at a time."""
RATE = 200.0
"""Requests a second at most: a fleet is judged over time, not within a burst."""
BROWN = {"status_500": 0.3, "hang": 0.2, "rate_limited": 0.1}
DOWN = {"status_500": 1.0}
SETTLE = 200
"""Requests after the last provider is down that are not counted: the breakers open meanwhile."""


@dataclass
class Seen:
    """What clients saw of one phase."""

    statuses: Counter[int] = field(default_factory=Counter)
    attempts: int = 0
    first_token_s: list[float] = field(default_factory=list)
    """Of streams."""
    refused_s: list[float] = field(default_factory=list)
    """How long those waited who were told that there is no answer."""

    @property
    def requests(self) -> int:
        return self.statuses.total()


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=3_000, help="in each of the three phases")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    figures = measured(lambda folder: measure(folder, requests=arguments.requests))
    report(figures, as_json=arguments.json)


async def measure(folder: Path, *, requests: int, **settings: object) -> list[dict[str, Any]]:
    """The figures of all three phases; `settings` are the application's."""
    with short_limits():
        async with providers({}, {}, {}, seed=20261126) as made:
            catalogue = folder / "catalogue.yaml"
            catalogue.write_text(json.dumps(catalogue_of(made)))
            options = {"home": folder / "home", "demo": True, "demo_week": False, "catalogue": catalogue}
            async with served(load_settings(**(options | settings))) as (url, key):
                healthy = await _phase(url, key, requests)
                made[0].faults = BROWN
                brown = await _phase(url, key, requests)
                for provider in made:
                    provider.faults = DOWN
                await _phase(url, key, SETTLE)
                down = await _phase(url, key, requests)
    late = p99(brown.first_token_s) - p99(healthy.first_token_s)
    return [
        figure("healthy_answered", healthy.statuses[200] / healthy.requests, "share", least=1.0),
        figure("brownout_answered", brown.statuses[200] / brown.requests, "share", least=0.999),
        figure("brownout_calls_per_request", brown.attempts / brown.requests, "calls", most=1.2),
        figure("brownout_first_token_p99_later_s", late, "s", most=FIRST_BYTE_LIMIT_S),
        figure("down_answered_503", down.statuses[503] / down.requests, "share", least=1.0),
        figure("down_refused_p99_s", p99(down.refused_s), "s", most=1.0),
    ]


async def _phase(url: str, key: str, requests: int) -> Seen:
    seen, numbers, began = Seen(), iter(range(requests)), time.perf_counter()

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await asyncio.sleep(began + number / RATE - time.perf_counter())
            await _ask(seen, session, url, number)

    headers = {"authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))
    return seen


async def _ask(seen: Seen, session: aiohttp.ClientSession, url: str, number: int) -> None:
    body = {
        "model": "freerelay/auto",
        "messages": [{"role": "user", "content": f"Say hello to request{number}"}],
        "stream": bool(number % 2),
    }
    began = time.perf_counter()
    async with session.post(f"{url}/chat/completions", json=body) as answer:
        if answer.status == 200 and body["stream"]:
            await answer.content.readany()
            seen.first_token_s.append(time.perf_counter() - began)
        await answer.read()
    seen.statuses[answer.status] += 1
    seen.attempts += int(answer.headers.get("x-freerelay-attempts", "1"))
    if answer.status != 200:
        seen.refused_s.append(time.perf_counter() - began)


if __name__ == "__main__":
    main()
