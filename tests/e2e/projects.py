"""Projects for tests of whole journeys: a copy of an example, or a tiny one.

The command line as people use it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = REPOSITORY / "examples" / "01-flights"
COMMANDS = Path(sys.executable).parent
"""Where the installed `plane` is, and the `python` that these tests run on."""


def environment() -> dict[str, str]:
    """The environment of a user's shell: nothing that other tests have set for this process, and
    our commands first."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PLANE_"))
    }
    return {**ours, "PATH": f"{COMMANDS}{os.pathsep}{ours.get('PATH', '')}", "NO_COLOR": "1"}


def plane(folder: Path, *arguments: str, exits: int = 0) -> subprocess.CompletedProcess[str]:
    """Run one command of the command line in a project's folder.

    It must end with this exit code.
    """
    command = [str(COMMANDS / "plane"), *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == exits, (
        f"plane {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    )
    return done


def copied(folder: Path, example: Path = EXAMPLE) -> Path:
    """A copy of an example, the first unless given, as a fresh clone has it."""
    return Path(
        shutil.copytree(example, folder, ignore=shutil.ignore_patterns(".plane", "__pycache__"))
    )


def load_example(folder: Path) -> None:
    """The raw tables of a copy of the example, as its own script makes them."""
    subprocess.run(
        [sys.executable, "load.py"],
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def sql(
    folder: Path, *statements: str, parameters: Sequence[Any] | None = None
) -> list[tuple[Any, ...]]:
    """Run statements in a project's warehouse as a user would, while nobody has it open.

    The last one's rows.
    """
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        for statement in statements:
            connection.execute(statement, parameters)
        return connection.fetchall()


def insert(folder: Path, table: str, rows: Iterable[Sequence[Any]]) -> None:
    """Append rows to a table of the warehouse."""
    rows = list(rows)
    marks = ", ".join("?" for _ in rows[0])
    with duckdb.connect(str(folder / ".plane" / "warehouse.duckdb")) as connection:
        connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


TINY = """
[project]
name = "{name}"

[environments.local]
now = "{now}"
warehouse = {{ kind = "duckdb", path = ".plane/warehouse.duckdb" }}
online = {{ kind = "redis", url = "{online}" }}
state = "sqlite:///.plane/state.db"
"""


def tiny(folder: Path, definitions: str, *statements: str, now: str, online: str) -> Path:
    """A project with one file of definitions and the raw tables that the statements make.

    Nothing is deployed yet.
    """
    (folder / "features").mkdir(parents=True)
    (folder / ".plane").mkdir()
    # Tests share a server, where each warehouse has names of its own.
    name = f"tiny{zlib.crc32(str(folder).encode()):08x}"
    (folder / "plane.toml").write_text(TINY.format(name=name, now=now, online=online))
    (folder / "features" / "tiny.py").write_text(definitions)
    sql(folder, *statements)
    return folder
