"""The part of `ControlPlane` that looks: rows, previews, SQL, lists and histories."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from controlplane.api import catalogue, dataset, describe, history, logs, preview, query, sql
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

    def catalogue(self) -> catalogue.Catalogue:
        """List the views, features, services, entities and sources of the definition files."""
        return catalogue.catalogue(self.project)

    def describe(self, name: str) -> list[describe.Description]:
        """Describe everything of that name: meaning, owner, freshness, readers, SQL.

        Args:
            name: of a feature view, a feature (`view__feature`), a service, an entity, a source or
                a training set.

        Raises:
            PlaneError: the definitions are wrong, or nothing has that name.
        """
        return describe.describe(self.project, name)

    def history(self, limit: int = 20) -> list[history.HistoryEntry]:
        """List the last deployments of the environment, the newest first."""
        return history.history(self.project, limit)

    def logs(self, view: str, limit: int = 20) -> list[logs.LogEntry]:
        """List the last runs of a view that published rows or were refused, the newest first.

        Raises:
            PlaneError: no such view was ever deployed.
        """
        return logs.logs(self.project, view, limit)
