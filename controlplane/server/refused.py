"""Refusals of requests: a status, a code for programs, and a message without values of the body."""

from __future__ import annotations

import msgspec

from controlplane.errors import PlaneError

CODES = {
    400: "invalid_request",
    401: "no_valid_key",
    403: "service_not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "body_too_slow",
    413: "body_too_large",
    414: "target_too_long",
    421: "host_not_served",
    422: "calculation_failed",
    431: "head_too_long",
    503: "store_unavailable",
    504: "budget_exceeded",
}
"""The code of each status of an error."""
OTHER_CODES = ("head_too_slow", "too_many_connections")
"""Codes of refusals before a request is known, with status 408 and 503."""
RETRY = ((b"retry-after", b"1"),)
"""Headers of a refusal after which the client shall try again in a second."""
STORE_UNREACHABLE = "the online store can't be reached now"


class Refused(PlaneError):
    """A request that is not answered.

    Args:
        status: the status of HTTP.
        message: what is wrong, without a value of the request.
        field: the path in the body of what is wrong.
        hint: what the client can do about it.
        headers: more headers of the response.
        code: the code for programs (default: the code of the status).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        field: str = "",
        hint: str = "",
        headers: tuple[tuple[bytes, bytes], ...] = (),
        code: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.status, self.field, self.headers = status, field, headers
        self.code = code or CODES[status]


def as_json(refused: Refused) -> bytes:
    """Return the body of the response in the platform's own shape."""
    facts = {
        "code": refused.code,
        "message": refused.message,
        "field": refused.field,
        "hint": refused.hint,
    }
    return msgspec.json.encode({"error": facts})
