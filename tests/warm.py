"""Compiles every template and finds the connectors: a fork server loads this and spares its
children that."""

from __future__ import annotations

from importlib.resources import files

from controlplane.base.template import _template
from controlplane.workspace.connectors import connector

for room in ("sql", "airflow", "project"):
    for text in files("dag_templates").joinpath(room).iterdir():
        if text.name.endswith(".j2"):
            _template(f"{room}/{text.name}")

for kind in ("duckdb", "redis"):
    connector(kind)
