"""Who may do what: every route with every sort of caller, odd ways to ask for a route, and a store that is away.

`ROUTES` is the table of the API. A route that is not in it fails the first test, so that none is added unthought of.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import httpx
import pytest
from api_server import BODY, OPERATOR_KEY, asked, away

from freerelay_core.api.asgi import CHAT
from freerelay_core.api.routes import routes
from freerelay_core.store import new_key


@dataclass(frozen=True)
class Route:
    """What a tenant, another tenant (who asks for what is the first one's) and the operator get; `body` to send."""

    tenant: int
    other: int
    operator: int
    body: object = None


DECISION = "/v1/decisions/{decision_id}"
FEEDBACK = f"{DECISION}/feedback"
ROUTES = {
    ("POST", CHAT): Route(200, 200, 403, BODY),
    ("GET", "/v1/tenant/settings"): Route(200, 200, 403),
    ("POST", "/v1/tenant/settings"): Route(200, 200, 403, {"routing_preference": "balanced"}),
    ("POST", "/v1/router/decide"): Route(200, 200, 200, BODY),
    ("GET", "/v1/router/state"): Route(403, 403, 200),
    ("GET", DECISION): Route(200, 404, 200),
    ("POST", FEEDBACK): Route(200, 404, 403, {"score": 0.5}),
    ("GET", "/v1/models"): Route(200, 200, 200),
    ("GET", "/v1/models/{model_id:path}"): Route(200, 200, 200),
    ("GET", "/metrics"): Route(403, 403, 200),
}
OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("HEAD", "/openapi.json"),
    ("POST", "/session"),
    ("POST", "/session/end"),
}
"""Without a key by intent: health, the API's description, and the forms that take a key (`test_session.py`)."""

REFUSED = ("revoked", "expired", "unknown")
WITHOUT = (*REFUSED, "malformed", "none")


@dataclass(frozen=True)
class Rig:
    """A server, a client for it that brings no key of its own, the callers' keys, and a decision of the tenant."""

    server: object
    client: httpx.Client
    keys: dict[str, str]
    decision_id: str

    def at(self, path: str) -> str:
        """The path of a route, filled in."""
        return path.replace("{decision_id}", self.decision_id).replace("{model_id:path}", "freerelay/auto")

    def ask(self, method: str, path: str, key: str, body: object = None) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return self.client.request(method, self.at(path), headers=headers, json=body)


@pytest.fixture(scope="module")
def rig(server) -> Iterator[Rig]:
    keys = {
        "tenant": server.key, "other": server.tenant()[1], "operator": OPERATOR_KEY, "revoked": _revoked(server),
        "expired": _expired(server), "unknown": new_key("live").secret, "malformed": "fr_live_short", "none": "",
    }  # fmt: skip
    with server.http("") as client:
        yield Rig(server, client, keys, asked(server)[0])


def _revoked(server) -> str:
    """A key that worked until it was revoked."""
    tenant, secret = server.tenant()
    with server.http(secret) as client:
        assert client.get("/v1/models").status_code == 200
    store = server.application.store
    (info,) = server.run(store.list_keys(tenant.id))
    server.run(store.revoke_key(tenant.id, info.id))
    server.application.loop.call_soon_threadsafe(server.application.identities.reconnected)
    return secret


def _expired(server) -> str:
    tenant, _ = server.tenant()
    key, ended = new_key("live"), server.application.clock.now() - timedelta(seconds=1)
    making = server.application.store.create_key(
        tenant.id, name="old", prefix=key.prefix, key_hash=key.digest, expires_at=ended
    )
    server.run(making)
    return key.secret


def test_the_table_holds_every_route_there_is():
    assert {("POST", CHAT), *_served(routes.routes)} == OPEN | set(ROUTES)


def _served(found) -> Iterator[tuple[str, str]]:
    """Method and path of each route, also of included routers; what is neither (a mount) is told by its type."""
    for route in found:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from ((method, route.include_context.prefix + path) for method, path in _served(included.routes))
        else:
            yield from ((method, route.path) for method in getattr(route, "methods", None) or (type(route).__name__,))


@pytest.mark.parametrize("caller", ["tenant", "other", "operator"])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_has_a_key_gets_what_the_table_says(rig, method, path, caller):
    route = ROUTES[method, path]
    answer = rig.ask(method, path, rig.keys[caller], route.body)
    assert answer.status_code == getattr(route, caller), answer.text
    if caller == "other" and DECISION in path:
        assert answer.json()["error"]["type"] == "not_found_error"


@pytest.mark.parametrize("caller", WITHOUT)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_who_has_no_good_key_gets_401_before_anything_else_is_looked_at(rig, method, path, caller):
    for body in (ROUTES[method, path].body, ["no object"]):
        answer = rig.ask(method, path, rig.keys[caller], body)
        assert answer.status_code == 401, answer.text
        assert answer.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_can_tell_an_unknown_key_from_one_that_has_ended(rig, method, path):
    answers = [rig.ask(method, path, rig.keys[caller], ROUTES[method, path].body) for caller in REFUSED]
    told = {(answer.status_code, answer.content, _lasting(answer)) for answer in answers}
    assert len(told) == 1


