"""Compares the tables of two environments, row by row.

Both tables are read in the same order and merged. Memory holds one batch of rows of each side,
never a table. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from controlplane.base import naming
from controlplane.base.ports import Warehouse
from controlplane.base.progress import Progress
from controlplane.base.types import format_instant, from_micros, is_decimal
from controlplane.control import ledger
from controlplane.errors import PermanentError, PlaneError
from controlplane.manifest.specs import AggregateSpec, Manifest, ViewSpec
from controlplane.release.program import build
from controlplane.sql.dialects import dialect
from controlplane.sql.tables import qualified
from controlplane.verify import sampling
from controlplane.verify.evaluated import Evaluated
from controlplane.verify.expected import Expected, Sample
from controlplane.verify.oracle import same
from controlplane.verify.values import columns as values_of
from controlplane.verify.values import shown

KEPT = 50
"""The differences of a table that are kept; the others are counted."""
JUDGED = 1000
"""The differing rows of a table after which raw rows no longer decide how far floats may differ."""
_BATCH = 200
_REPORTED_ROWS = 50_000

Row = tuple[Any, ...]
OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class Side:
    """One environment: its name, what is deployed to it, and its open warehouse."""

    name: str
    manifest: Manifest
    warehouse: Warehouse


@dataclass(frozen=True)
class RowDifference:
    """One row that differs between the environments.

    Args:
        keys: the entity.
        valid_from: the instant from which the row's values count.
        only_in: the environment that has the row if the other one lacks it; empty if both have it.
        values: the values that differ in a row of both: column -> our value, their value.
    """

    keys: Mapping[str, Any]
    valid_from: datetime
    only_in: str
    values: Mapping[str, tuple[Any, Any]]


@dataclass
class TableComparison:
    """One table of both environments.

    Attributes:
        table: `history` or `latest`.
        compared: the number of rows that both have.
        differing: the number of these rows that differ.
        only_here: the number of rows that only the first environment has.
        only_there: the number of rows that only the other environment has.
        columns: the columns whose types differ, or that one environment lacks. If there are any, no
            rows are compared.
        differences: the first differences.
    """

    table: str
    compared: int = 0
    differing: int = 0
    only_here: int = 0
    only_there: int = 0
    columns: list[str] = field(default_factory=list)
    differences: list[RowDifference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether no row and no column differs."""
        return not (self.differing or self.only_here or self.only_there or self.columns)


