"""How far a long work is, for a progress bar."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a long work is: the view, the step that begins, and the intervals done of all that
    the view has to do."""

    view: str
    step: str
    done: int
    total: int
