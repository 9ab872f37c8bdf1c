"""What clients get from the live endpoint while half of its providers are ill.

    python benchmarks/faults.py [--requests 10000] [--long] [--json]

The real application over eight providers on loopback (`faulty.py`), of which four fail at 30 % of their calls, in 18
ways; half of the requests stream. Then every way in which a stream may break after its first words, against OpenAI's
own client, 100 times each (`--long`: 1,000 times). Limits on waiting are shortened, everything else is as shipped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import openai
import psutil

from benchmarks.faulty import FAULTS, MID_STREAM, provider_of, providers
from benchmarks.loopback import catalogue_of, served, short_limits
from freerelay_core.config import load_settings

__all__ = ["said", "streamed"]

PROVIDERS = 8
FAULTY = 4
ILL = dict.fromkeys(FAULTS, 0.3 / len(FAULTS))
SEED = 20261126
AT_ONCE = 16
"""Requests under way at a time."""
SETTLES_S = 5.0
"""How long tasks and sockets may take to end after the last answer."""
AIMS = {
    "ended_well": (1.0, "share", "least"),
    "answered_of_committed_whole": (0.999, "share", "least"),
    "calls_per_request": (1.2, "calls", "most"),
    "wrong_or_silent": (0.0, "requests", "most"),
    "tasks_left": (0.0, "tasks", "most"),
    "sockets_left": (0.0, "sockets", "most"),
    "provider_calls_left": (0.0, "calls", "most"),
    "truncation_raised": (1.0, "share", "least"),
}


@dataclass
class Seen:
    """What the clients saw."""

    requests: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Clear errors before the first byte, by message."""
    broken_off: Counter[str] = field(default_factory=Counter)
    """Clear errors after the first words, by code."""
    wrong: list[str] = field(default_factory=list)
    """Everything else: a wrong answer, a silent end."""
    attempts: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    """What the providers did."""
    raised: int = 0
    truncations: int = 0
    silent: list[str] = field(default_factory=list)
    """Truncated streams for which the official client raised nothing."""
    left: dict[str, int] = field(default_factory=dict)

    def figures(self) -> dict[str, float]:
        """The figures of `AIMS`, and some more."""
        clear = self.refused.total() + self.broken_off.total()
        return {
            "ended_well": (self.answered + clear) / self.requests,
            "answered_of_committed_whole": self.answered / (self.requests - self.broken_off.total()),
            "answered": self.answered / self.requests,
            "refused_clearly": float(self.refused.total()),
            "broken_off_clearly": float(self.broken_off.total()),
            "calls_per_request": self.attempts / self.requests,
            "wrong_or_silent": float(len(self.wrong)),
            "truncation_raised": self.raised / self.truncations if self.truncations else 1.0,
            **{name: float(count) for name, count in self.left.items()},
        }


def main() -> None:
    """Measure, print a table; the status says whether every aim is met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--long", action="store_true", help="1,000 streams of each kind for OpenAI's client, not 100")
    parser.add_argument("--json", action="store_true", help="one array of {name, value, unit, aim, met}")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="freerelay-faults-") as folder:
        home = Path(folder)
        home.chmod(0o711)
        seen = asyncio.run(measure(home, requests=arguments.requests, each=1000 if arguments.long else 100))
    _report(seen, as_json=arguments.json)


async def measure(folder: Path, *, requests: int, each: int, **settings: object) -> Seen:
    """Send `requests`, then `each` streams of every kind that breaks; `settings` are the application's."""
    seen = Seen()
    before = _sockets()
    tasks = asyncio.all_tasks()
    with short_limits():
        async with providers(*[ILL] * FAULTY, *[{}] * (PROVIDERS - FAULTY), seed=SEED) as made:
            catalogue = folder / "catalogue.yaml"
            catalogue.write_text(json.dumps(catalogue_of(made)))
            options = {"home": folder / "home", "demo": True, "demo_week": False, "catalogue": catalogue}
            async with served(load_settings(**(options | settings))) as (url, key):
                idle = asyncio.all_tasks()
                await _load(seen, url, key, requests)
                await _truncate(seen, url, key, each)
                seen.left["provider_calls_left"] = await _settled(lambda: sum(p.open_calls for p in made))
                seen.left["tasks_left"] = await _settled(lambda: len(_of_the_router(asyncio.all_tasks() - idle)))
            for provider in made:
                seen.calls += provider.calls
    await _settled(lambda: len(asyncio.all_tasks() - tasks))
    seen.left["sockets_left"] = await _settled(lambda: len(_sockets() - before))
    return seen


