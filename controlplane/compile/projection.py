"""Trace the columns that a SELECT returns back to the sources' columns.

A column that can't be traced has no origin: its values count as computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sqlglot import exp

from controlplane.compile import constructs
from controlplane.compile.lineage import Origin, Relation, Source, key
from controlplane.compile.scalars import UNNESTING

_UNCHANGED = (
    exp.Min,
    exp.Max,
    exp.AnyValue,
    exp.First,
    exp.Last,
    exp.FirstValue,
    exp.LastValue,
    exp.Lag,
    exp.Lead,
)
"""Aggregates whose result is one of their input values, or null."""
_CHOICES = (exp.Coalesce, exp.Greatest, exp.Least)
_UNKNOWN: frozenset[Origin] = frozenset()


@dataclass(frozen=True)
class Scope:
    """The relations that a SELECT reads.

    Attributes:
        children: relations by alias.
        unseen: aliases without columns in `*`: the right sides of semi joins and anti joins.
        merged: columns that joins merge with USING. Except on DuckDB, they change the order of `*`.
        natural: whether a NATURAL join merges columns.
        mixed: whether an outer join keeps rows without a match on the timed side, so that a merged
            column may have the value of either side.
    """

    children: Mapping[str, Relation]
    unseen: frozenset[str] = frozenset()
    merged: frozenset[str] = frozenset()
    natural: bool = False
    mixed: bool = False


@dataclass
class _Columns:
    """The columns traced so far.

    Attributes:
        origins: of each column, by its name.
        open: as in `Relation`.
        hiding: whether an earlier column has an unknown name, which may be that of a later one.
    """

    origins: dict[str, frozenset[Origin]] = field(default_factory=dict)
    open: bool = False
    hiding: bool = False

    def add(self, name: str, origins: frozenset[Origin]) -> None:
        if name in self.origins:
            self.origins[name], self.open = _UNKNOWN, True
        else:
            self.origins[name] = _UNKNOWN if self.hiding else origins


class Projection:
    """Traces columns through one SELECT after the other.

    Args:
        sources: by name in small letters.
        dialect: of the text.
    """

    def __init__(self, sources: Mapping[str, Source], dialect: str) -> None:
        self._sources, self._dialect = sources, dialect
        self._expressions_of_time = any(source.time_sql is not None for source in sources.values())

    def columns(self, tree: exp.Select, scope: Scope) -> tuple[dict[str, frozenset[Origin]], bool]:
        """Return the columns of a SELECT, and whether their number or order is uncertain."""
        columns = _Columns()
        for projection in tree.expressions:
            star = projection if isinstance(projection, exp.Star) else None
            if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                star = projection.this
            if star is not None:
                self._star(
                    star,
                    projection.args.get("table") if star is not projection else None,
                    scope,
                    columns,
                )
            elif projection.find(exp.Columns, *UNNESTING) or isinstance(projection, exp.Aliases):
                # Several columns, or one column with the name of a struct's field.
                named = projection.expressions if isinstance(projection, exp.Aliases) else ()
                for name in (*(alias.name for alias in named), projection.alias):
                    if name:
                        columns.add(name.lower(), _UNKNOWN)
                columns.open = True
                self._hide(columns)
            else:
                name = self._name(projection) or f"plane {len(columns.origins)}"
                inner = projection.this if isinstance(projection, exp.Alias) else projection
                columns.add(name, self._origins(inner, scope, columns.origins))
        return columns.origins, columns.open

    def _hide(self, columns: _Columns) -> None:
        # DuckDB renames the second of two columns with equal names; elsewhere they are an error.
        columns.hiding = columns.hiding or self._dialect == "duckdb"

    def _star(
        self, star: exp.Star, table: exp.Expr | None, scope: Scope, columns: _Columns
    ) -> None:
        """Add the columns of `*` or `table.*`."""
        unknown = Relation({}, open=True)
        if table is not None:
            chosen = [scope.children.get(key(table, self._dialect), unknown)]
        else:
            chosen = [child for name, child in scope.children.items() if name not in scope.unseen]
            moved = scope.natural or (scope.merged and self._dialect != "duckdb")
            columns.open = columns.open or bool(moved)
        for child in chosen:
            for name, origins in self._starred(star, child, scope).items():
                if name not in columns.origins:
                    columns.add(name, origins)
                elif table is None and not scope.mixed:
                    columns.open = columns.open or name not in scope.merged
                else:
                    columns.add(name, _UNKNOWN)
            if child.open:
                columns.open = True
                self._hide(columns)
        if star.args.get("ilike"):
            columns.open = True

    def _starred(
        self, star: exp.Star, child: Relation, scope: Scope
    ) -> dict[str, frozenset[Origin]]:
        left_out = {item.name.lower() for item in star.args.get("except_") or ()}
        replaced = {item.alias.lower(): item.this for item in star.args.get("replace") or ()}
        renamed = {
            item.this.name.lower(): item.alias.lower() for item in star.args.get("rename") or ()
        }
        columns: dict[str, frozenset[Origin]] = {}
        for name, origins in child.columns.items():
            if name in replaced:
                changed = self._origins(replaced[name], scope, {})
            elif name in left_out:
                continue
            else:
                changed = origins
            shown = renamed.get(name, name)
            columns[shown] = _UNKNOWN if shown in columns else changed
        return columns

    def _name(self, projection: exp.Expr) -> str:
        """Return the name of a result column, in small letters; empty if the warehouse chooses."""
        if isinstance(projection, exp.Paren) or (
            isinstance(projection, exp.Cast) and self._dialect == "databricks"
        ):
            return self._name(projection.this)  # Spark calls a cast column by the column's name
        if isinstance(projection, exp.Dot):
            return self._name(projection.expression)
        if isinstance(projection, exp.Identifier):
            return projection.name.lower()
        if isinstance(projection, exp.Alias | exp.Column | exp.Subquery):
            return projection.alias_or_name.lower()
        return ""

    def _origins(
        self, node: exp.Expr | None, scope: Scope, aliases: Mapping[str, frozenset[Origin]]
    ) -> frozenset[Origin]:
        """Return the sources' columns whose unchanged values an expression returns.

        Empty if its values are computed.
        """
        while isinstance(node, exp.Paren):
            node = node.this
        if node is None:
            return _UNKNOWN  # a call without arguments
        if isinstance(node, exp.Column):
            return self._column(node, scope, aliases)
        if isinstance(node, exp.Window | exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
            return self._origins(node.this, scope, aliases)
        if isinstance(node, _UNCHANGED) and not isinstance(node.this, exp.Order | exp.Distinct):
            # LAG(x, 1, 0) may return the default; MIN(a, b) is no aggregate.
            if node.args.get("default") or (
                isinstance(node, exp.Min | exp.Max) and node.expressions
            ):
                return _UNKNOWN
            return self._origins(node.this, scope, aliases)
        if isinstance(node, exp.Case | exp.If | exp.Nullif):
            results = [value.args.get("true") for value in node.args.get("ifs") or ()]
            results += [node.args.get(name) for name in ("true", "false", "default")]
            chosen = (
                [node.this]
                if isinstance(node, exp.Nullif)
                else [value for value in results if value]
            )
            return _all_of(
                self._origins(value, scope, aliases)
                for value in chosen
                if not isinstance(value, exp.Null)
            )
        if isinstance(node, _CHOICES):
            return _all_of(
                self._origins(value, scope, aliases) for value in (node.this, *node.expressions)
            )
        return self._expressed(node, scope)

    def _column(
        self, node: exp.Column, scope: Scope, aliases: Mapping[str, frozenset[Origin]]
    ) -> frozenset[Origin]:
        name = node.name.lower()
        if node.args.get("db"):
            return _UNKNOWN  # a field of a struct
        if node.args.get("table"):
            child = scope.children.get(key(node.args["table"], self._dialect))
            return child.columns.get(name, _UNKNOWN) if child else _UNKNOWN
        holding = [child for child in scope.children.values() if name in child.columns]
        if not holding:
            return aliases.get(name, _UNKNOWN)
        if scope.mixed and len(holding) > 1:
            return _all_of(child.columns[name] for child in holding)
        # Of the columns that USING merges, only the timed source's is never null.
        return next((child for child in holding if child.timed), holding[0]).columns[name]

    def _expressed(self, node: exp.Expr, scope: Scope) -> frozenset[Origin]:
        """Return the source's time if this is the time expression of a source, word for word."""
        columns = list(node.find_all(exp.Column)) if self._expressions_of_time else []
        read = {origin for column in columns for origin in self._column(column, scope, {})}
        names = {name for name, _ in read}
        if len(names) != 1 or len({column.table.lower() for column in columns}) != 1:
            return _UNKNOWN
        [name] = names
        if any(
            self._column(column, scope, {}) != {(name, column.name.lower())} for column in columns
        ):
            return _UNKNOWN  # one of the columns was renamed
        source = self._sources[name]
        if source.time is None or source.time_sql is None:
            return _UNKNOWN
        same = constructs.spelling(node) == constructs.spelling(source.time_sql)
        return frozenset({(name, source.time.lower())}) if same else _UNKNOWN


def _all_of(parts: Iterator[frozenset[Origin]]) -> frozenset[Origin]:
    """Return the origins of a value that is one of several; empty if one of them is computed."""
    known = list(parts)
    return frozenset[Origin]().union(*known) if all(known) else _UNKNOWN
