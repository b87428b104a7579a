"""Turns the driver's errors into errors of the platform: one line, and what to do."""

from __future__ import annotations

import re

import pyarrow as pa
import urllib3
from databricks import sql as driver

from controlplane.errors import PermanentError, PlaneError, TransientError

BROKEN = (driver.Error, urllib3.exceptions.HTTPError)
"""The errors of the driver and of its connections."""
_OWN = (*BROKEN, pa.ArrowException, OSError)
_BARE = {Exception, RuntimeError, AssertionError}
"""The exact types that the driver raises when a download fails."""

# Spark writes an error as its class in brackets, and then the message.
_SPARK_ERROR = re.compile(r"\[([A-Z][A-Z0-9_]+(?:\.[A-Z0-9_]+)*)\] (.+)", re.DOTALL)
_AFTER_MESSAGE = re.compile(r"\s*(?:SQLSTATE: \w{5}.*|\n.*)", re.DOTALL)
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
_TIMEOUT_HINT = "raise query_timeout, use a larger warehouse, or compute shorter intervals"
_HINTS = {
    r"INSUFFICIENT_PERMISSIONS|PERMISSION_DENIED|UNAUTHORIZED_ACCESS": (
        "ask the owner for the grant that is missing"
    ),
    r"\w*TIMEOUT_EXCEEDED": _TIMEOUT_HINT,
    r"DELTA_FAILED_TO_MERGE_FIELDS|INCOMPATIBLE_DATA_FOR_TABLE"
    r"|DATATYPE_MISMATCH|CAST_INVALID_INPUT|CANNOT_UP_CAST": (
        "compare the types of the table's columns with those that the statement gives"
    ),
}


class Absent(PermanentError):
    """A table does not exist, or the user has no right to see it."""


def is_drivers_own(error: Exception) -> bool:
    """Return whether the driver raised an error, rather than a bug in this package."""
    return isinstance(error, _OWN) or type(error) in _BARE


def has_expired(error: Exception) -> bool:
    """Return whether the warehouse had ended the session, so that the statement did not run."""
    return _EXPIRED.search(str(error)) is not None


def cancelled(action: str) -> PermanentError:
    """Return the error of a statement that was asked to stop."""
    return PermanentError(f"{action}: cancelled" if action else "cancelled")


def timed_out(action: str) -> PermanentError:
    """Return the error of a statement that the warehouse stopped after `query_timeout`."""
    message = "the statement took longer than query_timeout"
    return PermanentError(f"{action}: {message}" if action else message, hint=_TIMEOUT_HINT)


def translated(error: Exception, action: str = "") -> PlaneError:
    """Return an error of the platform for one of the driver's; `action` says what failed."""
    context = error.context if isinstance(error, driver.Error) else {}
    if signing_in := [cause for cause in error.args if isinstance(cause, PlaneError)]:
        return signing_in[0]  # the driver wraps an error of its hook for signing in
    if (status := context.get("http-code")) in {400, 401, 403, 404} and not has_expired(error):
        return _refused(int(status), str(context.get("error-message") or "").strip(": "), action)
    if _NO_PYTHON.search(str(error)):
        message = "this warehouse does not run Python functions"
        hint = "use a pro or serverless SQL warehouse, and a catalog of Unity Catalog"
        return PermanentError(f"{action}: {message}" if action else message, hint=hint)
    spark_error = _SPARK_ERROR.search(str(error))
    if not spark_error:
        return _unreached(error, action)
    name, text = spark_error[1], _AFTER_MESSAGE.sub("", spark_error[2])
    hint = next((hint for pattern, hint in _HINTS.items() if re.match(pattern, name)), "")
    if lacking := _LACKS.search(text):
        grant = (
            f"GRANT {lacking[1]} ON {lacking[2].upper()} {lacking[3]} TO `<this session's user>`"
        )
        hint = f"ask for it: {grant}"
    if suggested := _SUGGESTED.search(text):
        text, hint = text[: suggested.start()], suggested[1]
    if name.startswith("UDF_USER_CODE_ERROR") and (raised := _RAISED.search(spark_error[2])):
        text = raised[1]  # only the message that a Python function raised, without its traceback
    message = f"{action}: {text}" if action else text
    if _RACE.match(name):
        return TransientError(message, hint="another writer changed the same table: try again")
    if _ABSENT.match(name):
        return Absent(
            message,
            hint=(
                "check the name and the catalog; a table that you have no right to see looks"
                " missing, too"
            ),
        )
    return PermanentError(message, hint=hint)


def _refused(status: int, said: str, action: str) -> PermanentError:
    reason = f"{status}, {said}" if said else str(status)
    if status in {401, 403}:
        hint = (
            "check the credentials, whether they have expired, and whether they may use this"
            " warehouse"
        )
        return PermanentError(f"{action}: Databricks refused the credentials ({reason})", hint=hint)
    hint = (
        "check server_hostname and http_path, and whether the warehouse exists and you may start it"
    )
    return PermanentError(f"{action}: Databricks refused the request ({reason})", hint=hint)


def _unreached(error: Exception, action: str) -> PlaneError:
    """Return the error for a failure without one of Spark's error classes, such as a network's."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    message = f"{action}: {lines[0]}" if action else lines[0]
    if isinstance(error, driver.ServerOperationError | driver.NotSupportedError):
        return PermanentError(message)
    return TransientError(
        message, hint="the warehouse can't be reached, or is still starting: try again"
    )
