"""The progress of a long operation, for a progress bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """The view, the step that begins, and how many of the view's intervals are done."""

    view: str
    step: str
    done: int
    total: int
