"""Batch feature views: features of entities, from SQL over sources, on a schedule."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from controlplane.definitions.entities import Entity
from controlplane.definitions.expect import Expectation
from controlplane.definitions.features import Aggregate, Attribute
from controlplane.definitions.location import caller
from controlplane.definitions.sources import BatchSource
from controlplane.errors import Location

Transformation = Callable[..., str | None]


@dataclass(frozen=True)
class BatchFeatureView:
    """Features of some entities, computed on a schedule.

    `batch_feature_view` creates it. Its attributes are the arguments of that function.
    """

    name: str
    transformation: Transformation
    entities: Sequence[Entity]
    sources: Sequence[BatchSource]
    features: Sequence[Attribute | Aggregate]
    schedule: str
    start: str
    end: str | None
    ttl: str | None
    aggregation_interval: str | None
    phase: str
    lateness: str
    timestamp: str | None
    event_time_bounds: tuple[str, str] | None
    tie_breaker: Sequence[str]
    expectations: Sequence[Expectation]
    sql_file: str | Path | None
    online: bool
    sync_shards: int
    tasks: str | None
    owner: str
    description: str
    tags: Mapping[str, str]
    location: Location = field(compare=False, repr=False)

    def only(self, *features: str) -> Selection:
        """Select some of this view's features, by name, for a feature service."""
        # The line of this call: a misspelt feature is an error of the service, not of the view.
        return Selection(self, features, caller())


@dataclass(frozen=True)
class Selection:
    """A selection of a view's features. `BatchFeatureView.only` creates it."""

    view: BatchFeatureView
    features: Sequence[str]
    location: Location = field(compare=False, repr=False)


def batch_feature_view(
    *,
    entities: Sequence[Entity],
    sources: Sequence[BatchSource],
    features: Sequence[Attribute | Aggregate],
    schedule: str,
    start: str,
    owner: str,
    end: str | None = None,
    ttl: str | None = None,
    aggregation_interval: str | None = None,
    phase: str = "0s",
    lateness: str = "0s",
    timestamp: str | None = None,
    event_time_bounds: tuple[str, str] | None = None,
    tie_breaker: Sequence[str] = (),
    expectations: Sequence[Expectation] = (),
    sql_file: str | Path | None = None,
    online: bool = True,
    sync_shards: int = 1,
    tasks: Literal["steps", "view"] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Callable[[Transformation], BatchFeatureView]:
    """Declare a batch feature view.

    The name of the decorated function is the view's name, and its docstring is the view's
    description.

    The function's parameters are the names of its sources; it returns one SELECT in the warehouse's
    dialect, which yields the entities' keys, the event time and the columns of the features.

    Args:
        entities: what the features describe.
        sources: the tables that the SQL reads.
        features: row features and aggregates.
        schedule: the length of an interval: how often runs happen and values change; a divisor of
            a day, `1d` or `7d`.
        start: the first instant that has values; values before it are null.
        owner: the person or team responsible for the view.
        end: no interval that begins at or after it is computed.
        ttl: how long row features are visible; then they are null; a multiple of `schedule`.
        aggregation_interval: length of a tile (default: `schedule`).
        phase: offset of the view's grid from the epoch, a Thursday; less than `schedule`. With
            `4d`, weeks begin on Mondays; with `5h`, days begin at 05:00 UTC.
        lateness: how far back before its interval each run computes values again, to include rows
            that arrived after their settling delay; a multiple of `schedule`.
        timestamp: the column of the event time in the SQL's result (default: the timestamp
            of the first source that has one).
        event_time_bounds: the lowest and the highest `event time - source time` of a row, such as
            `("-6h", "0s")` for events that are loaded up to six hours after they happened. Declare
            them if the event time is not the source's own. The SQL must also return the source's
            time; rows outside the bounds are left out and counted. The settling delay must be at
            least as long as the negative bound.
        tie_breaker: columns that order rows with equal event times; rows that are still equal are
            ordered by the features.
        expectations: conditions on the rows that the SQL returns; if one fails, nothing is
            published (see `expect`).
        sql_file: a file with the SQL, relative to the definition; a Jinja template with the
            sources' names as variables.
        online: whether the values are kept in the online store.
        sync_shards: the number of Airflow tasks that write a run's values to the online store in
            parallel, from 1 to 64; for views that are too large for one task.
        tasks: `"steps"`: each step of a run is an Airflow task; `"view"`: one task does all steps,
            which costs a fraction of the processor time (default: the environment's setting).
        tags: labels that are copied to DAGs and tables.
    """
    where = caller()

    def declare(function: Transformation) -> BatchFeatureView:
        return BatchFeatureView(
            name=function.__name__,
            transformation=function,
            entities=entities,
            sources=sources,
            features=features,
            schedule=schedule,
            start=start,
            end=end,
            ttl=ttl,
            aggregation_interval=aggregation_interval,
            phase=phase,
            lateness=lateness,
            timestamp=timestamp,
            event_time_bounds=event_time_bounds,
            tie_breaker=tie_breaker,
            expectations=expectations,
            sql_file=sql_file,
            online=online,
            sync_shards=sync_shards,
            tasks=tasks,
            owner=owner,
            description=inspect.getdoc(function) or "",
            tags=tags or {},
            # The line of the decorator: errors point to the whole definition.
            location=Location(where.file, function.__code__.co_firstlineno),
        )

    return declare
