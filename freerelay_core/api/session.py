"""Signing in to the dashboard with a form, and out again: the browser holds a random session id, never the key."""

from __future__ import annotations

from urllib.parse import parse_qs, urlencode, urlsplit

from fastapi import APIRouter, Request, Response

from freerelay_core.api.border import read_body
from freerelay_core.composition import Application, current
from freerelay_core.composition.admission import FailedKeys
from freerelay_core.composition.application import SESSION_LIFETIME
from freerelay_core.errors import AuthenticationFailed, InvalidRequest, PermissionDenied, StoreUnavailable

__all__ = ["COOKIE", "router"]

COOKIE = "freerelay_session"

_MAX_FORM_BYTES = 16 * 1024
_WHY = "sign_in"
"""Query parameter that tells the sign-in page what went wrong."""

router = APIRouter()


_attempts = FailedKeys(10)
"""Failed attempts that an address has in a minute."""


@router.post("/session")
async def sign_in(request: Request) -> Response:
    """Take the form fields `api_key` and `next`; answers with the cookie and the way to `next`."""
    _require_same_origin(request)
    form = await _form(request)
    back = _same_site(form.get("next", "/"))
    application, address = current(), request.client.host if request.client else ""
    if _attempts.wait_s(address, application.clock.monotonic()):
        return _redirect(_with_reason(back, "limited"))
    try:
        session_id = await application.open_session(form.get("api_key", "").strip())
    except AuthenticationFailed:
        _attempts.note(address, application.clock.monotonic())
        return _redirect(_with_reason(back, "failed"))
    except StoreUnavailable:
        return _redirect(_with_reason(back, "unavailable"))
    response = _redirect(back)
    response.set_cookie(
        COOKIE,
        session_id,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=_is_https(request),
        path="/",
    )
    return response


@router.post("/session/end")
async def sign_out(request: Request) -> Response:
    """End the session; the cookie goes in any case."""
    _require_same_origin(request)
    session_id = request.cookies.get(COOKIE)
    response = _redirect("/")
    if session_id:
        response = _redirect("/" if await _ended(current(), session_id) else _with_reason("/", "unavailable"))
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax", secure=_is_https(request))
    return response


async def _ended(application: Application, session_id: str) -> bool:
    try:
        await application.end_session(session_id)
    except StoreUnavailable:
        return False
    return True


async def _form(request: Request) -> dict[str, str]:
    raw = await read_body(request.receive, _MAX_FORM_BYTES)
    try:
        fields = parse_qs(raw.decode("ascii"), max_num_fields=10, errors="strict")
    except ValueError:  # UnicodeDecodeError is one
        raise InvalidRequest("The form cannot be read: send it as application/x-www-form-urlencoded.") from None
    return {name: values[0] for name, values in fields.items()}


def _same_site(target: str) -> str:
    """The target if it is a plain path on this site, else the front page."""
    try:
        parts = urlsplit(target)
    except ValueError:
        return "/"
    plain = target.isascii() and target.isprintable() and "\\" not in target and " " not in target
    if not plain or parts.scheme or parts.netloc or not target.startswith("/") or target.startswith("//"):
        return "/"
    return target


def _with_reason(target: str, reason: str) -> str:
    path, _, query = target.partition("?")
    kept = [pair for pair in query.split("&") if pair and not pair.startswith(f"{_WHY}=")]
    return f"{path}?{'&'.join([*kept, urlencode({_WHY: reason})])}"


def _require_same_origin(request: Request) -> None:
    """Browsers say where a form stands; a form of another site must not sign anybody in or out."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise PermissionDenied("This form was sent from another site.", code="foreign_origin")


def _is_https(request: Request) -> bool:
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _redirect(target: str) -> Response:
    return Response(status_code=303, headers={"location": target, "cache-control": "no-store"})
