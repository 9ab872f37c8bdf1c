"""A stand-in for a Supabase project: as much of PostgREST as the adapter uses, on the real PostgreSQL.

As there, a request is one transaction by the login `authenticator`, which takes the role behind the key for as long as
that lasts; PostgreSQL itself turns JSON into values and rows into JSON; answers have PostgREST's statuses and bodies.
As on Supabase, an UPDATE or DELETE without a filter is refused, and an answer ends at `max_rows` rows. What lies
outside is answered with 501, so that no test passes by accident.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from aiohttp import web
from psycopg import sql
from psycopg.sql import SQL, Composable, Identifier, Placeholder
from psycopg_pool import AsyncConnectionPool

from tests.store.helpers import gate

SECRET_KEY = "sb_secret_of_the_stand_in"
PUBLISHABLE_KEY = "sb_publishable_of_the_stand_in"
ROLES = {SECRET_KEY: "service_role", PUBLISHABLE_KEY: "anon"}

NAME = re.compile(r"[a-z_][a-z0-9_]*")
OPERATORS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
NOT_FILTERS = {"select", "columns", "on_conflict", "order", "limit"}

# docs.postgrest.org, Errors, HTTP Status Codes; the first prefix that fits counts, and else 400.
STATUSES = {
    "08": 503, "0L": 403, "0P": 403, "23503": 409, "23505": 409, "25006": 405, "25": 500, "28": 403, "40": 500,
    "42501": 403, "42883": 404, "42P01": 404, "42P17": 500, "53": 503, "54": 500, "55": 500, "57": 500, "58": 500,
    "P0001": 400, "P0": 500, "XX": 500,
}  # fmt: skip

GATEWAY_REFUSAL = {
    "message": "Invalid API key",
    "hint": "Double check your Supabase `anon` or `service_role` API key.",
}

FUNCTION = """
    select p.proretset as many, p.provolatile <> 'v' as reads, p.prorettype = 'void'::regtype as void,
           coalesce(json_object_agg(a.name, format_type(a.type, null)) filter (where a.name is not null), '{}') as types
      from pg_proc p
      left join lateral unnest(p.proargnames[1:p.pronargs], p.proargtypes::oid[]) as a (name, type) on true
     where p.pronamespace = 'public'::regnamespace and p.proname = %s
     group by p.oid
"""
COLUMNS = """
    select attname, format_type(atttypid, atttypmod) from pg_attribute
     where attrelid = to_regclass('public.' || quote_ident(%s)) and attnum > 0 and not attisdropped
"""
BEGIN = """
    select set_config('search_path', 'public', true), set_config('role', %s, true),
           set_config('request.jwt.claims', %s, true), set_config('statement_timeout', '8s', true)
"""


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str, message: str, details: str | None = None) -> None:
        self.status = status
        self.body = {"code": code, "message": message, "details": details, "hint": None}


@dataclass(frozen=True)
class Answer:
    status: int
    text: str = ""


class PostgREST:
    """The stand-in. `requests` holds what came in, as (method, path with query, body)."""

    def __init__(self, dsn: str, *, max_rows: int = 1000) -> None:
        self._dsn = dsn
        self._max_rows = max_rows
        self._pool: AsyncConnectionPool[Any] | None = None
        self._runner: web.AppRunner | None = None
        self._port = 0
        self.requests: list[tuple[str, str, str]] = []
        self.gateway: tuple[int, str] | None = None
        """Status and body that the gateway answers by itself, whatever is asked."""
        self.silent = False
        """Requests are taken and never answered."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self) -> None:
        """Listen; again at the same address after a stop."""
        login = await asyncio.to_thread(gate, self._dsn)
        self._pool = AsyncConnectionPool(login, min_size=1, max_size=8, open=False, kwargs={"prepare_threshold": None})
        await self._pool.open()
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self._runner.cleanup()
        await self._pool.close()

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        self.requests.append((request.method, request.path_qs, body))
        if self.silent:
            await asyncio.sleep(60)
        if self.gateway is not None:
            return web.Response(status=self.gateway[0], text=self.gateway[1])
        key = request.headers.get("apikey")
        if key not in ROLES:
            return web.json_response(GATEWAY_REFUSAL, status=401)
        try:
            if request.headers.get("authorization") != f"Bearer {key}":
                raise Refused(401, "PGRST301", "JWSError JWSInvalidSignature")
            answer = await self._run(request, ROLES[key], body)
        except Refused as refused:
            return web.json_response(refused.body, status=refused.status)
        except psycopg.Error as error:
            refused = _refusal(error)
            return web.json_response(refused.body, status=refused.status)
        return web.Response(status=answer.status, text=answer.text, content_type="application/json")

    async def _run(self, request: web.Request, role: str, body: str) -> Answer:
        found = re.fullmatch(r"/rest/v1/(rpc/)?(\w+)", request.path)
        if found is None:
            raise Refused(404, "PGRST125", "Invalid path specified in request URL")
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute(BEGIN, [role, json.dumps({"role": role})])
            work = Work(connection, request, body, self._max_rows)
            return await (work.call(found[2]) if found[1] else work.on_table(found[2]))


