"""Compare computed values with the raw rows, or with another environment."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from controlplane import verify as verifying
from controlplane.base.progress import Progress
from controlplane.errors import PlaneError
from controlplane.workspace.connectors import open_calculator
from controlplane.workspace.project import Project


def verify(
    project: Project,
    views: Sequence[str] = (),
    *,
    cases: int = 200,
    seed: int | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> verifying.Report:
    """See `ControlPlane.verify`."""
    return verifying.verify(
        project.current()[1],
        project.warehouse,
        lambda: project.store,
        open_calculator,
        now=project.now,
        views=views,
        cases=cases,
        seed=seed,
        on_progress=on_progress,
    )


def verify_against(
    project: Project,
    environment: str,
    views: Sequence[str] = (),
    *,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> verifying.Comparison:
    """See `ControlPlane.verify_against`."""
    if environment == project.environment.name:
        text = f"environment {environment!r} can't be compared with itself"
        raise PlaneError(text, hint="name another environment of plane.toml in --against or --env")
    with project.beside(environment) as other:
        ours, theirs = (
            verifying.Side(p.environment.name, p.current()[1], p.warehouse)
            for p in (project, other)
        )
        return verifying.compare(ours, theirs, views, on_progress=on_progress)
