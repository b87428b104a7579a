"""The demonstration as a newcomer runs it: `python demo.py` in a fresh clone's example, with a real
Airflow, twice."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from controlplane import ControlPlane
from tests.e2e.projects import copied, environment, sql

FIRST_SECONDS = 360.0
AGAIN_SECONDS = 60.0


@dataclass(frozen=True)
class Told:
    """What a run of the demonstration printed, and how long it took."""

    text: str
    seconds: float

    def under(self, heading: str) -> str:
        """What it printed under the heading of that number."""
        found = re.search(rf"^{heading}\. .*?(?=^\d\. |\Z)", self.text, re.MULTILINE | re.DOTALL)
        assert found, f"no heading {heading} in:\n{self.text}"
        return found[0]


def demonstrate(folder: Path) -> Told:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "demo.py"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Told(done.stdout, time.monotonic() - begun)


def left_running(folder: Path) -> list[str]:
    """Every process that stands in the folder, or was started with it as an argument or in its
    environment."""
    found = []
    for process in psutil.process_iter():
        try:
            words = [process.cwd(), *process.cmdline(), *process.environ().values()]
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.status() != psutil.STATUS_ZOMBIE and any(str(folder) in word for word in words):
            found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the example; whatever the demonstration left is stopped in the end."""
    folder = copied(tmp_path_factory.mktemp("demo") / "01-flights")
    try:
        yield folder
    finally:
        with ControlPlane(folder) as project:
            project.stop_servers()


@pytest.mark.airflow
def test_the_demonstration_tells_the_whole_story_and_again_does_nothing(folder: Path) -> None:
    told = demonstrate(folder)
    assert left_running(folder) == []
    assert told.seconds < FIRST_SECONDS
    assert "loaded 336,776 flights, 328,521 of which departed\n" in told.under("1")
    assert told.under("2").count("new: its tables are created") == 5
    assert "Deployed as number 1, release " in told.under("3")
    assert re.search(r"^airport_delays +4 +328,507 +0 +3 keys *$", told.under("4"), re.MULTILINE)
    ran = dict(re.findall(r"^(\w+) +(\d+  +\d+) *$", told.under("5"), re.MULTILINE))
    views = {"aircraft_last_flight", "airport_delays", "carrier_delays", "airport_weather"}
    hours = {tuple(counts.split()) for view, counts in ran.items() if view in views}
    assert set(ran) == views | {"aircraft_registry"}
    assert len(hours) == 1
    [(runs, succeeded)] = hours
    assert runs == succeeded
    assert int(runs) >= 2
    online = told.under("6")
    assert re.search(
        r"^airport_delays__count_24h +282 +present +2014-01-01T05:30:00Z *$", online, re.MULTILINE
    )
    assert re.search(
        r"^aircraft_registry__manufacturer +AIRBUS +present +2013-01-01T00:00:00Z *$",
        online,
        re.MULTILINE,
    )
    assert re.search(
        r"^airport_weather__temp +null +expired +2013-12-31T00:15:00Z *$", online, re.MULTILINE
    )
    assert 'created "datasets"."late_2013__v1" with 336,776 rows\n' in told.under("7")
    states = re.findall(
        r"^(\w+)  +(up to date|behind|not computed) ", told.under("8"), re.MULTILINE
    )
    assert dict(states) == dict.fromkeys([*views, "aircraft_registry"], "up to date")
    assert "stopped: Airflow, Redis\n" in told.under("8")
    by_airflow = sql(
        folder, "SELECT count(*) FROM _plane.ledger WHERE interval_start >= '2014-01-01 03:00'"
    )
    assert by_airflow == [(len(views) * int(runs),)]
    before = sql(folder, "SELECT count(*), max(version) FROM _plane.ledger")

    again = demonstrate(folder)
    assert "There was nothing to do: everything was computed already." in again.text
    assert again.seconds < AGAIN_SECONDS
    assert "No changes: environment local is as declared." in again.under("2")
    assert "Everything is computed and synced: nothing to do." in again.under("4")
    assert again.under("6") == online
    assert sql(folder, "SELECT count(*), max(version) FROM _plane.ledger") == before
    assert sql(folder, "SELECT count(*) FROM _plane.datasets") == [(1,)]
    assert left_running(folder) == []
