"""What every test shares: the repository's folder, and property tests that take the time they
need."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# A slow machine is not a failure, and a run must be repeatable: examples come from the test's own
# name.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# Files that take minutes begin first, so that no process is left alone with one of them at the end.
LONG = (
    "engine/test_parity_databricks.py",
    "airflow/test_scheduler.py",
    "e2e/test_docs.py",
    "control/test_drift.py",
    "e2e/test_demo.py",
    "engine/test_differential.py",
    "embedded/test_airflow.py",
    "server/test_limits.py",
    "monitor/test_doctor_airflow.py",
    "connectors/test_redis_sentinel.py",
    "engine/test_parity.py",
    "e2e/test_flights.py",
    "e2e/test_no_leak.py",
    "airflow/test_runs.py",
    "server/test_shards.py",
    "connectors/test_databricks_failures.py",
    "engine/test_intervals.py",
    "materialize/test_sync.py",
    "server/test_trouble.py",
    "connectors/test_databricks.py",
    "endpoints/test_databricks_endpoint.py",
    "deploy/test_kill.py",
    "verification/test_evaluation.py",
    "cli/test_bad_input.py",
    "deploy/test_deploy.py",
    "control/test_migrations.py",
    "airflow/test_warehouses.py",
    "e2e/test_warehouses.py",
    "control/test_owners.py",
    "cli/test_rollback.py",
    "monitor/test_status.py",
    "engine/test_kill.py",
    "verification/test_one_by_one.py",
    "cli/test_journey.py",
    "engine/test_merge.py",
    "verification/test_verify.py",
    "cli/test_encodings.py",
    "cli/test_forget.py",
    "cli/test_containers.py",
    "e2e/test_training.py",
    "test_packaging.py",
    "engine/test_order.py",
)
# Files that share what takes long to make, or a warehouse whose schemas have the same names: one
# process runs them.
TOGETHER = {
    "engine/test_parity_databricks.py": "databricks",
    "e2e/test_flights.py": "flights",
    "e2e/test_no_leak.py": "flights",
}

ON_DATABRICKS = {"airflow", "control", "engine", "materialize", "sql", "upgrade", "verification"}
"""Folders with tests that run on every warehouse: those on Databricks share its schemas, so one
process runs them."""


class Files(LoadFileScheduling):
    """Sends a file's tests to one process, and those of files that go `TOGETHER`.

    The marks that pytest-xdist has for this do nothing under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        name = file.removeprefix("tests/")
        if "databricks" in test and name.partition("/")[0] in ON_DATABRICKS:
            return "databricks"
        return TOGETHER.get(name, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Files:
    """What deals tests out where several processes run them."""
    return Files(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: that of the tests on Databricks waits for Spark, and
    others for servers, retries and time limits."""
    return len(os.sched_getaffinity(0)) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by `LONG`; those of a file stay together, and in their order."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `pyproject.toml`."""
    return Path(__file__).resolve().parent.parent
