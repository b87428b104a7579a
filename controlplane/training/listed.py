"""The list of training sets in the warehouse: every version that was created, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

import msgspec

from controlplane.base.ports import Warehouse
from controlplane.base.types import format_instant, utc
from controlplane.control import ledger
from controlplane.sql import training
from controlplane.sql.control_tables import DATASETS


@dataclass(frozen=True)
class ViewGaps:
    """Counts the rows of a training set for which one view has no values, by reason.

    Attributes:
        null_keys: rows with a null in their key.
        unknown_keys: rows whose key the view has no row of.
        early_times: rows before the view's start.
    """

    null_keys: int
    unknown_keys: int
    early_times: int


@dataclass(frozen=True)
class WithoutValues:
    """Counts the rows of a training set whose features are null and counts 0.

    Attributes:
        null_times: rows whose time is null or infinite; all views lack values for them.
        views: the rows for which single views lack values, by name.
    """

    null_times: int
    views: Mapping[str, ViewGaps]

    def sentences(self) -> list[str]:
        """Describe these rows to a user."""
        sentences = []
        if self.null_times:
            sentences.append(f"{self.null_times:,} rows have no time, or an infinite time")
        for name, gaps in self.views.items():
            parts = [
                f"{count:,} rows have {lack}"
                for count, lack in (
                    (gaps.null_keys, "a null key"),
                    (gaps.unknown_keys, "a key without rows"),
                    (gaps.early_times, "a time before its start"),
                )
                if count
            ]
            if parts:
                sentences.append(f"feature view {name!r}: {', '.join(parts)}")
        return [f"{text}: their features are null, counts 0" for text in sentences]


@dataclass(frozen=True)
class Created:
    """A training set in the warehouse's list; `table` is its quoted name.

    `without_values` counts the rows that can have no values. It is known only at creation.
    """

    name: str
    version: int
    service: str
    table: str
    row_count: int
    created_by: str
    created_at: datetime
    without_values: WithoutValues | None = None
    _definition: str = field(default="{}", repr=False)

    @property
    def definition(self) -> dict[str, Any]:
        """How it was made: `spine`, `time`, `features`, `fingerprints` and the options."""
        definition: dict[str, Any] = msgspec.json.decode(self._definition)
        return definition

    def to_dict(self) -> dict[str, Any]:
        """Return name -> value without the definition, whose spine may be a long query."""
        names = [entry.name for entry in fields(self)]
        return {name: getattr(self, name) for name in names if not name.startswith("_")}


def existing(warehouse: Warehouse, *, dropped: bool = False) -> list[Created]:
    """Return all training sets, oldest first; with `dropped`, also those whose table is dropped."""
    listed = [
        Created(
            name=row["name"],
            version=row["version"],
            service=row["service"],
            table=training.table(warehouse.dialect, row["name"], row["version"]),
            row_count=row["row_count"],
            created_by=row["created_by"],
            created_at=utc(row["created_at"]),
            _definition=row["definition"],
        )
        for row in ledger.read_table(warehouse, DATASETS, " ORDER BY created_at, name, version")
        or ()
    ]
    return [created for created in listed if dropped or "dropped" not in created.definition]


def drop(warehouse: Warehouse, created: Created, *, by: str, now: datetime) -> None:
    """Drop the table of a training set; the record of how it was made stays.

    Args:
        warehouse: that has the table.
        created: the training set.
        by: the user who drops it.
        now: the time of the wall clock.
    """
    definition = created.definition | {"dropped": {"by": by, "at": format_instant(now)}}
    text = msgspec.json.encode(definition).decode()
    statements = training.drop(warehouse.dialect, created.name, created.version, text)
    warehouse.execute(statements, tag="drop dataset", atomic=True)
