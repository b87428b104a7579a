"""A copy of the repository's files in which toys are built and checked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

from controlplane import __version__
from tests.price.toy import ROOT, Check, Imports, Insert, NewFile, Tests, Types, Use, apply

_FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (?:\S+::)?([^\s\[]+)", re.MULTILINE)
_WRONG_TYPE = re.compile(r"^(\S+?):\d+: error: ([^;\n]*?)(?:;|  \[|$)", re.MULTILINE)
_BROKEN_CONTRACT = re.compile(r"^(.*) BROKEN", re.MULTILINE)


class Tree:
    """The copy. Edits are written to it and taken back, so that the caches of mypy and Python last
    from one toy to the next."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _git("ls-files", "--cached", "--others", "--exclude-standard", "-z").split(
            "\0"
        ):
            if name and (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        if (ROOT / ".mypy_cache").is_dir():
            shutil.copytree(ROOT / ".mypy_cache", folder / ".mypy_cache")
        _git("init", "--quiet", cwd=folder)  # some tests ask git for the list of files
        self._install()

    @contextmanager
    def edited(self, edits: Sequence[Insert | NewFile]) -> Iterator[None]:
        """Make the edits, and take them back at the end."""
        contents = apply(edits, self.folder)
        before = {name: _read(self.folder / name) for name in contents}
        self._write(contents)
        try:
            yield
        finally:
            self._write(before)

    def failure(self, checks: Sequence[Check]) -> str | None:
        """Run checks until one fails; return what fails, None if all pass."""
        for check in checks:
            failure = self._failure(check)
            if failure is not None:
                return failure
        return None

    def _failure(self, check: Check) -> str | None:
        match check:
            case Tests(selected):
                return self._run(_FAILED_TEST, "pytest", *_PYTEST, *selected)
            case Use(path, text):
                self._write({path: text})
                try:
                    failure = self._run(_FAILED_TEST, "pytest", *_PYTEST, path)
                finally:
                    self._write({path: None})
                return failure and f"its use: {failure}"
            case Types(packages):
                return self._run(_WRONG_TYPE, "mypy", *packages)
            case Imports():
                return self._run(_BROKEN_CONTRACT, "importlinter.cli", "lint-imports")
            case never:
                assert_never(never)

    def _run(self, words: re.Pattern[str], module: str, *arguments: str) -> str | None:
        """Run a module of Python; return what its output says of a failure, shortened."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return None
        found = words.search(done.stdout)
        return ": ".join(found.groups()) if found else f"{module}: {done.stdout}{done.stderr}"

    def _write(self, contents: Mapping[str, str | None]) -> None:
        for name, content in contents.items():
            path = self.folder / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8")
        if "pyproject.toml" in contents:
            self._install()

    def _install(self) -> None:
        """Write the entry points where Python finds them before those of the installed package."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))
        info = self.folder / f"controlplane-{__version__}.dist-info"
        info.mkdir(exist_ok=True)
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: controlplane\nVersion: {__version__}\n", encoding="utf-8"
        )
        lines = []
        for group, points in project["project"]["entry-points"].items():
            lines += [f"[{group}]", *(f"{name} = {target}" for name, target in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


_PYTEST = ("-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider")


def _git(*arguments: str, cwd: Path = ROOT) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True
    ).stdout


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
