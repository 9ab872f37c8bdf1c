"""Requests to a Supabase project's REST interface, and one meaning for every way in which one can fail.

The client belongs to one store and always speaks with the project's secret key. Nobody signs in on it: supabase's
client would from then on speak in that user's name, whoever asks next.

    no answer in time, 429, 5xx            StoreUnavailable
    401, a missing table or function       Misconfigured: at start the operator is told what to do
    22xxx and 23xxx of PostgreSQL          UnprocessableRequest, unless the caller knows better (`refusals`)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import httpx
from postgrest import APIResponse, AsyncRequestBuilder
from postgrest.exceptions import APIError
from supabase import AsyncClient, AsyncClientOptions

from freerelay_core.errors import Conflict, FreeRelayError, StoreUnavailable, UnprocessableRequest
from freerelay_core.store.refusals import not_found

__all__ = ["Misconfigured", "Row", "SettingsConflict", "SupabaseWire"]

Row = Mapping[str, Any]

_CONNECT_S = 1.0
_LIMIT_S = 2.0
_MAX_CONNECTIONS = 32
_IDLE_S = 30.0
_SHOWN = 200
"""Characters of an unexpected answer that are logged."""

_ABSENT = ("PGRST202", "PGRST203", "PGRST204", "PGRST205", "42P01", "42703", "42883", "42501")
"""A function, table, column or grant of ours that is not there."""

_KEY_ADVICE = (
    "The Supabase project refuses the key in SUPABASE_SECRET_KEY: take a secret key (sb_secret_…) or the service_role "
    "key of this very project from its API settings."
)
_SCHEMA_ADVICE = (
    "The Supabase project lacks FreeRelay's tables and functions, or has those of an older release: run "
    "supabase_schema.sql in its SQL editor, then start again."
)
_URL_ADVICE = (
    "SUPABASE_URL does not lead to the REST interface of a Supabase project: write https://<project>.supabase.co, as "
    "its API settings show it."
)

_log = logging.getLogger(__name__)


class Misconfigured(StoreUnavailable):
    """The project is there and does not serve us. Callers see a store that is away; `advice` is for the operator."""

    def __init__(self, advice: str) -> None:
        super().__init__(_away().message)
        self.advice = advice

    @classmethod
    def schema(cls) -> Misconfigured:
        """The project's schema is absent or of an older release."""
        return cls(_SCHEMA_ADVICE)


class SettingsConflict(Conflict):
    """The schema's PT409: a tenant's settings are at version `present`, not at the expected one."""

    def __init__(self, present: str) -> None:
        super().__init__(f"The settings are at version {present}.")
        self.present = present


class Query(Protocol):
    """A request of supabase's builder, ready to be sent."""

    async def execute(self) -> APIResponse: ...


class SupabaseWire:
    """Sends requests to the project at `url`, each once and within its time: who asks decides about a next attempt."""

    def __init__(self, url: str, secret_key: str) -> None:
        # HTTP/1.1: of many requests on one HTTP/2 connection, one that stalls would stall them all.
        self._http = httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=_CONNECT_S, pool=_CONNECT_S),
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, keepalive_expiry=_IDLE_S),
            event_hooks={"response": [_require_service]},
        )
        self._client = AsyncClient(
            url,
            secret_key,
            AsyncClientOptions(
                httpx_client=self._http,
                postgrest_client_retry=False,
                auto_refresh_token=False,
                persist_session=False,
            ),
        )

    async def close(self) -> None:
        """Release every connection."""
        await self._http.aclose()

    def table(self, name: str) -> AsyncRequestBuilder:
        """Start of a request on a table. Values of filters go into the URL: none may be a secret, digest or address."""
        return self._client.table(name)

    async def send(
        self, query: Query, *, limit_s: float = _LIMIT_S, refusals: Mapping[str, FreeRelayError] | None = None
    ) -> APIResponse:
        """The answer. `refusals` says by SQLSTATE what to raise where more is known than the general meaning."""
        async with _within(limit_s):
            try:
                return await query.execute()
            except APIError as error:
                raise _meaning(error, refusals or {}) from error
            except (TypeError, ValueError) as error:
                raise UnprocessableRequest(f"This cannot be stored: {error}") from error

    async def rows(
        self, query: Query, *, limit_s: float = _LIMIT_S, refusals: Mapping[str, FreeRelayError] | None = None
    ) -> list[Row]:
        """The answer's rows."""
        return list((await self.send(query, limit_s=limit_s, refusals=refusals)).data)  # type: ignore[arg-type]

    async def first(
        self, query: Query, *, limit_s: float = _LIMIT_S, refusals: Mapping[str, FreeRelayError] | None = None
    ) -> Row | None:
        """The answer's first row, if it has any."""
        return next(iter(await self.rows(query, limit_s=limit_s, refusals=refusals)), None)

    def function(self, name: str, **parameters: Any) -> Any:
        """A call of one of the schema's functions: its parameters (here without their `p_`) travel in the body."""
        return self._client.rpc(name, {f"p_{key}": value for key, value in parameters.items()})

    async def value(self, name: str, *, limit_s: float = _LIMIT_S, **parameters: Any) -> Any:
        """What a function returns that returns one value."""
        return (await self.send(self.function(name, **parameters), limit_s=limit_s)).data


@contextlib.asynccontextmanager
async def _within(limit_s: float) -> AsyncIterator[None]:
    """Turn every sign that the project is away into `StoreUnavailable`, at the latest after `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except (TimeoutError, httpx.HTTPError) as error:
        _log.info("Supabase away: %s %s", type(error).__name__, error)
        raise _away() from error


async def _require_service(response: httpx.Response) -> None:
    """Raise where the status alone tells enough; the bodies of gateways have no common shape."""
    if response.status_code < 500 and response.status_code not in (401, 429):
        return
    await response.aread()
    _log.warning("Supabase answers %d: %s", response.status_code, response.text[:_SHOWN])
    raise Misconfigured(_KEY_ADVICE) if response.status_code == 401 else _away()


def _meaning(error: APIError, refusals: Mapping[str, FreeRelayError]) -> FreeRelayError:
    code = error.code or ""
    if code in refusals:
        return refusals[code]
    if code == "PT409":
        return SettingsConflict(str(error.details))
    if code.startswith(("22", "23")):
        return UnprocessableRequest(f"This cannot be stored: {error.message}")
    if code == "PGRST116":
        return not_found()
    _log.error("Supabase refuses a request: %s %s", code, error.message)
    return Misconfigured(_SCHEMA_ADVICE if code in _ABSENT else _URL_ADVICE)


def _away() -> StoreUnavailable:
    return StoreUnavailable("The database does not answer. Try again in a moment.")
