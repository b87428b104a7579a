"""A release: the files that a deploy writes for Airflow, and their digest.

The files are `<view>.py` (the DAG), `sql/<view>.<task>.sql` (its statements), `<view>.json` (its
program) and `manifest.json`. Rendering the same manifest twice gives the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from controlplane.manifest import stored as manifests
from controlplane.manifest.specs import Manifest
from controlplane.release import dags, program
from controlplane.release.paths import dag_path, program_path, sql_path
from controlplane.sql.views import FILES, render_view


@dataclass(frozen=True)
class Release:
    """The files of a release (relative path -> text) and their digest (16 hex digits)."""

    files: Mapping[str, str]
    digest: str


def render_release(manifest: Manifest) -> Release:
    """Render all files of one manifest for Airflow."""
    files = {"manifest.json": manifests.to_json(manifest) + "\n"}
    for view in manifest.views:
        sql = render_view(manifest, view)
        files |= {sql_path(view.name, name): getattr(sql, name) for name in FILES}
        files[program_path(view.name)] = program.to_json(program.build(manifest, view))
        files[dag_path(view.name)] = dags.render_dag(manifest, view)
    return Release(dict(sorted(files.items())), digest_of(files))


def digest_of(files: Mapping[str, str]) -> str:
    """Return the digest that names a release of these files."""
    digest = hashlib.sha256()
    for path, text in sorted(files.items()):
        # With lengths and separators, no text can pass for the path of another file.
        digest.update(f"{path}\0{len(text)}\0".encode())
        digest.update(text.encode())
    return digest.hexdigest()[:16]
