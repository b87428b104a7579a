"""Replace all online values with those of this warehouse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controlplane.base.progress import Progress
from controlplane.deploy import executor as deploying
from controlplane.online import takeover
from controlplane.online.records import Claim
from controlplane.online.takeover import TakenOver
from controlplane.workspace.project import Project


@dataclass(frozen=True)
class Taken:
    """What `take_over` wrote of each version, and who owned the values before (None: nobody).

    `unhealed` is the number of keys that still differ, because another sync wrote them meanwhile.
    """

    before: Claim | None
    versions: Sequence[TakenOver]
    unhealed: int


def take_over(
    project: Project, *, on_progress: Callable[[Progress], None] = lambda _: None
) -> Taken:
    """See `Online.take_over`."""
    store = project.online_store()
    manifest = project.current()[1]
    known = [(of, view) for _, of, view in project.versions()]
    with project.state.lock(
        # The lock of runs: a sync must not write under the old owner meanwhile.
        f"{project.environment.name}/run",
        holder=deploying.holder(),
        purpose="take-over",
        now=project.clock,
    ):
        before, versions = takeover.take_over(
            known,
            manifest,
            project.warehouse,
            store,
            clock=project.clock,
            on_progress=on_progress,
        )
    return Taken(before, versions, sum(version.unhealed for version in versions))
