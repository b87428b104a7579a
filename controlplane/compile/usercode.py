"""Run the users' own Python; an exception becomes one error with the user's file and line."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from controlplane import definitions
from controlplane.errors import DefinitionError, Location, PlaneError

_CALLED = re.compile(r"(\w+)(?:\.__init__)?\(\)")
_UNEXPECTED = re.compile(r".* unexpected keyword argument '(\w+)'")
_NOT_THERE = re.compile(r"cannot import name '(\w+)'")


@contextmanager
def running(subject: str, file: str, fallback: Location | None = None) -> Iterator[None]:
    """Run users' code from `file`.

    Args:
        subject: what the error calls the code.
        file: of the code; the error names its last line in the traceback.
        fallback: the error's location if the traceback has no line of `file`.

    Raises:
        DefinitionError: the code raised anything but a `PlaneError`.
    """
    try:
        yield
    except PlaneError:
        raise
    except SyntaxError as error:
        raise DefinitionError(
            f"{subject} is not valid Python: {error.msg}",
            where=Location(error.filename or file, error.lineno or 0),
            hint="correct the line, or the one before it",
        ) from None
    # User code may raise anything, and `sys.exit()` in it must not end the command without a word.
    except (Exception, SystemExit) as error:
        lines = [
            f.lineno or 0
            for f in traceback.extract_tb(error.__traceback__)
            if Path(f.filename) == Path(file)
        ]
        # The last line of the user's own file: deeper frames are in libraries.
        where = Location(file, lines[-1]) if lines else fallback or Location(file)
        text = str(error).strip().split("\n")[0]
        if isinstance(error, ImportError):
            text = text.partition(" (")[0]  # the rest is the path of the module on this machine
        # Python 3.13 and later add this; the hint says it on all versions.
        text = text.partition(". Did you mean")[0]
        raise DefinitionError(
            f"{subject} raised {type(error).__name__}{f': {text}' if text else ''}",
            where=where,
            hint=_remedy(error),
        ) from None


def _remedy(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "definitions must not end the process: remove the call of `exit`"
    # Python has no attribute for this: only the text says that arguments are wrong.
    if isinstance(error, TypeError) and "argument" in str(error):
        return _arguments(str(error))
    if isinstance(error, ImportError) and not isinstance(error, ModuleNotFoundError):
        return _imported(error)
    if isinstance(error, ImportError) and str(error.name).startswith("controlplane."):
        return "import it from controlplane itself: from controlplane import ..."
    if isinstance(error, ImportError):
        return (
            "install the package, or put the module into one of the project's `definitions` folders"
        )
    if isinstance(error, NameError | AttributeError) and (named := _similar(error)):
        return named
    return "run the file with python to see where it fails"


def _arguments(text: str) -> str:
    """Say what to do about a call whose arguments do not fit the function."""
    called = _CALLED.match(text)
    name = called[1] if called else ""
    if called is None or name not in definitions.__all__:
        return "compare the arguments with the signature of the function"
    if "missing" in text and "'owner'" in text:
        return "give owner=, a person or a team"
    known = inspect.signature(getattr(definitions, name)).parameters
    unexpected = _UNEXPECTED.search(text)
    if unexpected and (close := get_close_matches(unexpected[1], known, 1)):
        return f"did you mean {close[0]}=?"
    return f"its arguments are: {', '.join(known)}; see help(controlplane.{name})"


def _imported(error: ImportError) -> str:
    """Say what to do about an import of a name that the module lacks."""
    missing = _NOT_THERE.match(str(error))
    module = sys.modules.get(error.name or "")
    close = get_close_matches(missing[1], dir(module), 1) if missing and module else []
    if close:
        return f"did you mean {close[0]}?"
    return f"correct the name, or define it in {error.name}"


def _similar(error: NameError | AttributeError) -> str:
    """Suggest a name that is spelled like the unknown one; empty if there is none."""
    if isinstance(error, AttributeError):
        known = dir(error.obj) if isinstance(error.obj, ModuleType) else []
    else:
        known = list(definitions.__all__)
    close = get_close_matches(error.name or "", known, 1)
    return f"did you mean {close[0]}?" if close else ""
