"""What the driver raises, in our words: one line, and what to do about it."""

from __future__ import annotations

import re

import pyarrow as pa
import urllib3
from databricks import sql as driver

from controlplane.errors import PermanentError, PlaneError, TransientError

BROKEN = (driver.Error, urllib3.exceptions.HTTPError)
"""What the driver raises of its own and of its connections."""
_OWN = (*BROKEN, pa.ArrowException, OSError)
_BARE = {Exception, RuntimeError, AssertionError}
"""What fails in the driver's downloads is of these very types."""

_SAID = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\] (.+)", re.DOTALL)
_BEHIND_THE_MESSAGE = re.compile(r"\s*(?:SQLSTATE: \w{5}.*|\n.*)", re.DOTALL)
_SUGGESTED = re.compile(r" (Did you mean one of the following\? \[.+\])\.?$")
_EXPIRED = re.compile(r"Invalid SessionHandle|INVALID_HANDLE\.SESSION")
_RACE = re.compile(
    r"DELTA_CONCURRENT_|DELTA_(METADATA|PROTOCOL)_CHANGED|DELTA_SCHEMA_CHANGE_SINCE_ANALYSIS"
)
_ABSENT = re.compile(
    r"TABLE_OR_VIEW_NOT_FOUND|SCHEMA_NOT_FOUND|NO_SUCH_CATALOG|DELTA_TABLE_NOT_FOUND"
)
_LACKS = re.compile(r"does not have ([A-Z][A-Z ,]*[A-Z]) on (\w+) ['`]?([^'\s]+?)['`]?[.\s]*$")
_NO_PYTHON = re.compile(r"Python UDFs? (is|are) not supported", re.IGNORECASE)
_RAISED = re.compile(r"^RuntimeError: (.+)$", re.MULTILINE)
_SHORTEN = "raise query_timeout, use a larger warehouse, or compute shorter intervals"
_HINTS = {
    r"INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|UNAUTHORIZED_ACCESS": (
        "ask the owner for the grant that is missing"
    ),
    r"\w*TIMEOUT_EXCEEDED": _SHORTEN,
    r"DELTA_FAILED_TO_MERGE_FIELDS|INCOMPATIBLE_DATA_FOR_TABLE"
    r"|DATATYPE_MISMATCH|CAST_INVALID_INPUT|CANNOT_UP_CAST": (
        "compare the types of the table's columns with those that the statement gives"
    ),
}


class Absent(PermanentError):
    """There is no such table, or no right to see it."""


def is_drivers_own(error: Exception) -> bool:
    """Whether an error comes from the driver, and not from a mistake of ours."""
    return isinstance(error, _OWN) or type(error) in _BARE


def has_expired(error: Exception) -> bool:
    """Whether the warehouse has ended the session: it ran nothing of what was asked then."""
    return _EXPIRED.search(str(error)) is not None


def cancelled(doing: str) -> PermanentError:
    """What a statement ends with that was asked to stop."""
    return PermanentError(f"{doing}: cancelled" if doing else "cancelled")


def timed_out(doing: str) -> PermanentError:
    """What a statement ends with that the warehouse stopped for its length."""
    message = "the statement took longer than query_timeout"
    return PermanentError(f"{doing}: {message}" if doing else message, hint=_SHORTEN)


def translated(error: Exception, doing: str = "") -> PlaneError:
    """A driver's error as one of ours; `doing` says what failed."""
    context = error.context if isinstance(error, driver.Error) else {}
    if signing_in := [cause for cause in error.args if isinstance(cause, PlaneError)]:
        return signing_in[0]  # the driver wraps what its hook for signing in raises
    if (status := context.get("http-code")) in {400, 401, 403, 404} and not has_expired(error):
        return _refused(int(status), str(context.get("error-message") or "").strip(": "), doing)
    if _NO_PYTHON.search(str(error)):
        message = "functions in Python don't run here"
        hint = "use a pro or serverless SQL warehouse, and a catalog of Unity Catalog"
        return PermanentError(f"{doing}: {message}" if doing else message, hint=hint)
    found = _SAID.search(str(error))
    if not found:
        return _unreached(error, doing)
    name, text = found[1], _BEHIND_THE_MESSAGE.sub("", found[2])
    hint = next((hint for pattern, hint in _HINTS.items() if re.match(pattern, name)), "")
    if lacking := _LACKS.search(text):
        hint = (
            f"ask for it: GRANT {lacking[1]} ON {lacking[2].upper()} {lacking[3]} TO `<who this"
            " session is>`"
        )
    if suggested := _SUGGESTED.search(text):
        text, hint = text[: suggested.start()], suggested[1]
    if name.startswith("UDF_USER_CODE_ERROR") and (raised := _RAISED.search(found[2])):
        text = raised[1]  # a function's own words, without where in its program they stand
    message = f"{doing}: {text}" if doing else text
    if _RACE.match(name):
        return TransientError(message, hint="another writer was at work: try again")
    if _ABSENT.match(name):
        return Absent(
            message,
            hint=(
                "check the name and the catalog: what one may not see looks as if it were not there"
            ),
        )
    return PermanentError(message, hint=hint)


def _refused(status: int, said: str, doing: str) -> PermanentError:
    reason = f"{status}, {said}" if said else str(status)
    if status in {401, 403}:
        hint = (
            "check the credentials, whether they have expired, and whether they may use this"
            " warehouse"
        )
        return PermanentError(f"{doing}: Databricks refused the credentials ({reason})", hint=hint)
    hint = (
        "check server_hostname and http_path, and whether the warehouse is there and may be started"
    )
    return PermanentError(f"{doing}: Databricks refused the request ({reason})", hint=hint)


def _unreached(error: Exception, doing: str) -> PlaneError:
    """An error without a class of Spark's: something on the way, or between the driver and the
    warehouse."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    message = f"{doing}: {lines[0]}" if doing else lines[0]
    if isinstance(error, driver.ServerOperationError | driver.NotSupportedError):
        return PermanentError(message)
    return TransientError(
        message, hint="the warehouse can't be reached, or is just starting: try again"
    )