def _of_the_router(tasks: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
    """Without the providers' own, one for each connection that is kept for the next call."""
    return {task for task in tasks if "Provider._serve" not in repr(task.get_coro())}


async def _settled(count: Any) -> int:
    """The count once it is zero, else after a while."""
    deadline = asyncio.get_running_loop().time() + SETTLES_S
    while (left := count()) and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    return int(left)


def _sockets() -> set[tuple[object, object]]:
    return {(c.laddr, c.raddr) for c in psutil.Process().net_connections("tcp") if c.status != "TIME_WAIT"}


# -- requests under load


async def _load(seen: Seen, url: str, key: str, requests: int) -> None:
    numbers = iter(range(requests))
    headers = {"authorization": f"Bearer {key}"}

    async def client(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            await _ask(seen, session, f"{url}/chat/completions", number)

    async with aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=60)) as session:
        await asyncio.gather(*(client(session) for _ in range(AT_ONCE)))


async def _ask(seen: Seen, session: aiohttp.ClientSession, url: str, number: int) -> None:
    marker = f"request{number}"
    body = _body(marker, stream=bool(number % 2))
    seen.requests += 1
    try:
        async with session.post(url, json=body) as answer:
            raw = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        seen.wrong.append(f"{marker}: {error!r}")
        return
    seen.attempts += int(answer.headers.get("x-freerelay-attempts", "1"))
    if answer.status != 200:
        _note_refusal(seen, marker, answer.status, raw)
        return
    text, error_code = streamed(raw) if body["stream"] else (said(raw), None)
    if error_code is not None:
        seen.broken_off[error_code] += 1
    elif text is None or f"{provider_of(text, marker)}/m" != answer.headers["x-freerelay-endpoint"]:
        seen.wrong.append(f"{marker} of {answer.headers['x-freerelay-endpoint']}: {raw[-300:]!r}")
    else:
        seen.answered += 1


def _body(marker: str, *, stream: bool, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"Say hello to {marker}"}]
    return {"model": "freerelay/auto", "messages": messages, "stream": stream, **more}


def _note_refusal(seen: Seen, marker: str, status: int, raw: bytes) -> None:
    try:
        error = json.loads(raw)["error"]
        seen.refused[f"{status} {error['code']}: {error['message']}"] += 1
    except (ValueError, KeyError, TypeError):
        seen.wrong.append(f"{marker}: {status} {raw[:300]!r}")


def said(raw: bytes) -> str | None:
    """The text of an answer in one piece; None where it is anything but that."""
    try:
        return str(json.loads(raw)["choices"][0]["message"]["content"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def streamed(raw: bytes) -> tuple[str | None, str | None]:
    """The text of a stream that came to its proper end, or the code of the error that ended it."""
    *events, rest = raw.decode().split("\n\n")
    texts = []
    for position, event in enumerate(events):
        last = position == len(events) - 1
        data = event.removeprefix("data: ")
        if data == "[DONE]":
            return ("".join(texts), None) if last and not rest else (None, None)
        chunk = json.loads(data)
        if "error" in chunk:
            return (None, str(chunk["error"]["code"])) if last and not rest else (None, None)
        texts += [choice["delta"].get("content") or "" for choice in chunk["choices"]]
    return None, None


# -- streams that break after their first words, for the official client


async def _truncate(seen: Seen, url: str, key: str, each: int) -> None:
    kinds = iter([kind for kind in MID_STREAM for _ in range(each)])

    async def client(sdk: openai.AsyncOpenAI) -> None:
        for kind in kinds:
            seen.truncations += 1
            if await _raises(sdk, kind, seen.truncations):
                seen.raised += 1
            else:
                seen.silent.append(kind)

    async with openai.AsyncOpenAI(api_key=key, base_url=url, max_retries=0) as sdk:
        await asyncio.gather(*(client(sdk) for _ in range(AT_ONCE)))


async def _raises(sdk: openai.AsyncOpenAI, kind: str, number: int) -> bool:
    """Whether the client raises, once the first words have come."""
    body = _body(f"stream{number}", stream=True)
    words = 0
    try:
        stream = await sdk.chat.completions.create(**body, extra_body={"fault": kind})
        async for chunk in stream:
            words += bool(chunk.choices and chunk.choices[0].delta.content)
    except openai.APIError:
        return words > 0
    return False


def _report(seen: Seen, *, as_json: bool) -> None:
    rows = []
    for name, value in seen.figures().items():
        aim, unit, bound = AIMS.get(name, (None, "share" if name == "answered" else "requests", ""))
        met = None if aim is None else (value >= aim if bound == "least" else value <= aim)
        rows.append({"name": name, "value": round(value, 5), "unit": unit, "aim": aim, "met": met})
        print(f"{name:28} {value:10.4f} {unit:9} {'' if aim is None else f'aim {aim:g}':10} {met}", file=sys.stderr)
    print("calls:", dict(seen.calls), file=sys.stderr)
    print("broken off:", dict(seen.broken_off), file=sys.stderr)
    for message, count in seen.refused.most_common(10):
        print(f"refused {count} times: {message}", file=sys.stderr)
    for what in [*seen.wrong[:10], *seen.silent[:10]]:
        print("WRONG:", what, file=sys.stderr)
    if as_json:
        print(json.dumps(rows))
    if not all(row["met"] is not False for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
