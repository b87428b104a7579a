"""Definition files are read as they are, whatever Python has compiled of an earlier text."""

from __future__ import annotations

import os
import py_compile
import sys
from pathlib import Path

import pytest

from controlplane.compile.loader import load

ENTITY = (
    'from controlplane import Entity\n{}\nthing = Entity("thing", keys={{"k": "string"}},'
    " owner=OWNER)\n"
)
PLACES = {
    "the file itself": ("things.py", ENTITY.format("OWNER = 'first@'"), ""),
    "a file beside it": ("people.py", "OWNER = 'first@'", "from people import OWNER"),
    "a package": ("people/__init__.py", "OWNER = 'first@'", "from people import OWNER"),
    "a module of a package": ("people/all.py", "OWNER = 'first@'", "from people.all import OWNER"),
    "a folder": ("folder/all.py", "OWNER = 'first@'", "from folder.all import OWNER"),
}


def owners(root: Path) -> list[str]:
    definitions, problems = load(root, ["features"])
    assert problems == []
    return [entity.owner for entity in definitions.entities]


@pytest.mark.parametrize("place", PLACES)
def test_an_edit_that_a_cache_does_not_see(place, tmp_path):
    name, text, statement = PLACES[place]
    edited = tmp_path / "features" / name
    edited.parent.mkdir(parents=True)
    if name.startswith("people/"):
        (edited.parent / "__init__.py").touch()
    if statement:
        (tmp_path / "features" / "things.py").write_text(ENTITY.format(statement))
    edited.write_text(text)
    py_compile.compile(str(edited))
    assert owners(tmp_path) == ["first@"]
    seen = edited.stat()
    edited.write_text(text.replace("first@", "later@"))
    os.utime(edited, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    before = (list(sys.path), list(sys.meta_path), set(sys.modules))
    assert owners(tmp_path) == ["later@"]
    assert (list(sys.path), list(sys.meta_path)) == before[:2]
    assert not {"things", "people", "people.all", "folder.all"} & (set(sys.modules) - before[2])
