"""Secrets and words that pass through a real server are nowhere but where they belong.

Keys, the database's password, a prompt and an answer go through `freerelay serve` at its most talkative, with providers
that repeat whatever they are sent. Then all that it told and kept is searched for any ten characters of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from serving import Serving, serving
from upstreams import Hanging, Received, Upstream, delta, opened, upstream_server

from freerelay_core.store import new_key
from tests.cli.shell import printed, refused

ANSWER = "Hb4tWq8ZrNc2YsKx"
PROMPT = "zq7Xk2vWm9Lp4RtB"
VENDOR_KEY = "mT5wJc8RfZ3qLd7VnKx0Gs2HbYp9Ua4E"
OPERATOR_KEY = "uE6rPz1CkWd8XoSq3MvBy7JtNf0GhLa5"
METRICS_KEY = "Dx2nQb7HsVg4TiKw9ZmRc5YpLe1FjUo8"
WRONG_KEY = "Wf3yGk6BzQh9NdTs"
PASSWORD = "Lc8vRn1TzKq6MhXb"
WINDOW = 10
"""So many characters of a secret in a row are a leak."""
CHAT = "/v1/chat/completions"
BODY = {
    "messages": [{"role": "user", "content": f"My word is {PROMPT}."}],
    "user": PROMPT,
    "metadata": {PROMPT: PROMPT},
}

CATALOGUE = """
providers:
  echo: {{base_url: "{url}", key_variable: ECHO_KEY, waits: {{total_s: 1}}}}
endpoints:
{endpoints}
"""
ENDPOINT = "  echo/{name}: {{like: openai/gpt-4o-mini, upstream_model: {name}, price: free}}"
ANN = "ann@example.com"


# -- providers that repeat what they were sent


def repeated(request: Received) -> str:
    """The key and the prompt, as a careless server has them in its errors."""
    return f"bad request: headers {json.dumps(request.headers)}, body {request.raw.decode()}"


def refusing(status: int):
    """An error of this status in OpenAI's shape."""

    async def plan(request):
        error = {"error": {"message": repeated(request), "type": request.headers["authorization"], "code": None}}
        body, told = json.dumps(error).encode(), request.headers["authorization"]
        await request.answer(status, body, retry_after="1", x_told=told, location=f"{told}/", x_request_id=told)

    return plan


async def telling_in_plain_text(request):
    await request.answer(422, repeated(request).encode(), content_type="text/plain")


async def telling_in_200(request):
    await request.answer(200, json.dumps({"error": {"message": repeated(request)}}).encode())


async def telling_in_a_stream(request):
    await opened(request)
    await request.event(delta(ANSWER))
    await request.event({"error": {"message": repeated(request)}})
    request.writer.write(b"0\r\n\r\n")


async def telling_in_what_is_no_event(request):
    await opened(request)
    await request.event(delta(ANSWER))
    await request.event(repeated(request).encode())
    request.writer.write(b"0\r\n\r\n")


async def telling_in_what_is_no_http(request):
    request.writer.write(f"{request.headers['authorization']} {PROMPT}\r\n\r\n".encode())
    await request.writer.drain()
    request.writer.close()


async def answering(request):
    if not request.body.get("stream"):
        message = {"role": "assistant", "content": f"It is {ANSWER}."}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
        await request.answer(200, json.dumps(told).encode(), x_told=f"{request.headers['authorization']} {ANSWER}")
        return
    await opened(request)
    await request.event(delta(f"It is {ANSWER}."))
    await request.event(delta(finish_reason="stop"))
    await request.event(b"[DONE]")
    request.writer.write(b"0\r\n\r\n")


PLANS = {
    "well": answering,
    **{f"status-{status}": refusing(status) for status in (302, 400, 401, 403, 413, 422, 429, 500, 503)},
    "plain-text": telling_in_plain_text,
    "in-200": telling_in_200,
    "in-a-stream": telling_in_a_stream,
    "no-event": telling_in_what_is_no_event,
    "no-http": telling_in_what_is_no_http,
    "silent": Hanging(),
    "stalled": Hanging(ANSWER),
}
ANSWERS = {"well", "in-a-stream", "no-event", "stalled"}
"""Plans that begin to answer: their clients read the answer, and nothing else of all this."""
SLOW = {"silent": False, "stalled": True}
"""Plans that take a second, and whether they are asked for a stream; the others are asked both ways."""

