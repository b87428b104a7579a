"""A project that an earlier version deployed goes on with today's: nothing is redefined, nothing is
lost."""

from __future__ import annotations

import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from controlplane import ControlPlane
from controlplane.base.types import Interval
from controlplane.plan.actions import Repair, Rerender
from controlplane.sql.objects import setup, tables
from tests.control.team import Team, ready

HERE = Path(__file__).parent
VERSIONS = ["0.1.0-november"]
BY_COUNTRY = 'Aggregate("sum", "amount", windows=["2d"], by="country")'
SUMS = ('Aggregate("count", windows=["1d"]),', f'Aggregate("count", windows=["1d"]), {BY_COUNTRY},')


@pytest.fixture(params=VERSIONS)
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A project as that version left it, with its definitions."""
    with zipfile.ZipFile(HERE / f"{request.param}.zip") as archive:
        archive.extractall(tmp_path)
    shutil.copy(HERE / "plane.toml", tmp_path)
    shutil.copytree(HERE / "features", tmp_path / "features")
    return tmp_path


def test_nothing_is_redefined(project: Path) -> None:
    with ControlPlane(project) as plane:
        changes = plane.plan()
        assert {type(action) for action in changes.actions} <= {Rerender, Repair}
        assert not any(
            isinstance(action, Repair) and action.recomputed for action in changes.actions
        )
        assert not any(forecast.missing for forecast in changes.forecasts)
        plane.deploy()
        assert plane.plan().empty


def test_it_runs_before_its_next_deploy(project: Path) -> None:
    """A package that was upgraded alone: what a deploy would bring up to date stops no run."""
    settings = (project / "plane.toml").read_text()
    (project / "plane.toml").write_text(settings.replace("2024-01-03T00", "2024-01-04T00"))
    with ControlPlane(project) as plane:
        runs = {run.view: run for run in plane.run()}
        assert runs["spend"].computed
        assert {status.state for status in plane.status()} == {"up to date"}
        findings = [finding for finding in plane.doctor() if "sums of 64 bits" in finding.message]
        assert [finding.level for finding in findings] == ["warning"]
        assert plane.verify(["spend"], cases=50, seed=1).mismatches == 0


def test_it_runs_on(project: Path) -> None:
    with ControlPlane(project) as plane:
        plane.deploy()
    settings = (project / "plane.toml").read_text()
    (project / "plane.toml").write_text(settings.replace("2024-01-03T00", "2024-01-04T00"))
    with ControlPlane(project) as plane:
        plane.deploy()
        assert {run.view for run in plane.run()} == {"spend", "latest", "person", "peaks"}
        report = plane.verify(cases=100, seed=1)
        assert report.mismatches == 0


def test_sums_of_64_bits_become_wider(team: Team) -> None:
    """Earlier versions kept sums of integers in 64 bits, but for Snowflake, whose integers have 38
    digits."""
    folder = team.laptop("one", SUMS)
    ready(folder)
    shown = "SELECT * FROM features.spend ORDER BY user_id, valid_from"
    before = team.rows(shown)
    narrow(team, folder)
    with ControlPlane(folder) as plane:
        changes, _ = plane.deploy()
        if team.kind != "snowflake":
            [repair] = changes.actions
            assert isinstance(repair, Repair)
            [damage] = repair.damages
            assert damage.problem.endswith("with sums of 64 bits: amount__sum, country__by")
            assert (repair.recomputed, repair.dropped) == (False, ())
        assert plane.plan().empty
        first = Interval(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
        plane.run(["spend"], within=first, recompute=True)
    assert team.rows(shown) == before


def narrow(team: Team, folder: Path) -> None:
    """Give the tiles the types that they had."""
    with ControlPlane(folder) as plane:
        _, manifest = plane.deployed()
    [view] = manifest.views
    [table] = [one for one in tables(manifest, view, setup(manifest, view)) if one.part == "tiles"]
    d = team.dialect
    body = table.body.replace(d.wide_integer, d.type("int64"))
    team.run(
        f"CREATE TABLE features.kept AS SELECT * FROM {table.quoted}",
        f"DROP TABLE {table.quoted}",
        f"CREATE TABLE {table.quoted} (\n{body}\n)",
        f"INSERT INTO {table.quoted} SELECT * FROM features.kept",
        "DROP TABLE features.kept",
    )
