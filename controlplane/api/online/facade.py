"""`ControlPlane.online`: what people and programs do with the online values of an environment."""

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
        """Compare every version that readers are served, and every one that was synced, with the
        warehouse.

        Where readers are served none of a view, perhaps since the store lost it, that is the
        deployed one.

        Args:
            views: names of feature views; all unless given.
            heal: write what is missing or wrong again, and put tombstones under keys that the
                warehouse doesn't have.
            on_progress: told how far it is, in rows.

        Raises:
            PlaneError: nothing is deployed, or a view is unknown or not kept online.
        """
        return verify.verify(self._project, views, heal=heal, on_progress=on_progress)

    def versions(self) -> list[versions.Version]:
        """Every version that the store holds values of, by view, the newest first.

        Raises:
            PlaneError: nothing is deployed, or the environment has no online store.
        """
        return versions.versions(self._project)

    def take_over(
        self, *, on_progress: Callable[[Progress], None] = lambda _: None
    ) -> take_over.Taken:
        """Make all online values those of this warehouse; see `online.takeover`.

        Args:
            on_progress: told how far it is, in versions.

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
            keep: so many of a view's newest other versions stay, for a rollback.
            dry_run: only say which ones would go.
            keys_per_second: at most.
            on_progress: told how far it is, in versions.

        Raises:
            PlaneError: somebody deploys meanwhile, or the store can't be reached; run it again. Or
                the values are another warehouse's.
        """
        return clean.clean(
            self._project,
            keep=keep,
            dry_run=dry_run,
            keys_per_second=keys_per_second,
            on_progress=on_progress,
        )
