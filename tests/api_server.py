"""A running API: the real application under uvicorn, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import httpx
import openai
import psycopg
import uvicorn
from psycopg.conninfo import conninfo_to_dict

from freerelay_core import api
from freerelay_core.api.connection import Connection
from freerelay_core.composition import Application, current
from freerelay_core.config import load_settings
from freerelay_core.store import Tenant, new_key

HELLO = [{"role": "user", "content": "Hello!"}]
BODY = {"model": "freerelay/auto", "messages": HELLO}
OPERATOR_KEY = "operator-key-of-the-tests-0123456789"

_numbers = count(1)


class Server:
    """A running API: its address, the application behind it, and clients for it."""

    def __init__(self, port: int, application: Application) -> None:
        self.port = port
        self.root = f"http://127.0.0.1:{port}"
        self.application = application
        self.key: str = application.demo_key

    def run(self, coroutine: Any) -> Any:
        """The result of a coroutine on the application's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.application.loop).result(20)

    def http(self, key: str | None = None, **headers: str) -> httpx.Client:
        """A plain client, with the demo tenant's key unless told otherwise; an empty key sends none."""
        key = self.key if key is None else key
        authorization = {"authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.root, headers=authorization | headers, timeout=20)

    def openai(self, key: str | None = None, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(api_key=key or self.key, base_url=f"{self.root}/v1", **{"max_retries": 0, **options})

    def chat(self, body: object = BODY, *, key: str | None = None, **headers: str) -> httpx.Response:
        """The answer to one chat request."""
        with self.http(key, **headers) as client:
            return client.post("/v1/chat/completions", json=body)

    def decision(self, answer: httpx.Response, key: str | None = None) -> dict[str, Any]:
        """The decision behind an answer, as the API shows it."""
        with self.http(key) as client:
            found = client.get(f"/v1/decisions/{answer.headers['x-freerelay-decision-id']}")
        assert found.status_code == 200, found.text
        return found.json()

    def tenant(self, *, allow_override: bool = False) -> tuple[Tenant, str]:
        """A new tenant and its key."""
        return self.run(_new_tenant(self.application, allow_override=allow_override))


async def _new_tenant(application: Application, *, allow_override: bool) -> tuple[Tenant, str]:
    store, key = application.store, new_key("live")
    email = f"tenant{next(_numbers)}@example.com"
    tenant = await store.create_tenant(email, tier="free", allow_override=allow_override)
    await store.create_key(tenant.id, name="test", prefix=key.prefix, key_hash=key.digest)
    return tenant, key.secret


@contextmanager
def running(**options: object) -> Iterator[Server]:
    """The API with these settings, in a thread; one at a time in a process."""
    settings = load_settings(**options)
    config = uvicorn.Config(
        api.app, lifespan="off", port=0, log_level="warning", http=Connection, timeout_graceful_shutdown=5
    )
    server = uvicorn.Server(config)
    began: threading.Event = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        try:
            async with api.lifespan(settings):
                found.append(current())
                task = asyncio.create_task(server.serve())
                while not server.started:  # noqa: ASYNC110 - uvicorn tells by this alone
                    await asyncio.sleep(0.005)
                began.set()
                await task
        except BaseException as error:  # noqa: BLE001 - raised again in the test's thread
            found[:] = [error]
            began.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    began.wait(60)
    if not found or isinstance(found[0], BaseException):
        thread.join()
        raise found[0]
    try:
        yield Server(server.servers[0].sockets[0].getsockname()[1], found[0])
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def away(server: Server, owner_dsn: str) -> Iterator[None]:
    """The server's database, on the PostgreSQL at `owner_dsn`, lets nobody in."""
    name = conninfo_to_dict(database_of(server))["dbname"]
    with psycopg.connect(owner_dsn, autocommit=True) as owner:
        owner.execute(f'alter database "{name}" allow_connections false'.encode())
        owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
        try:
            yield
        finally:
            owner.execute(f'alter database "{name}" allow_connections true'.encode())


def database_of(server: Server) -> str:
    """The connection string of the server's database."""
    return server.application.settings.database_url.get_secret_value()


def grade(server: Server, decision_id: str, score: object, key: str | None = None) -> httpx.Response:
    """The answer to a grade."""
    with server.http(key) as client:
        return client.post(f"/v1/decisions/{decision_id}/feedback", json={"score": score})


def asked(server: Server, body: object = BODY) -> tuple[str, str]:
    """A chat request that is answered: its decision's id, and who answered."""
    answer = server.chat(body)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-freerelay-decision-id"], answer.headers["x-freerelay-endpoint"]


def ranked(server: Server, body: object = BODY, key: str | None = None) -> dict[str, Any]:
    """The ranking of a dry run, by endpoint."""
    with server.http(key) as client:
        rows = client.post("/v1/router/decide", json=body).json()["ranking"]
    return {row["endpoint"]: row for row in rows}
