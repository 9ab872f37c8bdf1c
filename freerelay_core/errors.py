"""Every failure that a caller may see, each with its HTTP status and OpenAI error type.

FreeRelayError                    500  server_error
|-- ConfigurationError             -   refused at start, printed as one line
|-- InvalidRequest                400  invalid_request_error
|   |-- UnprocessableRequest      422
|   |-- RequestTooLarge           413
|   |-- RequestTimedOut           408
|   |-- UnsupportedEncoding       415
|   |-- HeadersTooLarge           431
|   |-- NobodyAble                400
|   `-- UnsoundFraming            400
|-- AuthenticationFailed          401  authentication_error
|-- PermissionDenied              403  permission_error
|-- NotFound                      404  not_found_error
|-- MethodNotAllowed              405  invalid_request_error
|-- Conflict                      409  conflict_error
|-- RateLimited                   429  rate_limit_error
|   `-- RateExceeded              429
|-- BudgetExhausted               429  insufficient_quota
|-- UpstreamFailed                502  upstream_error
|   |-- UpstreamTimedOut          504
|   `-- Interrupted                -   in a stream, whose status has gone out
`-- Unavailable                   503  service_unavailable
    |-- StoreUnavailable          503
    |-- NoEndpointLeft            503
    `-- EverythingFails           503
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = [
    "AuthenticationFailed",
    "BudgetExhausted",
    "ConfigurationError",
    "Conflict",
    "EverythingFails",
    "FreeRelayError",
    "HeadersTooLarge",
    "Interrupted",
    "InvalidRequest",
    "MethodNotAllowed",
    "NoEndpointLeft",
    "NobodyAble",
    "NotFound",
    "PermissionDenied",
    "RateExceeded",
    "RateLimited",
    "RequestTimedOut",
    "RequestTooLarge",
    "StoreUnavailable",
    "Unavailable",
    "UnprocessableRequest",
    "UnsoundFraming",
    "UnsupportedEncoding",
    "UpstreamFailed",
    "UpstreamTimedOut",
]


class FreeRelayError(Exception):
    """Base of all errors that FreeRelay raises on purpose.

    `message` says what is wrong and what to do, `code` is stable for programs, `param` names the offending field,
    `retry_after_s` (seconds) becomes a `Retry-After` header.
    """

    status = 500
    type = "server_error"
    default_code = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, param: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.param = param
        self.retry_after_s = retry_after_s
        self.rate: tuple[int, int, float] | None = None
        """How the tenant stands with its requests a minute: (limit, remaining, seconds until all may come again)."""

    def as_openai(self) -> dict[str, Any]:
        """The body that OpenAI clients expect: `{"error": {message, type, code, param}}`."""
        return {"error": {"message": self.message, "type": self.type, "code": self.code, "param": self.param}}


class ConfigurationError(FreeRelayError):
    """The operator's configuration cannot work; the message says which setting and how to mend it."""

    default_code = "configuration_error"


class InvalidRequest(FreeRelayError):
    """The request cannot be understood."""

    status = 400
    type = "invalid_request_error"
    default_code = "invalid_request"


class UnprocessableRequest(InvalidRequest):
    """Well-formed, but a field has a value that is not allowed."""

    status = 422
    default_code = "invalid_value"


class RequestTooLarge(InvalidRequest):
    """The body is larger than the limit."""

    status = 413
    default_code = "request_too_large"


class RequestTimedOut(InvalidRequest):
    """The body stopped arriving."""

    status = 408
    default_code = "request_timeout"


class UnsupportedEncoding(InvalidRequest):
    """The body is compressed: unpacking what a stranger packed costs memory without bound."""

    status = 415
    default_code = "unsupported_encoding"


class HeadersTooLarge(InvalidRequest):
    """The headers are more, or longer, than any client needs."""

    status = 431
    default_code = "headers_too_large"


class NobodyAble(InvalidRequest):
    """Nobody can serve this request as it is, now or later; another request could be served.

    `code` is OpenAI's `context_length_exceeded` where its length alone is in the way.
    """

    default_code = "no_able_endpoint"


class UnsoundFraming(InvalidRequest):
    """Where the body ends can be read in two ways, so a proxy in front may read it in the other."""

    default_code = "ambiguous_length"


class MethodNotAllowed(InvalidRequest):
    """The route exists, the method does not; `allowed` are those that do."""

    status = 405
    default_code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: Iterable[str]) -> None:
        super().__init__(message)
        self.allowed = tuple(sorted(allowed))


class AuthenticationFailed(FreeRelayError):
    """No identity for these credentials: unknown, revoked and expired keys answer alike."""

    status = 401
    type = "authentication_error"
    default_code = "invalid_api_key"


class PermissionDenied(FreeRelayError):
    """The identity is known and may not do this."""

    status = 403
    type = "permission_error"
    default_code = "permission_denied"


class NotFound(FreeRelayError):
    """Nothing with this name exists for this caller; another tenant's row answers the same."""

    status = 404
    type = "not_found_error"
    default_code = "not_found"


class Conflict(FreeRelayError):
    """The row changed since the caller read it."""

    status = 409
    type = "conflict_error"
    default_code = "conflict"


class RateLimited(FreeRelayError):
    """A limit is reached; `retry_after_s` says when to come back."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class RateExceeded(RateLimited):
    """The tenant's own limit of requests a minute is reached."""

    def __init__(self, message: str, *, retry_after_s: float, rate: tuple[int, int, float]) -> None:
        super().__init__(message, retry_after_s=retry_after_s)
        self.rate = rate


class BudgetExhausted(FreeRelayError):
    """The tenant's budget does not last for this request; trying again before the next month is pointless."""

    status = 429
    type = "insufficient_quota"  # as OpenAI answers it
    default_code = "insufficient_quota"


class UpstreamFailed(FreeRelayError):
    """Every attempt at a provider failed before the first byte reached the client."""

    status = 502
    type = "upstream_error"
    default_code = "upstream_failed"


class UpstreamTimedOut(UpstreamFailed):
    """No provider answered in time."""

    status = 504
    default_code = "upstream_timeout"


class Interrupted(UpstreamFailed):
    """The provider broke off after the first byte had gone out."""

    default_code = "upstream_disconnected"


class Unavailable(FreeRelayError):
    """Cannot serve now; try again after `retry_after_s`."""

    status = 503
    type = "service_unavailable"
    default_code = "unavailable"


class StoreUnavailable(Unavailable):
    """The database did not answer. Never an authentication failure: the key may well be good."""

    default_code = "store_unavailable"

    def __init__(self, message: str, *, code: str | None = None, retry_after_s: float = 2.0) -> None:
        super().__init__(message, code=code, retry_after_s=retry_after_s)


class NoEndpointLeft(Unavailable):
    """Every endpoint is excluded for this request; the message lists the reasons."""

    default_code = "no_endpoint_left"


class EverythingFails(Unavailable):
    """Every endpoint that could serve the request keeps failing; this request was one more try."""

    default_code = "every_endpoint_fails"
