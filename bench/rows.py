"""What a bench reports: rows of ours against something else, as a table and as JSON lines."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text


@dataclass(frozen=True)
class Row:
    """One comparison: ours and the other in one unit, and the ratio that would be good enough.

    `against` is None where the other could not be had; `what` then says why, and a row with a
    target is not ok. Without a `target` the row only informs.
    """

    row: str
    ours: float
    against: float | None
    what: str
    target: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        """Ours in parts of the other."""
        return self.ours / self.against if self.against else None

    @property
    def ok(self) -> bool:
        """Whether the ratio is good enough."""
        return self.target is None or (self.ratio is not None and self.ratio <= self.target)


def seconds(
    work: Callable[[], object], repeat: int = 3, clock: Callable[[], float] = time.perf_counter
) -> float:
    """The median time of some runs."""
    found = []
    for _ in range(repeat):
        started = clock()
        work()
        found.append(clock() - started)
    return statistics.median(found)


def by_turns(
    first: Callable[[], object],
    second: Callable[[], object],
    repeat: int = 3,
    before: Callable[[], object] = lambda: None,
) -> tuple[float, float]:
    """The median times of two works that are run by turns, so that a busy machine slows both;
    `before` is run before each of them and is not measured."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeat):
        for work, times in zip((first, second), found, strict=True):
            before()
            times.append(seconds(work, 1))
    return statistics.median(found[0]), statistics.median(found[1])


def report(rows: Iterable[Row]) -> Iterator[Row]:
    """Print each row as it comes."""
    console = Console(highlight=False, soft_wrap=True)
    for row in rows:
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else "-"
        target = f" (<= {row.target:g})" if row.target is not None else ""
        verdict = (
            ("", "") if row.target is None else ("  ok", "green") if row.ok else ("  over", "red")
        )
        against = (
            f"{_short(row.against, row.unit)}  {row.what}" if row.against is not None else row.what
        )
        console.print(
            Text.assemble((row.row, "bold"), f": {_short(row.ours, row.unit)} against {against}")
        )
        console.print(Text.assemble(f"    ratio {ratio}{target}", verdict))
        yield row


def as_line(row: Row) -> str:
    """A row as one line of JSON."""
    return json.dumps(asdict(row) | {"ratio": row.ratio, "ok": row.ok}) + "\n"


def write(rows: Iterable[Row], path: str | None) -> None:
    """Take all rows; with a path, write one JSON line for each as it comes."""
    if path:
        Path(path).write_text("")
    for row in rows:
        if path:
            with Path(path).open("a") as file:
                file.write(as_line(row))


def _short(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"
