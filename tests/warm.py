"""Compiles every template once: children of a fork server that has loaded this are spared the work, most of a command's."""

from __future__ import annotations

from importlib.resources import files

from controlplane.template import _template

for room in ("sql", "airflow", "project"):
    for text in files("dag_templates").joinpath(room).iterdir():
        if text.name.endswith(".j2"):
            _template(f"{room}/{text.name}")