@dataclass
class ViewComparison:
    """One view of both environments.

    Attributes:
        view: the feature view.
        through: the end of the intervals that were compared.
        tables: the tables that were compared.
        notes: what was left out, and why.
        problem: why nothing was compared; empty if something was.
    """

    view: str
    through: datetime | None = None
    tables: list[TableComparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """The result for two environments; `equal` if every view was compared and nothing differs."""

    environment: str
    against: str
    equal: bool
    views: Sequence[ViewComparison]


def compare(
    ours: Side, theirs: Side, views: Sequence[str] = (), *, on_progress: OnProgress = lambda _: None
) -> Comparison:
    """Compare the history and the newest rows of views, as far as both environments are computed.

    Args:
        ours: the environment whose raw rows decide how far floats may differ.
        theirs: the other environment.
        views: names of feature views (default: all of both environments).
        on_progress: receives the progress, in rows.

    Raises:
        PlaneError: an environment has no such view, or a warehouse refuses.
    """
    known = [{view.name: view for view in side.manifest.views} for side in (ours, theirs)]
    for name in views:
        ours.manifest.view(name)
        if name not in known[1]:
            hint = f"deploy it there, or choose from: {', '.join(known[1]) or '(none is deployed)'}"
            raise PlaneError(f"environment {theirs.name!r} has no feature view {name!r}", hint=hint)
    comparisons = []
    for name in views or {**known[0], **known[1]}:
        pair = known[0].get(name), known[1].get(name)
        if pair[0] is not None and pair[1] is not None:
            comparisons.append(_View(ours, theirs, pair[0], on_progress).compared(pair[1]))
        else:
            side = ours if pair[1] is None else theirs
            comparisons.append(ViewComparison(name, problem=f"only {side.name} has it"))
    equal = all(
        not view.problem and all(table.equal for table in view.tables) for view in comparisons
    )
    return Comparison(ours.name, theirs.name, equal, comparisons)


class _View:
    """One view that both environments have."""

    def __init__(self, ours: Side, theirs: Side, view: ViewSpec, on_progress: OnProgress) -> None:
        self._sides = (ours, theirs)
        self._view = view
        self._on_progress = on_progress
        self._expected: Expected | None = None
        self._keys = [name for name, _ in view.keys]
        self._features = [feature.name for feature in view.features]
        aggregates = [
            f for f in view.aggregates if f.column_type == "float64" and "float64" in f.type
        ]
        self._summed: Mapping[str, AggregateSpec] = {
            feature.name: feature for feature in aggregates
        }
        self._rows = 0

    def compared(self, other: ViewSpec) -> ViewComparison:
        """Compare the view with the other environment's."""
        view, comparison = self._view, ViewComparison(self._view.name)
        # Two definitions are expected to give other values, which says nothing about the data.
        if other.fingerprint != view.fingerprint:
            names = [side.name for side in self._sides]
            comparison.problem = (
                f"it is version {view.fingerprint} in {names[0]} and {other.fingerprint} in"
                f" {names[1]}"
            )
            return comparison
        heads = [
            ledger.head(side.warehouse, build(side.manifest, view).head) for side in self._sides
        ]
        for side, head in zip(self._sides, heads, strict=True):
            if head.watermark <= view.start:
                comparison.problem = f"nothing is computed in {side.name}"
                return comparison
        watermark = min(head.watermark for head in heads)
        comparison.through = watermark
        manifest = self._sides[0].manifest
        # Only sums of absolute values are read from the raw rows, so their rough size is enough.
        self._expected = Expected(
            manifest, view, Evaluated(manifest, view, watermark), roughly=True
        )
        comparison.tables.append(self._table("history", watermark))
        if heads[0].watermark == heads[1].watermark:
            comparison.tables.append(self._table("latest", watermark))
        else:
            further = max(zip(heads, self._sides, strict=True), key=lambda pair: pair[0].watermark)
            comparison.notes.append(
                f"latest: not compared, as {further[1].name} is computed further, "
                f"through {format_instant(further[0].watermark)}"
            )
        self._on_progress(Progress(view.name, "done", self._rows, self._rows))
        return comparison

    def _table(self, part: str, watermark: datetime) -> TableComparison:
        comparison = TableComparison(part)
        comparison.columns = self._columns(part)
        if comparison.columns:
            return comparison
        # The history has many rows of one entity, which `valid_from` tells apart.
        identity = len(self._keys) + (part == "history")
        names = [*self._keys, "valid_from", "expires_at", *self._features]
        ours, theirs = (
            self._stream(side, part, watermark, names, identity) for side in self._sides
        )
        suspects: list[tuple[Row, Row]] = []
        total = self._rows + self._count(part, watermark)
        for left, right in _merged(ours, theirs, identity):
            if self._rows % _REPORTED_ROWS == 0:
                self._on_progress(
                    Progress(self._view.name, part, self._rows, max(total, self._rows))
                )
            self._rows += 1
            if right is None or left is None:
                self._alone(comparison, left, right)
                continue
            comparison.compared += 1
            if left == right or all(map(same, left, right)):
                continue
            suspects.append((left, right))
            if len(suspects) == _BATCH:
                self._judge(comparison, names, suspects)
                suspects = []
        self._judge(comparison, names, suspects)
        return comparison

    def _columns(self, part: str) -> list[str]:
        """Describe the columns whose types differ, or that one environment lacks."""
        types = []
        for side in self._sides:
            name = self._physical(side, part)
            columns = side.warehouse.columns([name])[name]
            if columns is None:
                hint = "deploy to it again, which creates the table again"
                raise PlaneError(f"environment {side.name!r} has no table {name}", hint=hint)
            # A whole number is one type on Snowflake, however wide.
            types.append(
                {
                    n: "int64" if is_decimal(k) and k.endswith(",0)") else k
                    for n, k in columns.items()
                }
            )
        names = [*self._keys, "valid_from", "expires_at", *self._features]
        column_types = [[side_types.get(name, "missing") for name in names] for side_types in types]
        ours, theirs = self._sides
        return [
            f"{name} is {our_type} in {ours.name} and {their_type} in {theirs.name}"
            for name, our_type, their_type in zip(names, *column_types, strict=True)
            if our_type != their_type or our_type == "missing"
        ]

    def _physical(self, side: Side, part: str) -> str:
        name = naming.history if part == "history" else naming.latest
        return qualified(
            dialect(side.manifest.dialect),
            side.manifest.schema,
            name(self._view.name, self._view.fingerprint),
        )

    def _from(self, side: Side, part: str, watermark: datetime) -> str:
        """Return a FROM clause with the rows to compare."""
        known = dialect(side.manifest.dialect).instant(watermark + self._view.delay)
        condition = "NOT is_deleted" if part == "latest" else f"valid_from <= {known}"
        return f"FROM {self._physical(side, part)} WHERE {condition}"

    def _count(self, part: str, watermark: datetime) -> int:
        side = self._sides[0]
        [row] = ledger.rows(
            side.warehouse, f"SELECT count(*) AS n {self._from(side, part, watermark)}"
        )
        count: int = row["n"]
        return count

    def _stream(
        self, side: Side, part: str, watermark: datetime, names: Sequence[str], identity: int
    ) -> Iterator[Row]:
        """Yield the rows of one side in an order that all warehouses have in common."""
        d, view = dialect(side.manifest.dialect), self._view
        keys = (d.ordered(d.quote(name), key_type) for name, key_type in view.keys)
        order = [*keys, "valid_from"][:identity]
        query = (
            f"SELECT {', '.join(d.quote(name) for name in names)}"
            f" {self._from(side, part, watermark)} ORDER BY {', '.join(order)}"
        )
        # The merge is wrong for unsorted rows, and warehouses sort texts in many ways: so check it.
        last: Row = ()
        label = naming.query_tag(side.manifest.project, side.name, view.name, view.owner, "verify")
        for batch in side.warehouse.fetch(query, tag=label):
            for row in zip(*values_of(batch), strict=True):
                if row[:identity] < last:
                    text = (
                        f"the rows of {part} of {view.name} in {side.name} do not come in the order"
                        " of their keys"
                    )
                    raise PermanentError(
                        text, hint="this is a bug in controlplane; please report it"
                    )
                last = row[:identity]
                yield row

    def _alone(self, comparison: TableComparison, left: Row | None, right: Row | None) -> None:
        ours, theirs = self._sides
        if left is not None:
            comparison.only_here += 1
            self._keep(comparison, left, ours.name, {})
        elif right is not None:
            comparison.only_there += 1
            self._keep(comparison, right, theirs.name, {})

    def _judge(
        self, comparison: TableComparison, names: Sequence[str], suspects: Sequence[tuple[Row, Row]]
    ) -> None:
        """Count the pairs that differ by more than the raw rows allow for sums of floats."""
        judged = comparison.differing < JUDGED
        scales = self._scales([left for left, _ in suspects]) if judged else {}
        for number, (left, right) in enumerate(suspects):
            allowed = scales.get(number, {})
            values = {
                name: (our_value, their_value)
                for name, our_value, their_value in zip(names, left, right, strict=True)
                if not same(our_value, their_value, allowed.get(name) or 0.0)
            }
            if values:
                comparison.differing += 1
                self._keep(comparison, left, "", values)

    def _scales(self, rows: Sequence[Row]) -> Mapping[int, Mapping[str, float | None]]:
        if not rows or not self._summed or self._expected is None:
            return {}
        samples, side = {}, self._sides[0]
        for number, row in enumerate(rows):
            at = row[len(self._keys)]
            samples[number] = Sample(
                row[: len(self._keys)], at, sampling.since(self._expected.oracle, at)
            )
        return self._expected.scales(side.warehouse, samples, self._summed)

    def _keep(
        self,
        comparison: TableComparison,
        row: Row,
        only_in: str,
        values: Mapping[str, tuple[Any, Any]],
    ) -> None:
        if len(comparison.differences) < KEPT:
            types = dict(self._view.keys)
            types |= {feature.name: feature.type for feature in self._view.features}
            keys = {
                name: shown(part, types[name]) for name, part in zip(self._keys, row, strict=False)
            }
            shown_values = {
                name: (
                    shown(our_value, types.get(name, "timestamp")),
                    shown(their_value, types.get(name, "timestamp")),
                )
                for name, (our_value, their_value) in values.items()
            }
            comparison.differences.append(
                RowDifference(keys, from_micros(row[len(self._keys)]), only_in, shown_values)
            )


def _merged(
    ours: Iterator[Row], theirs: Iterator[Row], identity: int
) -> Iterator[tuple[Row | None, Row | None]]:
    """Merge two sorted streams into pairs of rows with the same identity.

    The pair has None for a stream without such a row.
    """
    left, right = next(ours, None), next(theirs, None)
    while left is not None or right is not None:
        if left is None or (right is not None and right[:identity] < left[:identity]):
            yield None, right
            right = next(theirs, None)
        elif right is None or left[:identity] < right[:identity]:
            yield left, None
            left = next(ours, None)
        else:
            yield left, right
            left, right = next(ours, None), next(theirs, None)
