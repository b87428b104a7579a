"""What the doctor says where a machine is unusual: users without a name, other encodings, folders
of other users."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from controlplane.monitor.doctor import machine
from controlplane.monitor.doctor.findings import ERROR, OK, WARNING, Finding
from tests.children import CHILDREN

NOBODY = 2**31 - 5
"""A uid that no machine has a line for, as OpenShift gives them to containers."""


def test_b3_a_user_without_a_name_is_a_warning():
    """Case B3: the doctor says it, and that a variable helps."""
    [found] = machine.user_findings(NOBODY, {"HOME": "/"})
    assert (found.level, found.hint.split(",")[0]) == (WARNING, "export USER=plane")
    assert str(NOBODY) in found.message
    assert machine.user_findings(NOBODY, {"USER": "plane"}) == [Finding("user", OK, "plane")]
    assert machine.user_findings(os.getuid(), {})[0].level == OK


@pytest.mark.parametrize("encoding", ["cp1252", "ANSI_X3.4-1968", "iso8859-1", "euc_jp"])
def test_b5_an_encoding_other_than_utf_8_is_a_warning(encoding):
    """Case B5: the doctor says it."""
    [found] = machine.locale_findings(encoding)
    assert found.level == WARNING
    assert encoding in found.message
    assert "UTF-8" in found.hint


@pytest.mark.parametrize("encoding", ["UTF-8", "utf8", "utf_8"])
def test_utf_8_has_many_names(encoding):
    assert [found.level for found in machine.locale_findings(encoding)] == [OK]


def test_b5_a_shell_in_another_encoding_is_told(shop):
    """Case B5: a real interpreter, which no locale has coerced into UTF-8."""
    program = "from controlplane.cli.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "doctor", "--json"],
        cwd=shop.folder,
        env={**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        capture_output=True,
        check=True,
    )
    found = {finding["subject"]: finding["level"] for finding in json.loads(done.stdout)}
    assert found["locale"] == "warning"


@pytest.fixture
def project() -> Iterator[Path]:
    """A folder that every user of the machine may enter."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


def seen_by_another(look: Callable[[], list[Finding]]) -> list[Finding]:
    """What a user finds who owns nothing here; root, who may do everything, becomes one."""
    ours, theirs = CHILDREN.Pipe(duplex=False)
    child = CHILDREN.Process(target=_report, args=(look, theirs))
    child.start()
    theirs.close()
    found: list[Finding] = ours.recv()
    child.join()
    return found


def _report(look: Callable[[], list[Finding]], answer: Connection) -> None:
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    answer.send(look())


class Look:
    """A look at a folder; a class, so that it can be sent to a child."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> list[Finding]:
        return machine.folder_findings(self.folder, 0)


def test_b4_a_project_folder_that_cant_be_written_is_an_error(project):
    """Case B4: the doctor failed with a bug."""
    project.chmod(0o555)
    [found] = seen_by_another(Look(project / ".plane"))
    assert found.level == ERROR
    assert "can't be created or opened" in found.message
    assert str(project) in found.hint


def test_b4_a_folder_that_cant_be_written_is_an_error(project):
    """Case B4: it is there, as on a volume that is mounted read-only."""
    (project / ".plane").mkdir(mode=0o500)
    (project / ".plane").chmod(0o555)
    [found] = seen_by_another(Look(project / ".plane"))
    assert (found.level, "can't be written" in found.message) == (ERROR, True)


def test_c4_a_folder_that_stays_open_is_an_error(project):
    """Case C4: another user owns it."""
    (project / ".plane").mkdir()
    (project / ".plane").chmod(0o777)
    [found] = seen_by_another(Look(project / ".plane"))
    assert (found.level, "(0777)" in found.message) == (ERROR, True)
    assert "chmod -R go= " in found.hint
