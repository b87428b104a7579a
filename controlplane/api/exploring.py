"""The part of `ControlPlane` that looks: rows, previews, SQL, lists and histories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.api import dataset, preview, query, sql
from controlplane.api.dataset import TrainingSet
from controlplane.api.rows import Rows
from controlplane.workspace.project import Project


class Exploring:
    """What can be seen of a project and its warehouse. No method writes anything."""

    project: Project

    def datasets(self) -> list[TrainingSet]:
        """Return all training sets, oldest first."""
        return dataset.existing(self.project)

    def dataset(self, name: str, version: int | None = None) -> TrainingSet:
        """Return a training set: its newest version, or the one of that number.

        Raises:
            PlaneError: there is none.
        """
        return dataset.dataset(self.project, name, version)

    def query(self, sql: str) -> Rows:
        """Return the rows of one SELECT on the environment's warehouse.

        The query runs when rows are read, and again at each read: `plane.query("SELECT * FROM
        features.spend").to_pandas()`. A long result can be read as Arrow `batches()`, or written
        to a file by `export()`.

        Raises:
            PlaneError: it is not one query, it writes, or the warehouse refuses it.
        """
        return query.query(self.project, sql)

    def preview(
        self,
        view: str,
        *,
        keys: Mapping[str, Any] | None = None,
        at: datetime | None = None,
        rows: int = 100,
    ) -> preview.Preview:
        """Return the values that a view of the definition files would have, without a deploy.

        They are computed from the sources in one query, by the SQL of a training set from sources.
        Nothing is written. Example: `plane.preview("airport_delays", keys={"origin":
        "JFK"}).to_pandas()`.

        Args:
            view: the feature view.
            keys: key column -> value: one entity, or all entities with these keys (default: any).
            at: the instant (default: the environment's now).
            rows: the most entities, in the order of their keys.

        Raises:
            PlaneError: the definitions are wrong, `at` is in the future, or the view's intervals
                need a statement each.
        """
        return preview.preview(self.project, view, keys=keys, at=at, rows=rows)

    def sql(self, view: str, statement: str | None = None) -> list[sql.ViewStatement]:
        """Return the SQL of a view of the definition files, as a deploy would render it.

        Args:
            view: the feature view.
            statement: only those of a task, such as `stage`, or the one of that name.

        Raises:
            PlaneError: the definitions are wrong, or there is no such view or statement.
        """
        return sql.sql(self.project, view, statement)
