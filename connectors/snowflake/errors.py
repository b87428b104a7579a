"""Turns Snowflake's errors into errors of the platform: one line, and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping

from snowflake.connector import errors

from controlplane.errors import PermanentError, PlaneError, TransientError

# The numbers of Snowflake's errors, by what they mean here.
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
    """A table, view, schema or database that does not exist, or that the role may not see."""


def session_gone(error: errors.Error) -> bool:
    """Return whether the session had ended, so that the statement did not run."""
    # Version 5 of the driver raises this text, without a number, for an asynchronous statement.
    return error.errno in _SESSION_GONE or "did not report a queryId" in str(error)


def translated(
    error: errors.Error, action: str, context: Mapping[str, str], secrets: set[str]
) -> PlaneError:
    """Return an error of the platform for one of the driver's.

    Args:
        error: the driver's error.
        action: what failed; empty if the caller adds it.
        context: the session's `role`, `warehouse` and `query_timeout`, as far as they are known.
        secrets: texts that must not be in the message.
    """
    text = _line(error, secrets)
    message = f"{action}: {text}" if action else text
    number = error.errno if isinstance(error.errno, int) else -1
    role = context.get("role") or "of this session"
    if session_gone(error):
        return TransientError(message, hint="the session had ended: try again in a new one")
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
            f"{action}: cancelled" if action else "cancelled", hint="somebody stopped the query"
        )
    if number == _CUT_SHORT or number in _INTERNAL or _of_the_moment(error):
        return TransientError(
            message, hint="Snowflake or the connection to it failed for a moment: try again"
        )
    return PermanentError(message)


def _line(error: errors.Error, secrets: set[str]) -> str:
    """Return the error's text in one line, without query ids and without secrets."""
    text = str(getattr(error, "raw_msg", "") or error.msg or type(error).__name__)
    text = re.sub(r"^\d{6} \(\w{5}\): ", "", text)
    text = re.sub(r"^SQL (compilation|execution|access control) error:\s*", "", text)
    text = " ".join(text.split())
    # Only the message that a Python function raised, without its traceback.
    text = re.sub(r"^Python Interpreter Error: Traceback .* RuntimeError: ", "", text)
    for secret in secrets:
        text = text.replace(secret, "***")
    return text


def _of_the_moment(error: errors.Error) -> bool:
    return isinstance(error, errors.OperationalError | errors.InternalError)


def login_failed(error: errors.Error, role: str, secrets: set[str]) -> PlaneError:
    """Return an error of the platform for a session that could not be opened."""
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
    hint = "check `account`, `user`, `database` and the credentials: a key, a token or a password"
    return PermanentError(message, hint=hint)


def _named(text: str) -> str:
    quoted = re.search(r"'([^']+)'", text)
    return quoted[1] if quoted else ""


def _grant(text: str, role: str) -> str:
    """Return the grant to ask for; Snowflake's refusal names the object and its type."""
    refused = re.search(r"operate on (?:the )?([\w ]+?) '([^']+)'", text)
    object_type, name = (refused[1].upper(), refused[2]) if refused else ("TABLE", "<name>")
    privileges = {
        "TABLE": "ALL",
        "VIEW": "SELECT",
        "WAREHOUSE": "USAGE",
        "SCHEMA": "USAGE, CREATE TABLE, CREATE VIEW",
        "DATABASE": "USAGE, CREATE SCHEMA",
    }.get(object_type, "OWNERSHIP")
    grant = f"GRANT {privileges} ON {object_type} {name} TO ROLE {role}"
    return f"role {role} has no right to do this: {grant}"