class Work:
    """One request, inside its transaction."""

    def __init__(self, connection: Any, request: web.Request, body: str, max_rows: int) -> None:
        self._connection = connection
        self._method = request.method
        self._query = request.query
        self._body = body
        self._prefer = dict(word.strip().partition("=")[::2] for word in request.headers.get("prefer", "").split(","))
        self._max_rows = max_rows

    async def call(self, name: str) -> Answer:
        """A function, by POST, with the JSON body's members as its parameters."""
        _require(self._method == "POST", f"{self._method} of a function")
        functions = await (await self._connection.execute(FUNCTION, [name])).fetchall()
        given = json.loads(self._body)
        fitting = [function for function in functions if given.keys() <= function[3].keys()]
        if len(fitting) != 1:
            code = "PGRST203" if fitting else "PGRST202"
            raise Refused(404, code, f"Could not find the function public.{name} in the schema cache")
        many, reads, void, types = fitting[0]
        if reads:
            await self._connection.execute("set transaction read only")
        names = [Identifier(parameter) for parameter in given]
        call = SQL("public.{}({})").format(
            Identifier(name), SQL(", ").join(SQL("{0} => given.{0}").format(parameter) for parameter in names)
        )
        source = call
        if given:
            record = SQL("json_to_record({}) as given ({})").format(Placeholder(), _declared(given, types))
            source = SQL("{}, lateral {}").format(record, call)
        columns = self._selected(SQL("result")) if many else SQL("to_json(result) as value")
        rows = SQL("select {} from {} as result limit {}").format(columns, source, sql.Literal(self._max_rows))
        text = await self._json(rows, [self._body] if given else [], single=not many)
        return Answer(204) if void else Answer(200, text)

    async def on_table(self, name: str) -> Answer:
        columns = dict(await (await self._connection.execute(COLUMNS, [name])).fetchall())
        if not columns:
            raise Refused(404, "PGRST205", f"Could not find the table 'public.{name}' in the schema cache")
        table = SQL("public.{}").format(Identifier(name))
        where, values = self._filters(table)
        if self._method == "GET":
            await self._connection.execute("set transaction read only")
            rows = SQL("select {} from {}{}{}").format(self._selected(table), table, where, self._order_and_limit())
            return Answer(200, await self._json(rows, values))
        if self._method in {"PATCH", "DELETE"} and where == SQL(""):
            raise Refused(400, "21000", f"{self._method} requires a WHERE clause")
        if self._method == "DELETE":
            return await self._change(SQL("delete from {}{}").format(table, where), values, table)
        given = json.loads(self._body)
        _require(isinstance(given, dict), "a body of several rows")
        record = SQL("json_to_record({}) as given ({})").format(Placeholder(), _declared(given, columns))
        names = SQL(", ").join(map(Identifier, given))
        if self._method == "PATCH":
            assigned = SQL(", ").join(SQL("{0} = given.{0}").format(Identifier(column)) for column in given)
            change = SQL("update {} set {} from {}{}").format(table, assigned, record, where)
            return await self._change(change, [self._body, *values], table)
        _require(self._method == "POST", self._method)
        change = SQL("insert into {} ({}) select {} from {}").format(table, names, names, record)
        return await self._change(change + self._on_conflict(given), [self._body], table, created=True)

    async def _change(
        self, change: Composable, values: list[str], table: Composable, *, created: bool = False
    ) -> Answer:
        shown = self._prefer.get("return") == "representation"
        change += SQL(" returning {}").format(self._selected(table) if shown else SQL("1"))
        rows = SQL("with changed as ({}) select coalesce(json_agg(changed), '[]')::text from changed").format(change)
        (text,) = await (await self._connection.execute(rows, values)).fetchone()
        if shown:
            return Answer(201 if created else 200, text)
        return Answer(201 if created else 204)

    async def _json(self, rows: Composable, values: list[str], *, single: bool = False) -> str:
        shape = "json_agg(value) -> 0" if single else "coalesce(json_agg(part), '[]')"
        query = SQL("select ({})::text from ({}) as part").format(SQL(shape), rows)
        return (await (await self._connection.execute(query, values)).fetchone())[0] or "null"

    def _selected(self, source: Composable) -> Composable:
        wanted = self._query.get("select", "*")
        if wanted == "*":
            return SQL("{}.*").format(source)
        return SQL(", ").join(SQL("{}.{}").format(source, _identifier(name)) for name in wanted.split(","))

    def _filters(self, table: Composable) -> tuple[Composable, list[str]]:
        conditions: list[Composable] = []
        values: list[str] = []
        for column, condition in self._query.items():
            if column in NOT_FILTERS:
                continue
            operator, _, value = condition.partition(".")
            left = SQL("{}.{}").format(table, _identifier(column))
            if operator == "is" and value in {"null", "true", "false"}:
                conditions.append(SQL("{} is {}").format(left, SQL(value)))
            else:
                _require(operator in OPERATORS, f"the filter {operator}")
                conditions.append(SQL("{} {} {}").format(left, SQL(OPERATORS[operator]), Placeholder()))
                values.append(value)
        if not conditions:
            return SQL(""), values
        return SQL(" where ") + SQL(" and ").join(conditions), values

    def _order_and_limit(self) -> Composable:
        parts = []
        for term in filter(None, self._query.get("order", "").split(",")):
            column, _, direction = term.partition(".")
            _require(direction in {"", "asc", "desc"}, f"the order {direction}")
            parts.append(SQL("{} {}").format(_identifier(column), SQL(direction or "asc")))
        order = SQL(" order by ") + SQL(", ").join(parts) if parts else SQL("")
        limit = min(int(self._query.get("limit", self._max_rows)), self._max_rows)
        return SQL("{} limit {}").format(order, sql.Literal(limit))

    def _on_conflict(self, given: dict[str, Any]) -> Composable:
        if "resolution" not in self._prefer:
            return SQL("")
        _require(self._prefer["resolution"] == "merge-duplicates", "this resolution of conflicts")
        merged = SQL(", ").join(SQL("{0} = excluded.{0}").format(Identifier(column)) for column in given)
        return SQL(" on conflict ({}) do update set {}").format(_identifier(self._query["on_conflict"]), merged)


