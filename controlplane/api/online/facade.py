"""`ControlPlane.online`: verify, list, replace and remove the online values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane.api.online import clean, take_over, verify, versions
from controlplane.base.ports import OnlineStore
from controlplane.base.progress import Progress
from controlplane.workspace.project import Project


class Online:
    """The online values of one environment of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def store(self) -> OnlineStore:
        """See `Project.online_store`."""
        return self._project.online_store()

    def verify(
        self,
        views: Sequence[str] = (),
        *,
        heal: bool = False,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> verify.Verified:
        """Compare all versions that are served or were synced with the warehouse.

        If the store serves no version of a view (it may have lost its data), its deployed version
        is compared.

        Args:
            views: names of feature views (default: all).
            heal: write missing and wrong values again, and write tombstones under keys that the
                warehouse doesn't have.
            on_progress: called with the number of compared rows.

        Raises:
            PlaneError: nothing is deployed, or a view is unknown or not kept online.
        """
        return verify.verify(self._project, views, heal=heal, on_progress=on_progress)

    def versions(self) -> list[versions.Version]:
        """Return the versions that have values in the store, by view, newest first.

        Raises:
            PlaneError: nothing is deployed, or the environment has no online store.
        """
        return versions.versions(self._project)

    def take_over(
        self, *, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> take_over.Taken:
        """Replace all online values with those of this warehouse; see `online.takeover`.

        Args:
            on_progress: called with the number of written versions.

        Raises:
            PlaneError: nothing is deployed, or a run or an erasure is under way.
        """
        return take_over.take_over(self._project, on_progress=on_progress)

    def clean(
        self,
        *,
        keep: int = 1,
        dry_run: bool = False,
        keys_per_second: float | None = None,
        on_progress: Callable[[Progress], None] = lambda _: None,
    ) -> list[clean.Cleaned]:
        """Remove the values of versions that are neither deployed nor served.

        Args:
            keep: number of old versions of each view to keep for a rollback, the newest first.
            dry_run: only return the versions that would be removed.
            keys_per_second: maximum number of keys to remove per second.
            on_progress: called with the number of removed versions.

        Raises:
            PlaneError: a deploy is running, or the store can't be reached (run it again), or
                another warehouse wrote the values.
        """
        return clean.clean(
            self._project,
            keep=keep,
            dry_run=dry_run,
            keys_per_second=keys_per_second,
            on_progress=on_progress,
        )
