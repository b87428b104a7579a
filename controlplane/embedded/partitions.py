"""Lets a running Airflow compute partitions of several DAGs at the same time, and waits for all."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from controlplane.base import naming
from controlplane.base.types import Interval
from controlplane.embedded.airflow_client import AirflowClient
from controlplane.errors import TransientError
from controlplane.manifest.timing import Timing

_FINISHED = ("success", "failed")
_POLL_SECONDS = 0.25


def run_partitions(
    client: AirflowClient,
    dags: Mapping[str, str],
    partitions: Mapping[str, Sequence[str]],
    on_progress: Callable[[str, str, int, int], None],
    *,
    patience: float = 120.0,
) -> dict[str, dict[str, str]]:
    """Trigger one run for each partition and wait until all have ended.

    Args:
        client: a client of the Airflow.
        dags: name -> DAG.
        partitions: name -> the keys of its partitions.
        on_progress: called when a run has ended, with the name, the partition, and the numbers of
            ended and of all partitions of the name.
        patience: seconds without the end of any run, after which to give up.

    Returns:
        name -> partition -> `success` or `failed`.

    Raises:
        TransientError: the DAGs did not appear, or no run ended for too long.
    """
    _await_dags(client, list(dags.values()), patience)
    runs = {
        (name, key): client.trigger(dags[name], partition_key=key)
        for name in dags
        for key in partitions[name]
    }
    states: dict[tuple[str, str], str] = {}
    deadline = time.monotonic() + patience
    while len(states) < len(runs):
        unfinished = client.unfinished()
        for (name, key), run_id in runs.items():
            if (name, key) in states or (dags[name], run_id) in unfinished:
                continue
            state = client.run(dags[name], run_id)["state"]
            if state in _FINISHED:
                states[name, key] = state
                deadline = time.monotonic() + patience
                done = sum(other == name for other, _ in states)
                on_progress(name, key, done, len(partitions[name]))
        if time.monotonic() > deadline:
            text = (
                f"{len(runs) - len(states)} of {len(runs)} runs have not ended, and no run has"
                f" ended in the last {patience:.0f} s"
            )
            raise TransientError(text, hint=f"look at {client.url}/dags")
        time.sleep(_POLL_SECONDS)
    return {name: {key: states[name, key] for key in partitions[name]} for name in dags}


def partition_keys(timing: Timing, within: Interval, now: datetime) -> list[str]:
    """Return Airflow's keys of a view's intervals that are due at `now`, inside a range."""
    due = timing.due(now)
    part = timing.inside(within, due) if due else None
    return (
        [naming.partition_key(piece.start) for piece in part.split(timing.schedule)] if part else []
    )


def _await_dags(client: AirflowClient, dag_ids: Sequence[str], patience: float) -> None:
    deadline = time.monotonic() + patience
    while missing := set(dag_ids) - {dag["dag_id"] for dag in client.dags()}:
        broken = client.import_errors()
        if broken:
            raise TransientError(
                f"Airflow can't load {broken[0]['filename']}: {broken[0]['stack_trace'][-500:]}"
            )
        if time.monotonic() > deadline:
            text = f"Airflow does not show {', '.join(sorted(missing))}"
            raise TransientError(text, hint="look at the log of its dag-processor")
        time.sleep(_POLL_SECONDS)