def _lasting(answer: httpx.Response) -> tuple[tuple[str, str], ...]:
    """The headers that do not differ from request to request."""
    return tuple((name, value) for name, value in answer.headers.items() if name not in ("x-request-id", "date"))


def test_another_tenants_decision_looks_like_one_that_never_was(rig):
    other, never = rig.keys["other"], "01a20f74-94c2-7351-8caf-6dd1590f93d3"
    for method, path in (("GET", DECISION), ("POST", FEEDBACK)):
        body = ROUTES[method, path].body
        there = rig.ask(method, path, other, body)
        nowhere = rig.ask(method, path.replace("{decision_id}", never), other, body)
        assert there.status_code == nowhere.status_code == 404
        assert there.text.replace(rig.decision_id, never) == nowhere.text


def test_a_grade_that_another_tenant_tried_to_give_leaves_the_tenants_own_to_give(rig):
    decision_id = asked(rig.server)[0]
    path = f"/v1/decisions/{decision_id}/feedback"
    assert rig.ask("POST", path, rig.keys["other"], {"score": 0.0}).status_code == 404
    assert rig.ask("POST", path, rig.keys["tenant"], {"score": 1.0}).status_code == 200


# -- odd ways to ask ---------------------------------------------------------------------------------------------------

HOSTS = {
    "none": b"",
    "empty": b"Host:\r\n",
    "another": b"Host: evil.example\r\n",
    "twice": b"Host: localhost\r\nHost: evil.example\r\n",
    "a path": b"Host: localhost/healthz\r\n",
    "a route": b"Host: x/healthz?\r\n",
    "blank": b"Host: a b\r\n",
    "IPv6": b"Host: [::1]:80\r\n",
    "a broken port": b"Host: x:y\r\n",
    "forwarded": b"Host: x\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: localhost\r\n",
    "rewritten": b"Host: x\r\nX-Original-URL: /healthz\r\nX-Rewrite-URL: /healthz\r\n",
    "another method": b"Host: x\r\nX-HTTP-Method-Override: GET\r\n",
}


def _odd(path: str) -> set[str]:
    first, _, rest = path[1:].partition("/")
    last = path.rsplit("/", 1)[1]
    return {
        f"/{path}", f"//{first}//{rest}", f"{path}/", f"{path}//", path.upper(), f"/./{path[1:]}", f"{path}/.",
        f"/healthz/..{path}", f"/healthz/%2e%2e{path}", f"{path}/../{last}", f"/%{ord(path[1]):02x}{path[2:]}",
        f"/%25{ord(path[1]):02x}{path[2:]}", path.replace("/", "%2f"), "/" + path[1:].replace("/", "%2F"),
        path.replace("/", "\\"), f"{path};x=/healthz", f"{path}%00", f"{path}%20", f"{path}?/healthz",
        f"{path}#/healthz", f"http://localhost{path}", f"http://x.example/{path}", f"/healthz%3f{path}", path[1:], "*",
    }  # fmt: skip


def _raw(port: int, method: str, target: str, head: bytes, body: object) -> bytes:
    """The whole answer to a request that is sent byte by byte as it stands."""
    sent = b"" if body is None else json.dumps(body).encode()
    start = f"{method} {target} HTTP/1.1\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(start + head + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def _refused(answer: bytes) -> bool:
    """Whether it is an error of ours or of the server's."""
    return answer.split(b" ", 2)[1] in (b"400", b"401", b"404", b"405")


@pytest.mark.parametrize("head", HOSTS.values(), ids=HOSTS)
def test_no_host_opens_a_route(rig, head):
    for (method, path), route in ROUTES.items():
        answer = _raw(rig.server.port, method, rig.at(path), head, route.body)
        assert answer.split(b" ", 2)[1] in (b"400", b"401"), answer


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_no_odd_path_opens_a_route(rig, method, path):
    body = ROUTES[method, path].body
    for target in _odd(rig.at(path)):
        answer = _raw(rig.server.port, method, target, b"Host: localhost\r\n", body)
        assert _refused(answer), (target, answer)


# -- the store is away -------------------------------------------------------------------------------------------------


def test_while_the_store_is_away_an_unknown_key_is_503_everywhere(rig, postgres):
    def ask(route: tuple[str, str]) -> tuple[tuple[str, str], int, str | None]:
        answer = rig.ask(*route, new_key("live").secret, ROUTES[route].body)
        return route, answer.status_code, answer.headers.get("retry-after")

    with away(rig.server, postgres.dsn), ThreadPoolExecutor(len(ROUTES)) as pool:
        answers = list(pool.map(ask, ROUTES))
    assert answers == [(route, 503, "2") for route in ROUTES]