MALFORMED = [
    json.dumps(BODY).encode()[:-2],
    b'{"messages": [{"role": "user", "content": "%s\\ud800"}]}' % PROMPT.encode(),
    b'{"messages": "%s", "temperature": NaN}' % PROMPT.encode(),
    b'{"messages": [{"role": "%s", "content": [{"type": "%s"}]}]}' % (PROMPT.encode(), PROMPT.encode()),
    b'{"messages": [{"role": "user", "content": "hello"}], "stream": "%s"}' % PROMPT.encode(),
    b"\xff" + PROMPT.encode(),
]


# -- what is sent


def exchanges(it: Serving, key: str) -> Iterator[tuple[str, httpx.Response]]:
    """Requests of all kinds: what each was, and its answer."""
    tenant = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=it.url, timeout=20) as client:
        for name in PLANS:
            for stream in [SLOW[name]] if name in SLOW else (False, True):
                body = BODY | {"model": f"echo/{name}", "stream": stream}
                answer = client.post(CHAT, json=body, headers=tenant)
                yield name, answer
                if decision := answer.headers.get("x-freerelay-decision-id"):
                    yield "decision", client.get(f"/v1/decisions/{decision}", headers=tenant)
                    grade = {"score": PROMPT, PROMPT: PROMPT}
                    yield "grade", client.post(f"/v1/decisions/{decision}/feedback", json=grade, headers=tenant)
        for body in MALFORMED:
            for path in (CHAT, "/v1/router/decide", "/v1/tenant/settings", "/session"):
                yield "malformed", client.post(path, content=body, headers=tenant)
        yield "decide", client.post("/v1/router/decide", json=BODY, headers=tenant)
        yield "settings", client.get("/v1/tenant/settings", headers=tenant)
        for said in (f"Bearer {WRONG_KEY}", f"Bearer fr_live_{WRONG_KEY}", f"Basic {WRONG_KEY}", WRONG_KEY):
            headers = {"authorization": said, "x-api-key": WRONG_KEY, "cookie": f"freerelay={WRONG_KEY}"}
            yield "wrong key", client.post(f"{CHAT}?key={WRONG_KEY}", json=BODY, headers=headers)
            yield "wrong key", client.get(f"/v1/unknown?key={WRONG_KEY}", headers=headers)
        yield "session", client.post("/session", data={"api_key": f"fr_live_{WRONG_KEY}"})
        yield "signed in", client.post("/session", data={"api_key": key})
        for secret in (OPERATOR_KEY, METRICS_KEY, key):
            for path in ("/metrics", "/v1/router/state", "/v1/models", "/openapi.json", "/healthz", "/", "/docs"):
                yield path, client.get(path, headers={"authorization": f"Bearer {secret}"})
                yield path, client.get(path, params={"key": secret})


def exchanges_without_database(it: Serving, key: str) -> Iterator[tuple[str, httpx.Response]]:
    """Some requests while no database answers."""
    tenant = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=it.url, timeout=20) as client:
        yield "well", client.post(CHAT, json=BODY | {"model": "echo/well"}, headers=tenant)
        change = {"routing_preference": "balanced"}
        yield "settings", client.post("/v1/tenant/settings", json=change, headers=tenant)
        stranger = {"authorization": f"Bearer {new_key('live').secret}"}
        yield "stranger", client.post(CHAT, json=BODY, headers=stranger)


@contextmanager
def closed(server: str, database: str) -> Iterator[None]:
    """Nobody gets into this database inside."""
    name = str(conninfo_to_dict(database)["dbname"])
    allow = sql.SQL("alter database {} allow_connections {}")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(allow.format(sql.Identifier(name), sql.Literal(False)))
        try:
            connection.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name])
            yield
        finally:
            connection.execute(allow.format(sql.Identifier(name), sql.Literal(True)))


# -- where it is searched


def found(canaries: Mapping[str, str], text: str) -> list[str]:
    """The names of the canaries of which ten characters in a row stand in the text."""
    return [
        name
        for name, canary in canaries.items()
        if any(canary[start : start + WINDOW] in text for start in range(len(canary) - WINDOW + 1))
    ]


def rows(database: str) -> Iterator[tuple[str, str]]:
    """Every table of the database, and all that stands in it."""
    with psycopg.connect(database) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname not in ('pg_catalog', 'information_schema')"
        )
        for schema, table in tables.fetchall():
            query = sql.SQL("select * from {}").format(sql.Identifier(schema, table))
            values = (value for row in connection.execute(query) for value in row)
            yield table, "\n".join(v.decode("latin-1") if isinstance(v, bytes) else str(v) for v in values)


def log_of_postgresql(server: str) -> str:
    with psycopg.connect(server) as connection:
        (folder,) = connection.execute("show data_directory").fetchone()
    return (Path(folder).parent / "postgres.log").read_text(errors="replace")


