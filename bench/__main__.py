"""`make bench`: every topic, or one with ONLY=; JSON=path writes a line for each row."""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import (
    airflow_tasks,
    export,
    fetching,
    flights,
    increment,
    intervals,
    memory,
    online,
    plans,
    reading,
    serving,
    training,
    windows,
)
from bench.rows import Row, report, write

TOPICS = {
    "plan": plans.rows,
    "training": training.rows,
    "windows": windows.rows,
    "increment": increment.rows,
    "intervals": intervals.rows,
    "memory": memory.rows,
    "flights": flights.rows,
    "fetching": fetching.rows,
    "export": export.rows,
    "online": online.rows,
    "reading": reading.rows,
    "serving": serving.rows,
    "airflow": airflow_tasks.rows,
}


def rows(topics: list[str]) -> Iterator[Row]:
    """The rows of some topics, each in a folder that is gone afterwards."""
    for topic in topics:
        with tempfile.TemporaryDirectory(prefix="plane-bench-") as temporary:
            yield from TOPICS[topic](Path(temporary))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="also write a JSON line for each row to this file")
    parser.add_argument("--only", nargs="*", choices=TOPICS, default=list(TOPICS), help="topics")
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} processors")
    write(report(rows(arguments.only)), arguments.json)
    print(f"load {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