def _identifier(name: str) -> Identifier:
    _require(NAME.fullmatch(name) is not None, f"the name {name!r}")
    return Identifier(name)


def _declared(given: dict[str, Any], types: dict[str, str]) -> Composable:
    """Columns for json_to_record; a member that is none of the table's is refused as PostgREST does."""
    unknown = given.keys() - types.keys()
    if unknown:
        raise Refused(400, "PGRST204", f"Could not find the '{min(unknown)}' column in the schema cache")
    return SQL(", ").join(SQL("{} {}").format(Identifier(name), SQL(types[name])) for name in given)


def _require(condition: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
    if not condition:
        raise Refused(501, "STANDIN", f"{what} is outside what this stand-in speaks")


def _refusal(error: psycopg.Error) -> Refused:
    code = error.sqlstate or "08000"
    raised = int(code[2:]) if re.fullmatch(r"PT\d{3}", code) else None
    status = raised or next((status for prefix, status in STATUSES.items() if code.startswith(prefix)), 400)
    return Refused(status, code, error.diag.message_primary or str(error), error.diag.message_detail)


@asynccontextmanager
async def postgrest(dsn: str, **options: Any) -> AsyncIterator[PostgREST]:
    """A stand-in on this event loop, listening."""
    standin = PostgREST(dsn, **options)
    await standin.start()
    try:
        yield standin
    finally:
        await standin.stop()


@contextmanager
def postgrest_in_a_thread(dsn: str) -> Iterator[PostgREST]:
    """A stand-in on an event loop of its own, listening."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    standin = PostgREST(dsn)
    try:
        run(standin.start())
        try:
            yield standin
        finally:
            run(standin.stop())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
