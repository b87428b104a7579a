"""One endpoint for all tests of a session, also where they run side by side in several processes.

A package of tests takes it in with `from tests.endpoints.databricks.fixture import databricks` in
its conftest.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator

import pytest

from tests.endpoints.databricks.client import DatabricksEndpoint, missing

STARTED: list[DatabricksEndpoint] = []
"""Kept until this process ends: the others may still need it, and it ends with their common
parent."""


@pytest.fixture(scope="session")
def databricks(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[DatabricksEndpoint]:
    """The running endpoint; the first process that asks starts it, and it ends with the session.

    Where it can't run its tests are skipped, or fail if they must not be.
    """
    if lacking := missing():
        must = os.environ.get("CI") or os.environ.get("CONTROLPLANE_REQUIRE_SPARK") == "1"
        (pytest.fail if must else pytest.skip)(lacking)
    beside_others = hasattr(request.config, "workerinput")
    # The workers' temporary folders lie side by side in the session's, and the session's own
    # process is their parent.
    folder = tmp_path_factory.getbasetemp()
    folder = (folder.parent if beside_others else folder) / "databricks"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        address = folder / "address"
        if not address.exists():
            STARTED.append(
                DatabricksEndpoint.start(folder, os.getppid() if beside_others else os.getpid())
            )
            address.write_text(STARTED[-1].address)
    yield DatabricksEndpoint(address.read_text())
    if STARTED and not beside_others:
        STARTED.pop().stop()
