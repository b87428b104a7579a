"""What a user installs: a wheel and an editable install hold everything, and the pins agree with
the ranges."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PACKAGES = ("controlplane", "connectors", "dag_templates")

# What only the extras' rooms need; all other modules are imported by a plain install.
EXTRAS = (
    "controlplane/airflow/",
    "controlplane/embedded/",
    "controlplane/server/",
    "connectors/snowflake",
    "connectors/databricks",
)

# Runs in the installed environment: where the packages are, what they hold, and what their entry
# points load.
LOOK = """
import importlib, importlib.metadata, importlib.resources, json, sys

def walk(folder, path):
    for entry in folder.iterdir():
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from walk(entry, f"{path}/{entry.name}")
        else:
            yield f"{path}/{entry.name}", len(entry.read_bytes())

names = sys.argv[1:]
scripts = importlib.metadata.distribution("controlplane").entry_points
print(json.dumps({
    "homes": {name: importlib.import_module(name).__file__ for name in names},
    "files": dict(found for name in names for found in walk(importlib.resources.files(name), name)),
    "loaded": {f"{point.group}: {point.name}": callable(point.load()) for point in scripts},
}))
"""


class Install(NamedTuple):
    """An environment with this project in it: its folder, where its modules must come from, and
    what LOOK saw."""

    folder: Path
    home: Path
    seen: dict[str, Any]


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints.

    It sees no PYTHONPATH, so that only what is installed can be imported.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def project(repository: Path) -> dict[str, Any]:
    return tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))


def sources(repository: Path) -> dict[str, int]:
    """The packages' files that git keeps or would keep, and their sizes in bytes."""
    listed = run(
        "git",
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
        "-z",
        "--",
        *PACKAGES,
        cwd=repository,
    )
    names = (name for name in listed.split("\0") if name and (repository / name).is_file())
    return {name: (repository / name).stat().st_size for name in names}


@pytest.fixture(scope="session")
def wheel(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=repository)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session", params=["wheel", "editable"])
def install(
    request: pytest.FixtureRequest, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Install:
    """A new environment that borrows the dependencies of this one, with the project installed in
    it."""
    folder = tmp_path_factory.mktemp(request.param)
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    what: list[str | Path] = ["--editable", repository]
    if request.param == "wheel":
        what = [request.getfixturevalue("wheel")]
    # --ignore-installed: this project in the borrowed environment is not the one to look at.
    options = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    python = folder / "bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=folder)
    seen = json.loads(run(python, "-I", "-c", LOOK, *PACKAGES, cwd=folder))
    return Install(folder, packages if request.param == "wheel" else repository, seen)


def test_every_package_is_imported_from_where_it_was_installed(install: Install) -> None:
    assert install.seen["homes"] == {
        name: str(install.home / name / "__init__.py") for name in PACKAGES
    }


def test_every_file_is_there(install: Install, repository: Path) -> None:
    expected = sources(repository)
    assert any(name.endswith(".sql.j2") for name in expected)
    assert any(name.endswith(".py.j2") for name in expected)
    assert {"controlplane/py.typed", "connectors/py.typed"} <= expected.keys()
    assert {name: install.seen["files"].get(name) for name in expected} == expected


def test_every_entry_point_loads(install: Install, repository: Path) -> None:
    declared = project(repository)["project"]
    groups = {**declared["entry-points"], "console_scripts": declared["scripts"]}
    expected = {f"{group}: {name}" for group, points in groups.items() for name in points}
    assert install.seen["loaded"] == dict.fromkeys(expected, True)


def test_plane_tells_its_version(install: Install, wheel: Path) -> None:
    version = wheel.name.split("-")[1]
    assert version in run(install.folder / "bin/plane", "--version", cwd=install.folder).split()


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


def test_every_dependency_is_pinned_within_its_range(repository: Path) -> None:
    lines = (repository / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(
        pin.url is None and [part.operator for part in pin.specifier] == ["=="] for pin in pins
    )
    here = {
        pin.name: next(iter(pin.specifier)).version
        for pin in pins
        if not pin.marker or pin.marker.evaluate()
    }
    declared = project(repository)["project"]
    wanted = [
        *declared["dependencies"],
        *(line for extra in declared["optional-dependencies"].values() for line in extra),
    ]
    outside = [
        str(need)
        for need in map(Requirement, wanted)
        if not need.specifier.contains(here.get(need.name, "0"))
    ]
    assert outside == []


def libraries(source: str) -> Iterator[str]:
    """The top-level names of the libraries that a module imports when it is imported itself."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        yield from {name.split(".")[0] for name in names} - sys.stdlib_module_names - set(PACKAGES)


def test_every_import_is_a_declared_dependency(repository: Path) -> None:
    declared = project(repository)["project"]
    base = {Requirement(line).name for line in declared["dependencies"]}
    extras = declared["optional-dependencies"]
    every = base | {
        Requirement(line).name
        for extra in extras.keys() - {"dev", "docs"}
        for line in extras[extra]
    }
    providers = packages_distributions()
    undeclared = []
    for name in (name for name in sources(repository) if name.endswith(".py")):
        allowed = every if name.startswith(EXTRAS) else base
        for library in libraries((repository / name).read_text(encoding="utf-8")):
            # A driver that is not installed here is known by its name: snowflake is of
            # snowflake-connector-python.
            absent = {dependency for dependency in every if dependency.startswith(f"{library}-")}
            if not allowed & (
                {canonicalize_name(provider) for provider in providers.get(library, [])} or absent
            ):
                undeclared.append(f"{name}: {library}")
    assert undeclared == []