def files(home: Path) -> Iterator[tuple[str, str]]:
    """Every file of the home but those that are there to hold keys."""
    for path in home.rglob("*"):
        if path.is_file() and path.name not in {"credentials", "connection.json", "postgres.password"}:
            yield str(path), path.read_bytes().decode("latin-1")


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with upstream_server() as made:
        for name, plan in PLANS.items():
            made.plan(name, plan)
        yield made


@pytest.fixture
def key(database: str) -> str:
    """A tenant's key."""
    printed("tenant", "add", ANN, DATABASE_URL=database)
    return printed("key", "create", ANN, DATABASE_URL=database).strip()


def test_secrets_and_words_are_nowhere_but_where_they_belong(database, postgres, upstream, key, home):
    home.mkdir()
    catalogue = home / "catalogue.yaml"
    endpoints = "\n".join(ENDPOINT.format(name=name) for name in PLANS)
    catalogue.write_text(CATALOGUE.format(url=upstream.url, endpoints=endpoints))
    secrets = {
        "tenant's key": key.removeprefix("fr_live_"),
        "operator's key": OPERATOR_KEY,
        "vendor's key": VENDOR_KEY,
        "metrics key": METRICS_KEY,
        "wrong key": WRONG_KEY,
        "database's password": str(conninfo_to_dict(database)["password"]),
        "prompt": PROMPT,
        "answer": ANSWER,
    }
    settings = {
        "DATABASE_URL": database, "FREERELAY_CATALOGUE": str(catalogue), "ECHO_KEY": VENDOR_KEY,
        "FREERELAY_OPERATOR_KEY": OPERATOR_KEY, "FREERELAY_METRICS_KEY": METRICS_KEY,
        "FREERELAY_LOG_LEVEL": "debug", "FREERELAY_ACCESS_LOG": "true",
    }  # fmt: skip
    leaks = []
    with serving(home, **settings) as it:
        asked = [*exchanges(it, key)]
        with closed(postgres.dsn, database):
            asked += exchanges_without_database(it, key)
        assert it.stop() == 0
        output = "\n".join([*it.lines, it.process.stdout.read()])
        told = [("standard output", output), ("standard error", it.errors)]
    for what, answer in asked:
        about = f"{what}: {answer.request.method} {answer.request.url.path} {answer.status_code}"
        leaks += [(about, "headers", name) for name in found(secrets, str(answer.headers))]
        kept = {name: value for name, value in secrets.items() if not (name == "answer" and what in ANSWERS)}
        leaks += [(about, answer.text[:300], name) for name in found(kept, answer.text)]
    told += [*rows(database), *files(home), ("PostgreSQL's log", log_of_postgresql(postgres.dsn))]
    leaks += [(where, text[:300], name) for where, text in told for name in found(secrets, text)]
    assert not leaks, "\n".join(f"{name}: {where}: {text}" for where, text, name in leaks)
    # All of it was there to be told.
    received = "".join(repeated(request) for request in upstream.received)
    assert {"vendor's key", "prompt"} <= {*found(secrets, received)}
    assert {request.body["model"] for request in upstream.received} == set(PLANS)
    assert sum(answer.status_code == 200 and what == "well" for what, answer in asked) == 3
    assert {answer.status_code for what, answer in asked if what == "stranger"} == {503}
    assert ["freerelay_session" in answer.cookies for what, answer in asked if what == "signed in"] == [True]
    assert "/v1/chat/completions" in it.errors
    assert any(table.startswith("decisions") and "echo/well" in text for table, text in rows(database))


@pytest.mark.parametrize(
    "database_url",
    [
        f"postgresql://ann:{PASSWORD}@127.0.0.1:1/freerelay",
        f"postgresql://ann:with@{PASSWORD}@127.0.0.1:1/freerelay",
        f"postgresql://ann:with/{PASSWORD}@127.0.0.1:1/freerelay",
        f"postgresql://ann:with%{PASSWORD}@127.0.0.1:1/freerelay",
        f"postgresql://ann:{PASSWORD}@[127.0.0.1:1/freerelay",
        f"host=127.0.0.1 port=1 user=ann password=with {PASSWORD} dbname=freerelay",
        f"host=127.0.0.1 port=1 user=ann password=with {PASSWORD}=space dbname=freerelay",
    ],
)
def test_a_database_that_cannot_be_reached_is_told_without_the_password(database_url):
    line = refused("tenant", "list", DATABASE_URL=database_url)
    assert not found({"password": PASSWORD}, line)
