"""Read and check the first line of a CSV file, so that no reader has to guess the file's form."""

from __future__ import annotations

import csv
from pathlib import Path

from controlplane.base.ports import check_names
from controlplane.errors import PermanentError, PlaneError

_DELIMITERS = (",", ";", "\t", "|")


def delimiter(path: Path) -> str:
    """Return the delimiter of a CSV file: the one that splits its header into the most names.

    Readers guess more than that: DuckDB drops first lines with fewer fields than the others, takes
    a header for a row, and invents names for columns without one.

    Raises:
        PlaneError: the file can't be read or is not UTF-8 text, or its header is empty, has a
            column without a name, or has two names that are equal or differ only in case.
    """
    names, found = max(
        ((_header(path, candidate), candidate) for candidate in _DELIMITERS),
        key=lambda header: len(header[0]),  # the first one if none is in the header
    )
    hint = "the first line of a CSV file must name its columns, each by another name"
    if not names:
        raise PlaneError(f"{path}: its first line is empty", hint=hint)
    if "" in names:
        raise PlaneError(f"{path}: column {names.index('') + 1} has no name", hint=hint)
    try:
        check_names(names)
    except PermanentError as error:
        raise PlaneError(f"{path}: {error.message}", hint=hint) from None
    return found


def _header(path: Path, candidate: str) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = next(csv.reader(file, delimiter=candidate), [])
    except UnicodeDecodeError:
        raise PlaneError(f"{path}: it is not UTF-8 text", hint="save it as UTF-8") from None
    except csv.Error as error:
        text = f"{path}: its first line can't be read: {error}"
        raise PlaneError(text, hint="check that it is a CSV file") from None
    except OSError as error:
        text = f"{path} can't be read: {error.strerror}"
        raise PlaneError(text, hint="pass the path of a readable file") from None
    return [name.strip() for name in first]
