"""Definition files compiled as a project would compile them, against a small warehouse in
memory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from connectors.duckdb.warehouse import connect
from controlplane.base.ports import Statement
from controlplane.compile.loader import load
from controlplane.compile.project import Target, compile_manifest
from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest

HERE = Path(__file__).parent
BROKEN = HERE / "broken"
TABLES = (
    "CREATE SCHEMA raw",
    """CREATE TABLE raw.events (
        k VARCHAR, ts TIMESTAMP, amt BIGINT, price DOUBLE, cost DECIMAL(10, 2), word VARCHAR, huge HUGEINT
    )""",
    "CREATE TABLE raw.things (k VARCHAR, colour VARCHAR)",
)


def compiled(root: Path, entries: Sequence[str]) -> Manifest:
    """The manifest of the project at `root`.

    Raises:
        Problems: all that is wrong with it.
    """
    warehouse = connect(path=":memory:")
    try:
        warehouse.execute([Statement("prepare", sql) for sql in TABLES])
        definitions, problems = load(root, entries)
        return compile_manifest(
            definitions,
            Target("shop", "test", "duckdb", "features", None, root),
            warehouse,
            problems,
        )
    finally:
        warehouse.close()


def broken_names() -> list[str]:
    """The broken files, by name without suffix."""
    return sorted(
        p.stem for p in BROKEN.iterdir() if p.suffix in {".py", ".text"} and p.stem != "good"
    )


def complaint(name: str) -> PlaneError:
    """What a broken file's project is told.

    Raises:
        AssertionError: nothing is wrong with it.
    """
    [path] = (p for p in BROKEN.iterdir() if p.stem == name and p.suffix in {".py", ".text"})
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        (root / "features").mkdir()
        shutil.copy(BROKEN / "good.py", root / "features")
        shutil.copy(path, root / "features" / f"{name}.py")
        if (sql := path.with_suffix(".sql")).is_file():
            shutil.copy(sql, root / "features")
        try:
            compiled(root, ["features"])
        except PlaneError as error:
            return error
    raise AssertionError(f"nothing is wrong with {name}")
