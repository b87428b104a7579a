"""Airflow reads DAGs from releases: `<root>/releases/<digest>/`, of which `<root>/CURRENT` names the newest.

A DAG run stays with the release that it began with; replacing `CURRENT` deploys, or goes back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion


class ReleaseBundle(BaseDagBundle):
    """The releases of one folder.

    Args:
        root: the folder that `plane deploy` writes to; there may be nothing in it yet.
        kwargs: what every bundle takes: `name`, `refresh_interval`, `version`, `view_url_template`.
    """

    supports_versioning = True

    def __init__(self, *, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._root = Path(root)
        self._current: str | None = None

    def initialize(self) -> None:
        """Find out which release is current."""
        self.refresh()
        if self._shown is None:
            self.path.mkdir(parents=True, exist_ok=True)
        if self.version is not None:
            # Airflow's cleaner of unused versions removes this folder, and fails where there is none.
            (self.versions_dir / self.version).mkdir(parents=True, exist_ok=True)
        super().initialize()

    @property
    def path(self) -> Path:
        """The release that this bundle was opened for, else the current one, else an empty folder."""
        return self._root / "releases" / self._shown if self._shown else self.base_dir / "empty"

    def get_current_version(self) -> BundleVersion | None:
        """The release's digest; None before the first deploy."""
        return BundleVersion(version=self._shown) if self._shown else None

    def refresh(self) -> None:
        """Look again which release is current; a bundle that was opened for one release stays with it."""
        try:
            self._current = (self._root / "CURRENT").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            self._current = None

    @property
    def _shown(self) -> str | None:
        return self.version or self._current
