"""Lets Airflow read DAGs from releases: `<root>/releases/<digest>/`; `<root>/CURRENT` names one.

A DAG run stays with the release that it started with. Replacing `CURRENT` deploys, or rolls back.
While `CURRENT` can't be read, for example because a share is not mounted, the last release stays:
Airflow would take an empty folder for the removal of all DAGs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from pathlib import Path
from typing import Any

from airflow.dag_processing.bundles.base import BaseDagBundle, BundleVersion

log = logging.getLogger(__name__)
_LOG_AGAIN_SECONDS = 60.0
"""The time between two warnings about unreadable releases, which are read every few seconds."""


class ReleaseBundle(BaseDagBundle):
    """The releases of one folder.

    Args:
        root: the folder that `plane deploy` writes to; it may still be empty.
        kwargs: the arguments of every bundle: `name`, `refresh_interval`, `version`,
            `view_url_template`.
    """

    supports_versioning = True

    def __init__(self, *, root: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._root = Path(root)
        self._current: str | None = None
        self._warned_at = -_LOG_AGAIN_SECONDS

    def initialize(self) -> None:
        """Read which release is current.

        Raises:
            FileNotFoundError: there is none, but an earlier process saw one here. Airflow logs
                this error, keeps its DAGs, and tries again.
        """
        self.refresh()
        if self._shown is None and self._seen.exists():
            text = (
                f"{self._root / 'CURRENT'} does not exist, although it did before: is a share not"
                " mounted?"
            )
            raise FileNotFoundError(text)
        if self._shown is None:
            self.path.mkdir(parents=True, exist_ok=True)
        if self.version is not None:
            # Airflow's cleanup of unused versions removes this folder, and fails if it is missing.
            (self.versions_dir / self.version).mkdir(parents=True, exist_ok=True)
        super().initialize()

    @property
    def path(self) -> Path:
        """The folder of the bundle's own release, else of the current one, else an empty folder."""
        return self._root / "releases" / self._shown if self._shown else self.base_dir / "empty"

    def get_current_version(self) -> BundleVersion | None:
        """Return the release's digest; None before the first deploy."""
        return BundleVersion(version=self._shown) if self._shown else None

    def refresh(self) -> None:
        """Read again which release is current, and keep the last one while this fails.

        A bundle with a release of its own stays with it.
        """
        pointer = self._root / "CURRENT"
        try:
            digest = pointer.read_text(encoding="utf-8").strip()
            problem = "" if digest else f"{pointer} is empty"
        except FileNotFoundError as error:
            digest, problem = "", f"{pointer} can't be read: {error.strerror}"
            if self._current is None and not self._seen.exists():
                return  # before the first deploy
        except OSError as error:
            digest, problem = "", f"{pointer} can't be read: {error.strerror}"
        if digest and digest != self._current:
            self._current = digest
            self._seen.parent.mkdir(parents=True, exist_ok=True)
            self._seen.touch()
        if digest:
            self._warned_at = -_LOG_AGAIN_SECONDS
        elif time.monotonic() - self._warned_at >= _LOG_AGAIN_SECONDS:
            self._warned_at = time.monotonic()
            kept = f"release {self._shown} stays" if self._shown else "no release was seen yet"
            log.warning("bundle %r: %s; %s. Is the folder mounted?", self.name, problem, kept)

    @property
    def _seen(self) -> Path:
        """A file on this machine that marks that the root has had releases."""
        # By the root, because a bundle of the same name may have had another one.
        digest = hashlib.blake2b(str(self._root.absolute()).encode(), digest_size=8).hexdigest()
        return self.base_dir / f"seen-{digest}"

    @property
    def _shown(self) -> str | None:
        return self.version or self._current
