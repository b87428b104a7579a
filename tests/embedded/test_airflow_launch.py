"""Starts of the embedded Airflow that end before any of its components runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from controlplane.embedded import airflow
from controlplane.errors import MissingDriver

pytestmark = pytest.mark.airflow


def test_nothing_is_started_for_one_who_has_gone(tmp_path):
    asked = tmp_path / "launch.json"
    component = {"arguments": ["version"], "log": str(tmp_path / "version.log")}
    asked.write_text(
        json.dumps(
            {"parent": 1, "record": "", "migrate": None, "components": {"version": component}}
        )
    )
    done = subprocess.run(
        [sys.executable, "-m", "controlplane.airflow.launch", str(asked)],
        env={**os.environ, "AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.endswith("the process that started this one has ended\n")
    assert not (tmp_path / "version.log").exists()


def test_without_airflow_the_error_names_the_extra(tmp_path):
    repository = Path(airflow.__file__).parents[2]
    code = f"""
import pathlib, sys
sys.path.insert(0, {str(repository)!r})
from controlplane.embedded import airflow
home = pathlib.Path({str(tmp_path / "home")!r})
airflow.up(home, bundle_root=home, connections={{}}, pools={{}})
"""
    # -I -S: an interpreter without any installed package
    result = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=False
    )
    assert MissingDriver.__name__ in result.stderr
    assert "pip install 'controlplane[airflow]'" in result.stderr
    assert not (tmp_path / "home").exists()
