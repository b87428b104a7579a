"""Running the users' own Python: whatever it raises becomes one error with the file and line of theirs."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controlplane.errors import DefinitionError, Location, PlaneError


@contextmanager
def running(what: str, file: str, fallback: Location | None = None) -> Iterator[None]:
    """Run users' code from `file`; `what` names it in the error, `fallback` is its place if no line can be told.

    Raises:
        DefinitionError: the code raised anything but a `PlaneError`.
    """
    try:
        yield
    except PlaneError:
        raise
    except SyntaxError as error:
        raise DefinitionError(
            f"{what} is not valid Python: {error.msg}",
            where=Location(error.filename or file, error.lineno or 0),
            hint="correct the line, or the one before it",
        ) from None
    except Exception as error:  # user code: it may raise anything
        lines = [f.lineno or 0 for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == Path(file)]
        where = Location(file, lines[-1]) if lines else fallback or Location(file)
        text = str(error).strip().split("\n")[0]
        raise DefinitionError(
            f"{what} raised {type(error).__name__}: {text}", where=where, hint=_remedy(error)
        ) from None


def _remedy(error: Exception) -> str:
    if isinstance(error, TypeError) and "argument" in str(error):
        return "compare the arguments with the definition's signature: help(controlplane.batch_feature_view)"
    if isinstance(error, ImportError):
        return "install the package, or put the module into one of the project's `definitions` folders"
    return "run the file with python to see where it fails"
