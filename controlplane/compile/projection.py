"""The columns that a SELECT returns, each followed back to the sources' columns that its values
are.

Where a column can't be followed, it has no origin: then its values count as computed.
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
"""Aggregates whose result is one of the values that they are given, or null."""
_CHOICES = (exp.Coalesce, exp.Greatest, exp.Least)
_UNKNOWN: frozenset[Origin] = frozenset()


@dataclass(frozen=True)
class Scope:
    """What a SELECT reads.

    Attributes:
        children: relations by alias.
        unseen: aliases of which `*` shows nothing: the right sides of semi joins and anti joins.
        merged: columns that joins merge with USING. Except on DuckDB, `*` then has another order.
        natural: whether a NATURAL join merges columns.
        mixed: whether an outer join keeps rows without a match on the timed side, so that merged
            columns are of either side.
    """

    children: Mapping[str, Relation]
    unseen: frozenset[str] = frozenset()
    merged: frozenset[str] = frozenset()
    natural: bool = False
    mixed: bool = False


@dataclass
class _Columns:
    """The columns found so far.

    Attributes:
        found: by name.
        open: as in `Relation`.
        hiding: whether a column of unknown name stands in front, which may hide one of that name.
    """

    found: dict[str, frozenset[Origin]] = field(default_factory=dict)
    open: bool = False
    hiding: bool = False

    def add(self, name: str, origins: frozenset[Origin]) -> None:
        if name in self.found:
            self.found[name], self.open = _UNKNOWN, True
        else:
            self.found[name] = _UNKNOWN if self.hiding else origins


class Projection:
    """Follows columns through one SELECT after the other.

    Args:
        sources: by name in small letters.
        dialect: of the text.
    """

    def __init__(self, sources: Mapping[str, Source], dialect: str) -> None:
        self._sources, self._dialect = sources, dialect
        self._expressions_of_time = any(source.time_sql is not None for source in sources.values())

    def columns(self, tree: exp.Select, scope: Scope) -> tuple[dict[str, frozenset[Origin]], bool]:
        """The columns of a SELECT, and whether there may be more, or others in other places."""
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
                # Several columns, or one that has the name of a struct's field.
                named = projection.expressions if isinstance(projection, exp.Aliases) else ()
                for name in (*(one.name for one in named), projection.alias):
                    if name:
                        columns.add(name.lower(), _UNKNOWN)
                columns.open = True
                self._hide(columns)
            else:
                name = self._name(projection) or f"plane {len(columns.found)}"
                inner = projection.this if isinstance(projection, exp.Alias) else projection
                columns.add(name, self._origins(inner, scope, columns.found))
        return columns.found, columns.open

    def _hide(self, columns: _Columns) -> None:
        # DuckDB gives the second column of one name another name; elsewhere that is an error.
        columns.hiding = columns.hiding or self._dialect == "duckdb"

    def _star(
        self, star: exp.Star, table: exp.Expr | None, scope: Scope, columns: _Columns
    ) -> None:
        """Add what `*` or `table.*` stands for."""
        unknown = Relation({}, open=True)
        if table is not None:
            chosen = [scope.children.get(key(table, self._dialect), unknown)]
        else:
            chosen = [child for name, child in scope.children.items() if name not in scope.unseen]
            moved = scope.natural or (scope.merged and self._dialect != "duckdb")
            columns.open = columns.open or bool(moved)
        for child in chosen:
            for name, origins in self._starred(star, child, scope).items():
                if name not in columns.found:
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
        left_out = {one.name.lower() for one in star.args.get("except_") or ()}
        replaced = {one.alias.lower(): one.this for one in star.args.get("replace") or ()}
        renamed = {
            one.this.name.lower(): one.alias.lower() for one in star.args.get("rename") or ()
        }
        found: dict[str, frozenset[Origin]] = {}
        for name, origins in child.columns.items():
            if name in replaced:
                changed = self._origins(replaced[name], scope, {})
            elif name in left_out:
                continue
            else:
                changed = origins
            shown = renamed.get(name, name)
            found[shown] = _UNKNOWN if shown in found else changed
        return found

    def _name(self, projection: exp.Expr) -> str:
        """What a column of the result is called, in small letters.

        Empty where the warehouse chooses.
        """
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
        """The sources' columns that an expression's values are, unchanged.

        Empty where they are computed.
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
            if node.args.get("default") or (
                isinstance(node, exp.Min | exp.Max) and node.expressions
            ):
                return _UNKNOWN
            return self._origins(node.this, scope, aliases)
        if isinstance(node, exp.Case | exp.If | exp.Nullif):
            results = [one.args.get("true") for one in node.args.get("ifs") or ()]
            results += [node.args.get(name) for name in ("true", "false", "default")]
            chosen = (
                [node.this] if isinstance(node, exp.Nullif) else [one for one in results if one]
            )
            return _all_of(
                self._origins(one, scope, aliases)
                for one in chosen
                if not isinstance(one, exp.Null)
            )
        if isinstance(node, _CHOICES):
            return _all_of(
                self._origins(one, scope, aliases) for one in (node.this, *node.expressions)
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
        # Of columns that USING merges, the timed source's is the one that is never null.
        return next((child for child in holding if child.timed), holding[0]).columns[name]

    def _expressed(self, node: exp.Expr, scope: Scope) -> frozenset[Origin]:
        """The time of the source whose time expression this is, word for word."""
        columns = list(node.find_all(exp.Column)) if self._expressions_of_time else []
        read = {origin for one in columns for origin in self._column(one, scope, {})}
        names = {name for name, _ in read}
        if len(names) != 1 or len({one.table.lower() for one in columns}) != 1:
            return _UNKNOWN
        [name] = names
        if any(self._column(one, scope, {}) != {(name, one.name.lower())} for one in columns):
            return _UNKNOWN  # a column that has another one's name
        source = self._sources[name]
        if source.time is None or source.time_sql is None:
            return _UNKNOWN
        same = constructs.spelling(node) == constructs.spelling(source.time_sql)
        return frozenset({(name, source.time.lower())}) if same else _UNKNOWN


def _all_of(parts: Iterator[frozenset[Origin]]) -> frozenset[Origin]:
    """The origins of a value that is one of several; empty where one of them is computed."""
    known = list(parts)
    return frozenset[Origin]().union(*known) if all(known) else _UNKNOWN
