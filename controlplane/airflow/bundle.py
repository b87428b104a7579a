"""Airflow reads DAGs from releases: `<root>/releases/<digest>/`, of which `<root>/CURRENT` names
the newest.

A DAG run stays with the release that it began with; replacing `CURRENT` deploys, or goes back.
Where `CURRENT` can't be read, as while a share is not mounted, nothing changes: to Airflow an empty
folder would mean that all DAGs are gone.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

log = logging.getLogger(__name__)
_SAY_AGAIN_SECONDS = 60.0
"""How often the log repeats that the releases can't be read; they are looked at every few
seconds."""


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
        self._said_at = -_SAY_AGAIN_SECONDS

    def initialize(self) -> None:
        """Find out which release is current.

        Raises:
            FileNotFoundError: there is none, but an earlier process saw one here. Airflow logs
                this, keeps what it knows of the DAGs, and tries again.
        """
        self.refresh()
        if self._shown is None and self._seen.exists():
            text = (
                f"{self._root / 'CURRENT'} is not there, but releases were there before: is a share"
                " not mounted?"
            )
            raise FileNotFoundError(text)
        if self._shown is None:
            self.path.mkdir(parents=True, exist_ok=True)
        if self.version is not None:
            # Airflow's cleaner of unused versions removes this folder, and fails where there is
            # none.
            (self.versions_dir / self.version).mkdir(parents=True, exist_ok=True)
        super().initialize()

    @property
    def path(self) -> Path:
        """The release that this bundle was opened for, else the current one, else an empty
        folder."""
        return self._root / "releases" / self._shown if self._shown else self.base_dir / "empty"

    def get_current_version(self) -> BundleVersion | None:
        """The release's digest; None before the first deploy."""
        return BundleVersion(version=self._shown) if self._shown else None

    def refresh(self) -> None:
        """Look again which release is current; a bundle that was opened for one release stays with
        it.

        Once a release was seen, it is kept until another one can be read.
        """
        pointer = self._root / "CURRENT"
        try:
            found = pointer.read_text(encoding="utf-8").strip()
            problem = "" if found else f"{pointer} is empty"
        except FileNotFoundError as error:
            found, problem = "", f"{pointer} can't be read: {error.strerror}"
            if self._current is None and not self._seen.exists():
                return  # before the first deploy
        except OSError as error:
            found, problem = "", f"{pointer} can't be read: {error.strerror}"
        if found and found != self._current:
            self._current = found
            self._seen.parent.mkdir(parents=True, exist_ok=True)
            self._seen.touch()
        if found:
            self._said_at = -_SAY_AGAIN_SECONDS
        elif time.monotonic() - self._said_at >= _SAY_AGAIN_SECONDS:
            self._said_at = time.monotonic()
            kept = f"release {self._shown} stays" if self._shown else "no release was seen yet"
            log.warning("bundle %r: %s; %s. Is the folder mounted?", self.name, problem, kept)

    @property
    def _seen(self) -> Path:
        """A mark on this machine that releases were once there; other bundles of this name may have
        other folders."""
        digest = hashlib.blake2b(str(self._root.absolute()).encode(), digest_size=8).hexdigest()
        return self.base_dir / f"seen-{digest}"

    @property
    def _shown(self) -> str | None:
        return self.version or self._current
