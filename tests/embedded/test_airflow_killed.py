"""A start of the embedded Airflow that is stopped while it forks the components: nothing of it is
left in the end."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from controlplane.embedded import airflow
from controlplane.embedded.daemon import write_state
from tests.children import interruptible

pytestmark = pytest.mark.airflow

UP = """
import pathlib, signal, sys
from controlplane.embedded import airflow
signal.signal(signal.SIGINT, signal.default_int_handler)  # as under nohup, the parent may ignore it
airflow.up(pathlib.Path(sys.argv[1]), bundle_root=pathlib.Path(sys.argv[1]), connections={}, pools={})
"""
# Python imports a module of this name as it starts.
SITE = """
import os, signal, sys

forks = []

def forked():
    forks.append(1)
    if len(forks) == 2:
        os.kill(os.{whom}(), signal.{how})

if "controlplane.airflow.launch" in sys.orig_argv:
    os.register_at_fork(after_in_parent=forked)
"""


def standing_in(folder: Path) -> list[psutil.Process]:
    """All processes whose working directory is the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the start stands, and all that it starts; that is killed in the end."""
    folder = tmp_path / "here"
    folder.mkdir()
    yield folder
    for process in standing_in(folder):
        process.kill()


@pytest.mark.parametrize(
    ("whom", "how"), [("getppid", "SIGKILL"), ("getppid", "SIGINT"), ("getpid", "SIGKILL")], ids=str
)
def test_a_start_that_is_stopped_between_two_forks(folder, tmp_path, whom, how):
    home = tmp_path / "airflow"
    home.mkdir()
    (home / "airflow.db").touch()  # nobody lives long enough to miss its tables
    write_state(
        home / "migrated.json", {"airflow": importlib.metadata.version("apache-airflow-core")}
    )
    (tmp_path / "sitecustomize.py").write_text(SITE.format(whom=whom, how=how))
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    with interruptible():
        up = subprocess.Popen(
            [sys.executable, "-P", "-c", UP, str(home)],
            env={**os.environ, "PYTHONPATH": paths},
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
    assert up.wait(timeout=60) != 0
    airflow.down(home)
    # What has not begun yet sees by itself that its launcher has gone.
    deadline = time.monotonic() + 5
    while (left := standing_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert not airflow.down(home)
