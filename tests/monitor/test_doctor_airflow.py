"""What the doctor says of the embedded Airflow while that works on the very warehouse that it wants
to look at."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from controlplane.embedded.airflow_health import COMPONENTS
from controlplane.embedded.daemon import Daemon, alive, choose_port, spawn, stop, write_state
from tests.shop import Shop, until

# As a task does: it has the file open, for as long as it works.
HOLD = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
open(sys.argv[2], "w").close()
time.sleep(float(sys.argv[3]))
"""
REST = "import time; time.sleep(600)"


class Processes:
    """Processes that a project's folder of Airflow records as its components."""

    def __init__(self, shop: Shop) -> None:
        self.home = shop.folder / ".plane" / "airflow" / "local"
        self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.warehouse = shop.folder / ".plane" / "warehouse.duckdb"
        self.daemons: dict[str, Daemon] = {}
        self.port = choose_port()

    def start(self, name: str, program: str, *arguments: str) -> None:
        """Run a program, and record it as a component."""
        command = [sys.executable, "-c", program, *arguments]
        log = self.home / f"{name}.log"
        spawn(
            command,
            env=os.environ,
            log=log,
            record=lambda daemon: self.daemons.update({name: daemon}),
        )
        self.record()

    def record(self, *names: str) -> None:
        """Write which components there are, as a start of Airflow does."""
        since = "2024-01-01T00:00:00+00:00"
        known = {
            name: {"process": self.daemons[name].record(), "since": since}
            for name in names or self.daemons
        }
        write_state(self.home / "state.json", {"port": self.port, "processes": known})

    def hold(self, name: str, seconds: float) -> None:
        """Have a component open the warehouse, and wait until it has."""
        opened = self.home / "opened"
        self.start(name, HOLD, str(self.warehouse), str(opened), str(seconds))
        until(opened.exists)


@pytest.fixture
def processes(shop: Shop) -> Iterator[Processes]:
    """Of a deployed and computed project."""
    shop.ready()
    found = Processes(shop)
    yield found
    stop(found.daemons.values(), grace=1)


def told(shop: Shop, code: int) -> dict[str, dict[str, Any]]:
    """What is not right, by subject; of several with one subject the worst."""
    found = shop.plane("doctor", "--json", code=code).json
    by_level = sorted(found, key=lambda finding: ("ok", "warning", "error").index(finding["level"]))
    return {finding["subject"]: finding for finding in by_level if finding["level"] != "ok"}


def test_b18_a_task_that_has_the_warehouse_open_is_a_warning(shop, processes):
    """Case B18: two errors, for the project's own healthy worker."""
    for name in COMPONENTS.keys() - {"scheduler"}:
        processes.start(name, REST)
    processes.hold("scheduler", 600)
    found = told(shop, 0)
    pid = processes.daemons["scheduler"].pid
    for subject in ("warehouse", "definitions"):
        assert found[subject]["level"] == "warning"
        assert f"a task of the embedded Airflow (process {pid})" in found[subject]["message"]
        assert found[subject]["hint"]


def test_b18_a_task_that_ends_soon_is_waited_for(shop, processes):
    """Case B18: most tasks take less than a second."""
    processes.hold("scheduler", 2)
    assert not {"warehouse", "definitions"} & told(shop, 1).keys()


def test_another_process_that_has_the_warehouse_open_is_an_error(shop, processes):
    processes.hold("stranger", 600)
    processes.start("scheduler", REST)
    processes.record("scheduler")
    found = told(shop, 1)
    assert {found[subject]["level"] for subject in ("warehouse", "definitions")} == {"error"}


def test_b18_components_that_run_and_report_no_health_yet_are_a_warning(shop, processes):
    """Case B18: right after "Airflow is up" the doctor said that it does not run."""
    for name in COMPONENTS:
        processes.start(name, REST)
    found = told(shop, 0)["airflow"]
    assert found["level"] == "warning"
    assert found["message"].startswith(
        "it has just started, or is busy: no health report from api-server, "
    )
    assert "Airflow is not healthy on this machine" in patiently(shop)


def patiently(shop: Shop) -> str:
    begun = time.monotonic()
    said = shop.fails("airflow", "run", "--start", "2024-01-01", "--end", "2024-01-02")
    assert time.monotonic() - begun > 5
    return said


def test_a_component_that_has_ended_is_an_error(shop, processes):
    for name in COMPONENTS:
        processes.start(name, REST if name != "scheduler" else "pass")
    until(lambda: not alive(processes.daemons["scheduler"]))
    found = told(shop, 1)["airflow"]
    assert (found["level"], found["message"]) == ("error", "components have ended: scheduler")


def test_an_airflow_that_was_stopped_is_no_concern(shop, processes):
    write_state(processes.home / "state.json", {"port": processes.port})
    assert told(shop, 0) == {}
