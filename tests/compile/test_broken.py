"""One broken definition file for each error: what it says, where, and what to do about it.

`python -m tests.regenerate` writes the texts beside the files; look at what git says about them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.errors import Problems
from tests.compile.projects import BROKEN, broken_names, compiled, complaint

NAMES = broken_names()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told(name: str) -> None:
    error = complaint(name)
    assert f"{error}\n" == (BROKEN / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_told_where_it_is_and_what_to_do(name: str) -> None:
    error = complaint(name)
    assert isinstance(error, Problems)
    assert error.problems
    for problem in error.problems:
        assert problem.where is not None
        assert problem.where.file.startswith("features/")
        assert problem.where.line > 0
        assert problem.hint
        assert "Traceback" not in str(problem)


def test_nothing_lies_beside_that_is_not_tested() -> None:
    assert {path.stem for path in BROKEN.glob("*.txt")} == set(NAMES)
    assert len(NAMES) > 40


def test_what_is_right_is_not_told() -> None:
    manifest = compiled(BROKEN, ["good.py"])
    assert [entity.name for entity in manifest.entities] == ["thing"]


def test_b6_a_file_of_sql_in_another_encoding(tmp_path: Path) -> None:
    source = (BROKEN / "sql_file_missing.py").read_text(encoding="utf-8")
    (tmp_path / "view.py").write_text(source, encoding="utf-8")
    (tmp_path / "good.py").write_bytes((BROKEN / "good.py").read_bytes())
    (tmp_path / "nowhere.sql").write_bytes(b"SELECT user_id, ts FROM {{ events }} -- caf\xe9")
    with pytest.raises(Problems) as raised:
        compiled(tmp_path, ["good.py", "view.py"])
    assert "its sql_file 'nowhere.sql' can't be read: it is not UTF-8 text" in str(raised.value)
    assert "-> save it as UTF-8" in str(raised.value)


def test_definitions_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(Problems) as raised:
        compiled(tmp_path, ["features"])
    text = "plane.toml: definitions: there is no file or folder 'features'\n"
    assert str(raised.value) == f"{text}  -> correct `definitions` in plane.toml, or create it"
