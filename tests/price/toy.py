"""Toys: small additions to the product, each as the edits that it needs.

A toy is never part of the product. It shows, for one row of ARCHITECTURE.md's table "Where to
change what", which lines have to be written where, and that a forgotten file is noticed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_ROW = re.compile(r"^\| (?P<addition>[^|]+) \| (?P<files>[^|]+) \|$", re.MULTILINE)
_REMARK = re.compile(r"\([^)]*\)")
_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)*(?:/|\.(?:md|py|toml|j2)))`")


@dataclass(frozen=True)
class Insert:
    """Text that follows an anchor, which occurs once in the file."""

    path: str
    after: str
    text: str

    def apply(self, content: str | None) -> str:
        """Return the changed content of the file.

        Raises:
            ValueError: the file is missing, or the anchor does not occur once.
        """
        count = 0 if content is None else content.count(self.after)
        if content is None or count != 1:
            raise ValueError(f"{self.path}: {count} times {self.after!r}")
        return content.replace(self.after, self.after + self.text)


@dataclass(frozen=True)
class NewFile:
    """A file that does not exist yet."""

    path: str
    text: str

    def apply(self, content: str | None) -> str:
        """Return the content of the file.

        Raises:
            ValueError: the file exists.
        """
        if content is not None:
            raise ValueError(f"{self.path} exists")
        return self.text


@dataclass(frozen=True)
class Tests:
    """Tests of the repository that guard this kind of change."""

    selected: Sequence[str]


@dataclass(frozen=True)
class Use:
    """A test file that uses the toy; it exists only in the copied tree."""

    path: str
    text: str


@dataclass(frozen=True)
class Types:
    """Mypy over some packages."""

    packages: Sequence[str]


@dataclass(frozen=True)
class Imports:
    """The contracts of import-linter."""


Check = Tests | Use | Types | Imports


@dataclass(frozen=True)
class Toy:
    """One addition.

    Attributes:
        name: what is added.
        row: the first cell of its row in ARCHITECTURE.md.
        edits: the whole change.
        checks: in the order in which they run; the first that fails names an omission.
    """

    name: str
    row: str
    edits: Sequence[Insert | NewFile]
    checks: Sequence[Check]

    @property
    def paths(self) -> list[str]:
        """The files that the change touches, in the order of its edits."""
        return list(dict.fromkeys(edit.path for edit in self.edits))


def apply(edits: Sequence[Insert | NewFile], folder: Path) -> Mapping[str, str]:
    """Return the new content of each file that the edits touch in a tree; write nothing.

    Raises:
        ValueError: an edit does not fit the tree.
    """
    contents: dict[str, str] = {}
    for edit in edits:
        path = folder / edit.path
        content = path.read_text(encoding="utf-8") if path.is_file() else None
        contents[edit.path] = edit.apply(contents.get(edit.path, content))
    return contents


def table() -> Mapping[str, Sequence[str]]:
    """Return the files and folders (with a slash at the end) of each row of ARCHITECTURE.md's table.

    Paths are relative to the repository. Those in parentheses are remarks, and left out.
    """
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = page.partition("## Where to change what")[2]
    return {
        row["addition"]: [_from_root(path) for path in _PATH.findall(_REMARK.sub("", row["files"]))]
        for row in _ROW.finditer(section)
    }


def _from_root(path: str) -> str:
    """Add the package's folder, which the page leaves out."""
    return path if (ROOT / path).exists() else f"controlplane/{path}"


def mismatches(toy: Toy, rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Return how the files that a toy touches differ from those of its row.

    A folder stands for new files in it.
    """
    listed = rows.get(toy.row, ())
    new = [edit.path for edit in toy.edits if isinstance(edit, NewFile)]

    def covers(entry: str, path: str) -> bool:
        return path in new and path.startswith(entry) if entry.endswith("/") else path == entry

    unlisted = [path for path in toy.paths if not any(covers(entry, path) for entry in listed)]
    untouched = [entry for entry in listed if not any(covers(entry, path) for path in toy.paths)]
    return [
        *(f"{toy.name}: the row {toy.row!r} does not name {path}" for path in unlisted),
        *(f"{toy.name}: the row {toy.row!r} names {entry} for nothing" for entry in untouched),
    ]
