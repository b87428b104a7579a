"""What a request is refused for: a status, a code for programs, and words that repeat nothing of
what was sent."""

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
"""Every status of an error, and its code."""
OTHER_CODES = ("head_too_slow", "too_many_connections")
"""Codes of refusals that come before a request is known; of 408 and 503."""


class Refused(PlaneError):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: what is wrong, without a value of the request.
        field: the place in the body that it is about.
        hint: what whoever asks can do about it.
        headers: of the response.
        code: for programs; that of the status unless given.
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
    """The body of the answer, where no other shape was asked for."""
    facts = {
        "code": refused.code,
        "message": refused.message,
        "field": refused.field,
        "hint": refused.hint,
    }
    return msgspec.json.encode({"error": facts})
