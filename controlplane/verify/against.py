"""Compares the tables of two environments, row by row: both are read in one order and walked side
by side.

Memory holds a batch of rows of each side, never a table. Nothing is written.
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
from controlplane.verify import questions
from controlplane.verify.evaluated import Evaluated
from controlplane.verify.oracle import same
from controlplane.verify.truth import Question, Truth
from controlplane.verify.values import columns as values_of
from controlplane.verify.values import shown

KEPT = 50
"""Differences of a table that are kept; the others are counted."""
JUDGED = 1000
"""Once so many rows of a table differ, no more raw rows are asked how far floats may be off."""
_TOGETHER = 200
_TOLD_ROWS = 50_000

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
    """One row that is not the same in both environments.

    Args:
        keys: the entity.
        valid_from: since when the row's values count.
        only_in: the environment that has the row, if the other one lacks it; empty if both have it.
        values: what differs of a row that both have: column -> the value here, the value there.
    """

    keys: Mapping[str, Any]
    valid_from: datetime
    only_in: str
    values: Mapping[str, tuple[Any, Any]]


@dataclass
class TableComparison:
    """One table: the rows that both have, those of them that differ, those that one alone has, the
    first differences.

    `columns` says which columns differ in their types, or are in one alone; then no rows are
    compared.
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
        """Whether nothing differs."""
        return not (self.differing or self.only_here or self.only_there or self.columns)


@dataclass
class ViewComparison:
    """One view: through when its rows were compared, each table, what was left out, and why nothing
    was compared."""

    view: str
    through: datetime | None = None
    tables: list[TableComparison] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Comparison:
    """Two environments; `equal` if every view was compared and nothing differs."""

    environment: str
    against: str
    equal: bool
    views: Sequence[ViewComparison]


def compare(
    ours: Side, theirs: Side, views: Sequence[str] = (), *, on_progress: OnProgress = lambda _: None
) -> Comparison:
    """Compare the history and the newest rows of views, over what both environments have computed.

    Args:
        ours: the environment whose raw rows say how far floats may be off.
        theirs: the other one.
        views: names of feature views; all of both environments unless given.
        on_progress: told how far it is, in rows.

    Raises:
        PlaneError: one of them has no such view, or a warehouse refuses.
    """
    known = [{view.name: view for view in side.manifest.views} for side in (ours, theirs)]
    for name in views:
        ours.manifest.view(name)
        if name not in known[1]:
            hint = f"deploy it there, or choose from: {', '.join(known[1]) or '(none is deployed)'}"
            raise PlaneError(f"environment {theirs.name!r} has no feature view {name!r}", hint=hint)
    found = []
    for name in views or {**known[0], **known[1]}:
        pair = known[0].get(name), known[1].get(name)
        if pair[0] is not None and pair[1] is not None:
            found.append(_View(ours, theirs, pair[0], on_progress).compared(pair[1]))
        else:
            side = ours if pair[1] is None else theirs
            found.append(ViewComparison(name, problem=f"only {side.name} has it"))
    equal = all(not view.problem and all(table.equal for table in view.tables) for view in found)
    return Comparison(ours.name, theirs.name, equal, found)


