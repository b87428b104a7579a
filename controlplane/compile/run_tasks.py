"""Checks the Airflow tasks of a view's run: one for each step or for all, and the sync's shards."""

from __future__ import annotations

from typing import cast, get_args

from controlplane.base.types import Tasks, is_whole
from controlplane.compile.problems import Collector
from controlplane.definitions import BatchFeatureView

_MOST_SHARDS = 64


def tasks(view: BatchFeatureView, default: Tasks) -> Tasks:
    """Return the tasks of the view's run; `default` is the environment's setting."""
    # The shards of a sync are tasks of their own, so such a run has a task for each step.
    if view.sync_shards > 1:
        return "steps"
    return default if view.tasks is None else cast("Tasks", view.tasks)


def check(view: BatchFeatureView, subject: str, collector: Collector) -> None:
    """Check `sync_shards` and `tasks`."""
    shards = view.sync_shards
    if not is_whole(shards, 1, _MOST_SHARDS):
        text = f"{subject}: sync_shards is {shards!r}, not a whole number from 1 to {_MOST_SHARDS}"
        hint = "use the number of tasks that may write online in parallel, such as 8"
        collector.add(text, view.location, hint)
    elif shards > 1 and not view.online:
        text = f"{subject} has sync_shards, but is not online"
        collector.add(text, view.location, "remove one of the two")
    elif shards > 1 and view.tasks == "view":
        text = f"{subject} has sync_shards, which are tasks of their own, and tasks='view'"
        collector.add(text, view.location, "remove one of the two")
    if view.tasks is not None and view.tasks not in get_args(Tasks):
        text = f"{subject}: tasks is {view.tasks!r}, neither 'steps' nor 'view'"
        hint = "'steps' makes each step of a run a task, 'view' does all steps in one task"
        collector.add(text, view.location, hint)
