"""Find the line of the user's file that makes a definition."""

from __future__ import annotations

import sys
from pathlib import Path

from controlplane.errors import Location

_HERE = str(Path(__file__).parent)


def caller() -> Location:
    """Return the file and line of the nearest caller outside this package.

    The generated `__init__` of a dataclass is skipped.
    """
    # A dataclass calls `default_factory` from a generated `__init__`, whose file is `<string>`.
    # `inspect.stack` would read the source of every frame: too slow for thousands of definitions.
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_filename.startswith(_HERE) or frame.f_code.co_filename == "<string>"
    ):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)
