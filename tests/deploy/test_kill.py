"""A deploy that is killed before its steps, and before its changes of files, is healed by the next
one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from controlplane import ControlPlane
from tests.children import CHILDREN
from tests.shop import DEFINITIONS, Shop, replaced, sql

CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect"}
GONE = '''

@batch_feature_view(
    entities=[user], sources=[payments], schedule="1d", start="2024-01-01", features=[Attribute("country", "string")],
    owner=OWNER,
)
def gone(payments):
    """Where a user is."""
    return f"SELECT user_id, paid_at, country FROM {payments}"
'''


class Fuse:
    """Counts what a deploy does; the process dies before number `last`."""

    def __init__(self, folder: Path, last: int) -> None:
        self._folder, self._last = str(folder), last
        self.seen: list[str] = []

    def step(self, name: str) -> None:
        """One step, or the end."""
        if len(self.seen) == self._last:
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen.append(name)

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        """What Python is about to do."""
        if event == "open":
            writes = isinstance(arguments[2], int) and bool(
                arguments[2] & (os.O_WRONLY | os.O_RDWR)
            )
        else:
            writes = event in CHANGES and not (event == "os.mkdir" and Path(arguments[0]).exists())
        if writes and str(arguments[0]).startswith(self._folder):
            self.step(f"{event} {arguments[0]}")


def deploy(folder: Path, last: int, answer: Any) -> None:
    """Deploy, and die on the way; tells what was done otherwise."""
    fuse = Fuse(folder, last)
    sys.addaudithook(fuse.audit)
    with ControlPlane(folder) as plane:
        _, deployment = plane.deploy(fuse.step)
        empty = plane.plan().empty
    answer.send((fuse.seen, deployment is not None, empty))


def run(folder: Path, last: int = -1) -> tuple[int | None, Any]:
    ours, theirs = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=deploy, args=(folder, last, theirs))
    child.start()
    theirs.close()
    child.join(60)
    return child.exitcode, ours.recv() if child.exitcode == 0 else None


def left(folder: Path) -> tuple[dict[str, bytes], set[str]]:
    """The files that Airflow could read, and what the warehouse holds."""
    root = folder / ".plane" / "airflow" / "local" / "dags"
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
    tables = sql(folder, "SELECT table_schema || '.' || table_name FROM information_schema.tables")
    return found, {name for (name,) in tables}


def ends_of_kinds(steps: list[str]) -> list[tuple[int, str]]:
    """The first and the last of the steps that write a file of the same kind into the same folder,
    and all others."""
    kinds = defaultdict(list)
    for number, step in enumerate(steps):
        path = Path(step)
        kinds[
            (path.parent, path.suffix) if path.suffix in {".sql", ".json", ".py"} else number
        ].append(number)
    return [
        (number, steps[number]) for kind in kinds.values() for number in sorted({kind[0], kind[-1]})
    ]


@pytest.fixture
def prepared(shop: Shop) -> Path:
    """All is deployed and computed.

    Now one view is redefined, one is dropped, one has another owner.
    """
    shop.define(DEFINITIONS + GONE + GONE.replace("gone", "stays"))
    shop.ready()
    changed = replaced(GONE.replace("gone", "stays"), ("owner=OWNER", 'owner="others@example.com"'))
    shop.redefine(('windows=["2d"]', 'windows=["3d"]'))
    shop.define((shop.folder / "features" / "shop.py").read_text() + changed)
    return shop.folder


def test_a_killed_deploy_is_healed_by_the_next(prepared: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(prepared, tmp_path / name))

    whole = copy("whole")
    code, (steps, deployed, empty) = run(whole)
    assert (code, deployed, empty) == (0, True, True)
    files, tables = left(whole)
    releases = {name.split("/")[1] for name in files if name != "CURRENT"}
    assert len(releases) == 2
    assert "features.gone" not in tables
    names = [step.split("/")[-1].split(" ")[-1] for step in steps]
    assert {"record", "CURRENT", "release", "versions"} <= {
        n.split(".")[1] if n.startswith(".C") else n for n in names
    }
    assert len(steps) > 30

    for number, step in ends_of_kinds(steps):
        folder = copy(str(number))
        code, _ = run(folder, number)
        assert code == -signal.SIGKILL, step
        code, (_, deployed, empty) = run(folder)
        assert (code, empty) == (0, True), step
        assert left(folder) == (files, tables), step
        shutil.rmtree(folder)
