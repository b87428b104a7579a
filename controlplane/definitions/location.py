"""Where in the user's files a definition was written."""

from __future__ import annotations

import sys
from pathlib import Path

from controlplane.errors import Location

_HERE = str(Path(__file__).parent)


def caller() -> Location:
    """The file and line of the nearest frame outside this room.

    Dataclasses' generated `__init__` is skipped.
    """
    frame = sys._getframe(1)
    while frame.f_back and (
        frame.f_code.co_filename.startswith(_HERE) or frame.f_code.co_filename == "<string>"
    ):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)
