"""The application in this process over the providers of `faulty.py`, for benchmarks of its behaviour under failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

from benchmarks.faulty import Provider
from freerelay_core import api
from freerelay_core.api.connection import Connection
from freerelay_core.catalogue import ABILITIES
from freerelay_core.composition import current
from freerelay_core.config import Settings
from freerelay_core.providers import openai_wire
from freerelay_core.router import attempts

__all__ = ["FIRST_BYTE_LIMIT_S", "catalogue_of", "served", "short_limits"]

FIRST_BYTE_LIMIT_S = 1.0
IDLE_LIMIT_S = 0.5
ENDS_WITHIN_S = 10
"""How long requests that are open at the end may take: one that never ends shall not keep the benchmark, too."""


@contextmanager
def short_limits() -> Iterator[None]:
    """Limits on waiting are short inside."""
    kept = attempts.FIRST_BYTE_LIMIT_S, attempts.FIRST_BYTE_FACTOR, openai_wire.IDLE_LIMIT_S
    attempts.FIRST_BYTE_LIMIT_S, attempts.FIRST_BYTE_FACTOR = FIRST_BYTE_LIMIT_S, 0.0
    openai_wire.IDLE_LIMIT_S = IDLE_LIMIT_S
    try:
        yield
    finally:
        attempts.FIRST_BYTE_LIMIT_S, attempts.FIRST_BYTE_FACTOR, openai_wire.IDLE_LIMIT_S = kept


def catalogue_of(made: Sequence[Provider]) -> dict[str, Any]:
    """One endpoint each, all alike; the ill ones are a little cheaper, so that they come first."""
    source = {"title": "benchmark", "date": "2026-11-25", "kind": "published"}
    rated = {"preference": "benchmark", "tests": "benchmark"}
    figures = {"first_token_s": 0.4, "tokens_per_s": 90, "thinking_tokens": 0}
    endpoints = {
        f"{provider.name}/m": {
            "upstream_model": "m",
            "price": {"input": 1.0 + 0.01 * n, "cached": 0.1, "output": 4.0 + 0.01 * n},
            "context_tokens": 128_000,
            "max_output_tokens": 16_000,
            "capabilities": ["tools", "json_mode", "streaming"],
            "facts": "benchmark",
            "ability": {**rated, "values": dict.fromkeys(ABILITIES, 1300)},
            **{name: {"value": value, "source": "benchmark"} for name, value in figures.items()},
        }
        for n, provider in enumerate(made)
    }
    urls = {provider.name: {"base_url": f"http://127.0.0.1:{provider.port}/v1"} for provider in made}
    return {"replace": True, "sources": {"benchmark": source}, "providers": urls, "endpoints": endpoints}


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[tuple[str, str]]:
    """The application on loopback: its address and the demo tenant's key."""
    config = uvicorn.Config(api.app, lifespan="off", port=0, log_level="error", http=Connection)
    config.timeout_graceful_shutdown = ENDS_WITHIN_S
    server = uvicorn.Server(config)
    async with api.lifespan(settings):
        task = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn tells by this alone
            await asyncio.sleep(0.005)
        try:
            port = server.servers[0].sockets[0].getsockname()[1]
            yield f"http://127.0.0.1:{port}/v1", current().demo_key
        finally:
            server.should_exit = True
            await task
