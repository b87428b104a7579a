"""The first example, computed once for all tests of this folder, and a server for tiny projects."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from controlplane import ControlPlane
from tests.e2e.oracle import Oracle
from tests.e2e.pairs import SEED, Pair, ask
from tests.e2e.projects import EXAMPLE, copied, load_example, plane, tiny
from tests.servers import valkey_url

__all__ = ["valkey_url"]


def pytest_configure(config: pytest.Config) -> None:
    """Register this folder's marker, which others use too."""
    config.addinivalue_line("markers", "airflow: starts a real Airflow, which takes about a minute")


TRAIN = ("--service", "late_arrival", "--spine", "spine.sql", "--time", "predict_at")


@dataclass(frozen=True)
class Flights:
    """The computed example: its folder, what its tables must say, and the questions to compare them
    by."""

    folder: Path
    oracle: Oracle
    pairs: list[Pair]


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    """What the example must say."""
    return Oracle(EXAMPLE / "data")


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory, oracle: Oracle) -> Iterator[Flights]:
    """The example in a folder of its own: loaded, deployed, computed for the whole year, in sync
    with a real Redis."""
    folder = copied(tmp_path_factory.mktemp("flights") / "01-flights")
    load_example(folder)
    try:
        plane(folder, "plan")
        plane(folder, "deploy", "--yes")
        plane(folder, "run")
        sys.stdout.write(f"PLANE_TEST_SEED={SEED}\n")
        yield Flights(folder, oracle, ask(oracle))
    finally:
        with ControlPlane(folder) as project:
            project.stop_servers()


@pytest.fixture(scope="session")
def training_set(flights: Flights) -> str:
    """What the command line says of a training set of all flights, `datasets.late_2013__v1`."""
    return plane(flights.folder, "dataset", "create", "late_2013", *TRAIN).stdout


Make = Callable[..., Path]


@pytest.fixture
def project(tmp_path: Path, valkey_url: str) -> Make:
    """Makes tiny projects: definitions, statements that make the raw tables, and `now`."""
    numbers = count(1)

    def make(definitions: str, *statements: str, now: str) -> Path:
        return tiny(
            tmp_path / f"tiny{next(numbers)}", definitions, *statements, now=now, online=valkey_url
        )

    return make
