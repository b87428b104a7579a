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
    "engine/test_parity_databricks.py",
    "airflow/test_warehouses.py",
    "airflow/test_scheduler.py",
    "e2e/test_flights.py",
    "e2e/test_no_leak.py",
    "e2e/test_demo.py",
    "engine/test_parity.py",
    "engine/test_order.py",
    "runtime/test_sync.py",
    "deploy/test_kill.py",
    "local/test_airflow.py",
    "cli/test_bad_input.py",
    "deploy/test_deploy.py",
    "e2e/test_docs.py",
    "e2e/test_warehouses.py",
)
# Files that share what takes long to make, or a warehouse whose schemas have the same names: one process runs them.
TOGETHER = {
    "engine/test_parity_databricks.py": "databricks",
    "airflow/test_warehouses.py": "databricks",
    "e2e/test_flights.py": "flights",
    "e2e/test_no_leak.py": "flights",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests by `LONG`, and tell pytest-xdist which of them one process runs: a file's, and `TOGETHER`."""
    here = Path(__file__).parent
    ranks = {here / name: rank for rank, name in enumerate(LONG)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        name = item.path.relative_to(here).as_posix()
        item.add_marker(pytest.mark.xdist_group(TOGETHER.get(name, name)))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds `pyproject.toml`."""
    return Path(__file__).resolve().parent.parent
