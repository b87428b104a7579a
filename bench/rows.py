"""What a bench reports: rows of ours against something else, as a table and as JSON lines."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Row:
    """One comparison: seconds of ours and of the other, and the ratio that would be good enough."""

    row: str
    ours: float
    against: float
    what: str
    target: float

    @property
    def ratio(self) -> float:
        return self.ours / self.against

    @property
    def ok(self) -> bool:
        return self.ratio <= self.target


def seconds(work: Callable[[], object], repeat: int = 3) -> float:
    """The median time of some runs."""
    found = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        found.append(time.perf_counter() - started)
    return statistics.median(found)


def report(rows: Iterable[Row], path: str | None) -> None:
    """Print the table; with a path, also write one JSON line for each row."""
    table = Table("row", "ours", "against", "", "ratio", "target", "")
    lines = []
    for row in rows:
        ok = "ok" if row.ok else "over"
        table.add_row(
            row.row, _short(row.ours), _short(row.against), row.what, f"{row.ratio:.2f}", f"<= {row.target}", ok
        )
        lines.append(json.dumps(asdict(row) | {"ratio": row.ratio, "ok": row.ok}))
    Console().print(table)
    if path:
        Path(path).write_text("\n".join(lines) + "\n")


def _short(value: float) -> str:
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.2f} ms"
