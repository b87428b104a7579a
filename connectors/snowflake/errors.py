"""Snowflake's errors as ours: what went wrong in one line, whether a retry can help, and what to
do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from snowflake.connector import errors

from controlplane.errors import PermanentError, PlaneError, TransientError

MISSING_OBJECT = {2003, 2043}
_SESSION_GONE = {390104, 390111, 390112, 390114, 390115, 390117, 390195, 250002}
_NO_WAREHOUSE = {606, 607, 608, 609, 90064, 90073}
_LOCKED = {625, 628}
_INTERNAL = {600, 603, 604001, 300002, 300005, 300010}
_CUT_SHORT = 252013
_CANCELLED = 604
_TIMED_OUT = 630
_UNKNOWN_COLUMN = 904
_NO_PRIVILEGE = 3001


class MissingObject(PermanentError):
    """A table, view, schema or database that is not there, or that the role may not see."""


def session_gone(error: errors.Error) -> bool:
    """Whether the session had ended, so that nothing was run.

    Line 5 says so of a submission in other words.
    """
    return error.errno in _SESSION_GONE or "did not report a queryId" in str(error)


def translated(
    error: errors.Error, doing: str, context: Mapping[str, str], secrets: set[str]
) -> PlaneError:
    """A driver's error as one of ours.

    Args:
        error: what the driver raised.
        doing: what failed; empty where the caller says it.
        context: the session's `role`, `warehouse` and `query_timeout`, as far as they are known.
        secrets: texts that must not show.
    """
    text = _line(error, secrets)
    message = f"{doing}: {text}" if doing else text
    number = error.errno if isinstance(error.errno, int) else -1
    role = context.get("role") or "of this session"
    if session_gone(error):
        return TransientError(message, hint="the session had ended: try again, a new one is opened")
    if number in _NO_WAREHOUSE or (
        re.search(r"\bwarehouse\b", text, re.IGNORECASE) and number in MISSING_OBJECT
    ):
        warehouse = context.get("warehouse") or "<name>"
        hint = (
            f"set `warehouse`, let role {role} use it (GRANT USAGE ON WAREHOUSE {warehouse} TO ROLE"
            f" {role}), and see that it resumes by itself and its resource monitor has credits left"
        )
        return PermanentError(message, hint=hint)
    if number == _NO_PRIVILEGE:
        return PermanentError(message, hint=_grant(text, role))
    if number in MISSING_OBJECT:
        name = _named(text) or "<name>"
        hint = (
            f"check the name; if it is right, role {role} may not see it: GRANT SELECT ON TABLE"
            f" {name} TO ROLE {role}"
        )
        return MissingObject(message, hint=hint)
    if number == _UNKNOWN_COLUMN:
        hint = "check the name: without quotes it is read in capitals, in quotes as it is written"
        return PermanentError(message, hint=hint)
    if number in _LOCKED or "deadlock" in text.lower():
        return TransientError(message, hint="another transaction held the table's lock: try again")
    if number == _TIMED_OUT or (number == _CANCELLED and "timeout" in text.lower()):
        allowed = f" (now {context['query_timeout']} s)" if context.get("query_timeout") else ""
        return PermanentError(
            message, hint=f"raise `query_timeout`{allowed}, or compute shorter intervals"
        )
    if number == _CANCELLED:
        return PermanentError(
            f"{doing}: cancelled" if doing else "cancelled", hint="somebody stopped the query"
        )
    if number == _CUT_SHORT or number in _INTERNAL or _of_the_moment(error):
        return TransientError(
            message, hint="Snowflake or the way to it failed for a moment: try again"
        )
    return PermanentError(message)


def _line(error: errors.Error, secrets: set[str]) -> str:
    """The error's words in one line, without numbers of statements and without secrets."""
    text = str(getattr(error, "raw_msg", "") or error.msg or type(error).__name__)
    text = re.sub(r"^\d{6} \(\w{5}\): ", "", text)
    text = re.sub(r"^SQL (compilation|execution|access control) error:\s*", "", text)
    text = " ".join(text.split())
    # A function's own words, without where in its program they stand.
    text = re.sub(r"^Python Interpreter Error: Traceback .* RuntimeError: ", "", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _of_the_moment(error: errors.Error) -> bool:
    return isinstance(error, errors.OperationalError | errors.InternalError)


def login_failed(error: errors.Error, role: str, secrets: set[str]) -> PlaneError:
    """What kept a session from opening."""
    text = re.sub(
        r"^(Failed to (login|connect to DB)|Login error)[:.] (\S+:\d+[.] )?",
        "",
        _line(error, secrets),
    )
    text = re.sub(r"^Login error: |, code: \d+$", "", text)
    message = f"connecting to Snowflake: {text}"
    if _of_the_moment(error) or re.search(
        r"HTTP request failed|timed? ?out|unavailable", text, re.IGNORECASE
    ):
        return TransientError(
            message, hint="check `account` (or `host`) and the network, and try again"
        )
    if "role" in text.lower():
        hint = f"check `role`, or ask for it: GRANT ROLE {role or '<role>'} TO USER <user>"
        return PermanentError(message, hint=hint)
    hint = (
        "check `account`, `user`, `database` and what proves who you are: a key, a token or a"
        " password"
    )
    return PermanentError(message, hint=hint)


def _named(text: str) -> str:
    found = re.search(r"'([^']+)'", text)
    return found[1] if found else ""


def _grant(text: str, role: str) -> str:
    """The grant to ask for: Snowflake's refusal names the kind of the object and the object."""
    found = re.search(r"operate on (?:the )?([\w ]+?) '([^']+)'", text)
    kind, name = (found[1].upper(), found[2]) if found else ("TABLE", "<name>")
    privileges = {"TABLE": "ALL", "VIEW": "SELECT", "WAREHOUSE": "USAGE"}
    if kind in ("SCHEMA", "DATABASE"):
        what = "USAGE, CREATE TABLE, CREATE VIEW" if kind == "SCHEMA" else "USAGE, CREATE SCHEMA"
    else:
        what = privileges.get(kind, "OWNERSHIP")
    return f"role {role} has no right to do this: GRANT {what} ON {kind} {name} TO ROLE {role}"