class _View:
    """One view that both environments have."""

    def __init__(self, ours: Side, theirs: Side, view: ViewSpec, on_progress: OnProgress) -> None:
        self._sides = (ours, theirs)
        self._view = view
        self._on_progress = on_progress
        self._truth: Truth | None = None
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
        """What differs from the other environment's."""
        view, found = self._view, ViewComparison(self._view.name)
        if other.fingerprint != view.fingerprint:
            names = [side.name for side in self._sides]
            found.problem = (
                f"it is version {view.fingerprint} in {names[0]} and {other.fingerprint} in"
                f" {names[1]}"
            )
            return found
        heads = [
            ledger.head(side.warehouse, build(side.manifest, view).head) for side in self._sides
        ]
        for side, head in zip(self._sides, heads, strict=True):
            if head.watermark <= view.start:
                found.problem = f"nothing is computed in {side.name}"
                return found
        frontier = min(head.watermark for head in heads)
        found.through = frontier
        manifest = self._sides[0].manifest
        self._truth = Truth(manifest, view, Evaluated(manifest, view, frontier), roughly=True)
        found.tables.append(self._table("history", frontier))
        if heads[0].watermark == heads[1].watermark:
            found.tables.append(self._table("latest", frontier))
        else:
            further = max(zip(heads, self._sides, strict=True), key=lambda pair: pair[0].watermark)
            found.notes.append(
                f"latest: not compared, as {further[1].name} is computed further, "
                f"through {format_instant(further[0].watermark)}"
            )
        self._on_progress(Progress(view.name, "done", self._rows, self._rows))
        return found

    def _table(self, part: str, frontier: datetime) -> TableComparison:
        found = TableComparison(part)
        found.columns = self._columns(part)
        if found.columns:
            return found
        # The rows of the history are told apart by the time as well.
        identity = len(self._keys) + (part == "history")
        names = [*self._keys, "valid_from", "expires_at", *self._features]
        one, other = (self._stream(side, part, frontier, names, identity) for side in self._sides)
        suspects: list[tuple[Row, Row]] = []
        total = self._rows + self._count(part, frontier)
        for left, right in _side_by_side(one, other, identity):
            if self._rows % _TOLD_ROWS == 0:
                self._on_progress(
                    Progress(self._view.name, part, self._rows, max(total, self._rows))
                )
            self._rows += 1
            if right is None or left is None:
                self._alone(found, left, right)
                continue
            found.compared += 1
            if left == right or all(map(same, left, right)):
                continue
            suspects.append((left, right))
            if len(suspects) == _TOGETHER:
                self._judge(found, names, suspects)
                suspects = []
        self._judge(found, names, suspects)
        return found

    def _columns(self, part: str) -> list[str]:
        """The columns that are not alike."""
        types = []
        for side in self._sides:
            name = self._physical(side, part)
            columns = side.warehouse.columns([name])[name]
            if columns is None:
                hint = "deploy there again, which makes the table again"
                raise PlaneError(f"environment {side.name!r} has no table {name}", hint=hint)
            # A whole number is one type on Snowflake, however wide.
            types.append(
                {
                    n: "int64" if is_decimal(k) and k.endswith(",0)") else k
                    for n, k in columns.items()
                }
            )
        wanted = [*self._keys, "valid_from", "expires_at", *self._features]
        told = [[kinds.get(name, "missing") for name in wanted] for kinds in types]
        ours, theirs = self._sides
        return [
            f"{name} is {one} in {ours.name} and {other} in {theirs.name}"
            for name, one, other in zip(wanted, *told, strict=True)
            if one != other or one == "missing"
        ]

    def _physical(self, side: Side, part: str) -> str:
        name = naming.history if part == "history" else naming.latest
        return qualified(
            dialect(side.manifest.dialect),
            side.manifest.schema,
            name(self._view.name, self._view.fingerprint),
        )

    def _from(self, side: Side, part: str, frontier: datetime) -> str:
        """A FROM clause with the rows that are compared."""
        known = dialect(side.manifest.dialect).instant(frontier + self._view.delay)
        condition = "NOT is_deleted" if part == "latest" else f"valid_from <= {known}"
        return f"FROM {self._physical(side, part)} WHERE {condition}"

    def _count(self, part: str, frontier: datetime) -> int:
        side = self._sides[0]
        [row] = ledger.rows(
            side.warehouse, f"SELECT count(*) AS n {self._from(side, part, frontier)}"
        )
        count: int = row["n"]
        return count

    def _stream(
        self, side: Side, part: str, frontier: datetime, names: Sequence[str], identity: int
    ) -> Iterator[Row]:
        """The rows of one side in the order that all warehouses have in common."""
        d, view = dialect(side.manifest.dialect), self._view
        order = [*(d.ordered(d.quote(name), kind) for name, kind in view.keys), "valid_from"][
            :identity
        ]
        query = (
            f"SELECT {', '.join(d.quote(name) for name in names)}"
            f" {self._from(side, part, frontier)} ORDER BY {', '.join(order)}"
        )
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

    def _alone(self, found: TableComparison, left: Row | None, right: Row | None) -> None:
        ours, theirs = self._sides
        if left is not None:
            found.only_here += 1
            self._keep(found, left, ours.name, {})
        elif right is not None:
            found.only_there += 1
            self._keep(found, right, theirs.name, {})

    def _judge(
        self, found: TableComparison, names: Sequence[str], suspects: Sequence[tuple[Row, Row]]
    ) -> None:
        """Count the pairs that differ by more than sums of floats may, given the raw rows behind
        them."""
        scales = self._scales([left for left, _ in suspects]) if found.differing < JUDGED else {}
        for number, (left, right) in enumerate(suspects):
            allowed = scales.get(number, {})
            values = {
                name: (one, other)
                for name, one, other in zip(names, left, right, strict=True)
                if not same(one, other, allowed.get(name) or 0.0)
            }
            if values:
                found.differing += 1
                self._keep(found, left, "", values)

    def _scales(self, rows: Sequence[Row]) -> Mapping[int, Mapping[str, float | None]]:
        if not rows or not self._summed or self._truth is None:
            return {}
        asked, side = {}, self._sides[0]
        for number, row in enumerate(rows):
            at = row[len(self._keys)]
            asked[number] = Question(
                row[: len(self._keys)], at, questions.since(self._truth.view, at)
            )
        return self._truth.scales(side.warehouse, asked, self._summed)

    def _keep(
        self, found: TableComparison, row: Row, only_in: str, values: Mapping[str, tuple[Any, Any]]
    ) -> None:
        if len(found.differences) < KEPT:
            types = dict(self._view.keys)
            types |= {feature.name: feature.type for feature in self._view.features}
            keys = {
                name: shown(part, types[name]) for name, part in zip(self._keys, row, strict=False)
            }
            told = {
                name: (
                    shown(one, types.get(name, "timestamp")),
                    shown(other, types.get(name, "timestamp")),
                )
                for name, (one, other) in values.items()
            }
            found.differences.append(
                RowDifference(keys, from_micros(row[len(self._keys)]), only_in, told)
            )


def _side_by_side(
    one: Iterator[Row], other: Iterator[Row], identity: int
) -> Iterator[tuple[Row | None, Row | None]]:
    """Two sorted streams as pairs of rows whose first columns are equal.

    None stands where one has no such row.
    """
    left, right = next(one, None), next(other, None)
    while left is not None or right is not None:
        if left is None or (right is not None and right[:identity] < left[:identity]):
            yield None, right
            right = next(other, None)
        elif right is None or left[:identity] < right[:identity]:
            yield left, None
            left = next(one, None)
        else:
            yield left, right
            left, right = next(one, None), next(other, None)
