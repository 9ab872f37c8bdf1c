"""Starts and stops the application around whatever server runs it."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from freerelay_core.api.drain import Drain
from freerelay_core.composition import Application
from freerelay_core.config import Settings, load_settings
from freerelay_core.errors import Unavailable
from freerelay_core.logs import set_up_logs

__all__ = ["is_draining", "lifespan", "present_drain"]

_drain: Drain | None = None


@asynccontextmanager
async def lifespan(settings: Settings | None = None) -> AsyncIterator[None]:
    """The application runs inside; `settings` are those of the environment unless given.

    Raises `ConfigurationError` when it cannot start.
    """
    global _drain  # noqa: PLW0603  (the one of this process, as the application)
    settings = settings or load_settings()
    set_up_logs(settings.log, settings.log_level, access=settings.access_log)
    application = await Application.start(settings)
    drain = _drain = Drain(settings.drain_s)
    drain.install()
    # What is loaded by now stays for good: walking it in every collection would hold up requests by 50 ms and more.
    # And requests leave next to no cycles behind, so there is no hurry to look for them.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    try:
        yield
    finally:
        drain.uninstall()
        _drain = None
        await application.stop()


def present_drain() -> Drain:
    """The drain of the running application. Raises `Unavailable` when there is none."""
    if _drain is None:
        raise Unavailable("FreeRelay is starting or stopping. Try again in a moment.", retry_after_s=1.0)
    return _drain


def is_draining() -> bool:
    """Whether the application was told to stop, and still runs."""
    return _drain is not None and _drain.draining
