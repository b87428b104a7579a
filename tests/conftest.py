"""What every test shares: the repository's folder, and property tests that take the time they need."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

# A slow machine is not a failure, and a run must be repeatable: examples come from the test's own name.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# Files that take minutes begin first, so that no process is left alone with one of them at the end.
LONG = (
    "engine/test_parity.py",
    "airflow/test_scheduler.py",
    "airflow/test_warehouses.py",
    "e2e/test_demo.py",
    "engine/test_order.py",
    "runtime/test_sync.py",
    "deploy/test_kill.py",
    "local/test_airflow.py",
    "e2e/test_flights.py",
    "cli/test_bad_input.py",
    "deploy/test_deploy.py",
    "e2e/test_docs.py",
    "e2e/test_no_leak.py",
    "e2e/test_warehouses.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the tests by `LONG`; those of a file stay together, and in their order."""
    ranks = {Path(__file__).parent / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `pyproject.toml`."""
    return Path(__file__).resolve().parent.parent
