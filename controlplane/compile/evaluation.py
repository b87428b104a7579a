"""Proves which views are row by row: what their SQL returns over two intervals is what it returns over each of them.

The proof reads the parsed SQL and follows columns to the sources that they come from. It knows what is allowed, and
everything else is a construct that makes a view interval by interval: a wrong guess could cost speed, never a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from controlplane.compile import constructs
from controlplane.compile.constructs import Construct
from controlplane.compile.lineage import Origin, Relation, Source, broken, renamed
from controlplane.compile.scalars import UNNESTING, UNNESTING_NAMES


@dataclass
class Analysis:
    """What is known of a view's SQL.

    Attributes:
        construct: what makes it interval by interval; None if it is row by row.
        columns: as in `Relation`.
        steady: whether the order in which rows come decides nothing (see `constructs.unsteady`).
        refused: tables and functions that it reads beside its sources, and samples: no SQL of a view may hold them.
    """

    construct: Construct | None
    columns: Mapping[str, frozenset[Origin]]
    steady: bool = True
    refused: list[Construct] = field(default_factory=list)


def analyse(tree: exp.Expr, dialect: str, sources: Mapping[str, Source]) -> Analysis:
    """Analyse a view's SQL, which is one query.

    Args:
        tree: the parsed text; it is not changed.
        dialect: the text's.
        sources: by name.
    """
    walk = _Walk({name.lower(): source for name, source in sources.items()}, dialect)
    relation = walk.query(tree, walk.relations())
    construct = relation.constructs[0] if relation.constructs else None
    steady = construct is None or not constructs.unsteady(tree)
    return Analysis(construct, relation.columns, steady, walk.refused)


_UNCHANGED = (exp.Min, exp.Max, exp.AnyValue, exp.First, exp.Last, exp.FirstValue, exp.LastValue, exp.Lag, exp.Lead)
"""Aggregates whose result is one of the values that they are given, or null."""
_CHOICES = (exp.Coalesce, exp.Greatest, exp.Least)
_ALLOWED = {
    "with_",
    "expressions",
    "from_",
    "joins",
    "laterals",
    "where",
    "order",
    "hint",
    "kind",
    "operation_modifiers",
}
_CLAUSE_WORDS = {
    "distinct": "DISTINCT",
    "group": "GROUP BY",
    "having": "HAVING",
    "qualify": "QUALIFY",
    "windows": "WINDOW",
    "limit": "LIMIT",
    "offset": "OFFSET",
    "connect": "CONNECT BY",
    "match": "MATCH_RECOGNIZE",
    "pivots": "PIVOT",
}


class _Walk:
    """One walk over a query's tree. An environment maps names in small letters to what they stand for."""

    def __init__(self, sources: Mapping[str, Source], dialect: str) -> None:
        self._sources = sources
        self._dialect = dialect
        self._expressions_of_time = any(source.time_sql is not None for source in sources.values())
        self.refused: list[Construct] = []

    def relations(self) -> dict[str, Relation]:
        return {
            name: Relation(
                {column.lower(): frozenset({(name, column.lower())}) for column in source.columns},
                timed=source.time is not None,
            )
            for name, source in self._sources.items()
        }

    def query(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """What a query returns, where these names are known."""
        names = self._with(tree, names)
        if isinstance(tree, exp.Subquery):
            inner = self.query(tree.this, names)
            return self._modified(tree, inner)
        if isinstance(tree, exp.SetOperation):
            return self._modified(tree, self._set(tree, names))
        if isinstance(tree, exp.Select):
            return self._select(tree, names)
        if isinstance(tree, exp.Table):
            return self._relation(tree, names)
        if isinstance(tree, exp.Values):
            return Relation({}, open=True)
        # PIVOT, and whatever else returns rows.
        timed = any(self._relation(table, names).timed for table in tree.find_all(exp.Table))
        return broken(Relation({}, timed, (), open=True), tree.key.upper(), tree)

    def _with(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Mapping[str, Relation]:
        clause = tree.args.get("with_")
        if clause is None:
            return names
        known = dict(names)
        for cte in clause.expressions:
            name = cte.alias.lower()
            if clause.args.get("recursive") and any(t.name.lower() == name for t in cte.this.find_all(exp.Table)):
                inner = self.query(cte.this, {**known, name: Relation({}, open=True)})
                inner = broken(Relation({}, inner.timed, inner.constructs, open=True), "a recursive query", cte)
            else:
                inner = self.query(cte.this, known)
            known[name] = renamed(inner, cte.args.get("alias"))
        return known

    def _set(self, tree: exp.SetOperation, names: Mapping[str, Relation]) -> Relation:
        left, right = self.query(tree.left, names), self.query(tree.right, names)
        by_name = bool(tree.args.get("by_name"))
        pairs = (
            {name: right.columns.get(name, frozenset()) for name in left.columns}
            if by_name
            else dict(zip(left.columns, right.columns.values(), strict=False))
        )
        known = not (left.open or right.open) and (by_name or len(left.columns) == len(right.columns))
        columns = {
            name: origins | pairs[name] if known and origins and pairs[name] else frozenset[Origin]()
            for name, origins in left.columns.items()
        }
        timed = left.timed or right.timed
        merged = Relation(columns, timed, (*left.constructs, *right.constructs), left.open or right.open)
        if isinstance(tree, exp.Union) and not tree.args.get("distinct"):
            return merged
        return broken(merged, "UNION" if isinstance(tree, exp.Union) else tree.key.upper(), tree)

    def _modified(self, tree: exp.Expr, relation: Relation) -> Relation:
        """What the clauses make of a relation that follow a set operation or a query in parentheses."""
        self._samples(tree)
        for clause, words in _CLAUSE_WORDS.items():
            if clause != "distinct" and tree.args.get(clause):
                relation = broken(
                    relation, words, constructs.node_of(tree.args[clause]), always=clause in {"limit", "offset"}
                )
        if tree.args.get("joins") or tree.args.get("laterals"):
            relation = broken(relation, "a join behind parentheses", tree)
        return relation

    def _select(self, tree: exp.Select, names: Mapping[str, Relation]) -> Relation:
        self._samples(tree)
        children, breaking = self._children(tree, names)
        timed = any(child.timed for child in children.values())
        for part in self._expressions(tree):
            for construct in self._expression(part, names, children, timed):
                breaking.append(construct)
        for clause, value in tree.args.items():
            if value and clause not in _ALLOWED | {"sample", "into", "locks"}:
                words = _CLAUSE_WORDS.get(clause, clause.strip("_").upper())
                if timed or clause in {"limit", "offset"}:
                    breaking.append(
                        Construct(words, constructs.line(constructs.node_of(value)) or constructs.line(tree))
                    )
        nested = any(construct.words.startswith("a subquery over") for construct in breaking)
        columns, open_ = self._projected(tree, children)
        return Relation(columns, timed or nested, tuple(sorted(set(breaking), key=constructs.order)), open_)

    def _children(self, tree: exp.Select, names: Mapping[str, Relation]) -> tuple[dict[str, Relation], list[Construct]]:
        """The relations that a SELECT reads, by alias, and what is wrong with how they are joined."""
        found: dict[str, Relation] = {}
        breaking: list[Construct] = []
        timed = False
        start = tree.args.get("from_")
        parts: list[tuple[exp.Expr, exp.Join | None]] = [(start.this, None)] if start is not None else []
        parts += [(join.this, join) for join in tree.args.get("joins") or ()]
        parts += [(lateral, None) for lateral in tree.args.get("laterals") or ()]
        for place, (node, join) in enumerate(self._flat(parts)):
            child = self._relation(node, names)
            breaking += child.constructs
            if child.timed and timed:
                name = node.name or node.alias_or_name or "a query"
                breaking.append(Construct(f"a join with a second timed source, {name}", constructs.line(node)))
            elif join is not None and (child.timed or timed) and (words := constructs.breaks(join, child.timed)):
                breaking.append(Construct(words, constructs.line(node)))
            timed = timed or child.timed
            found[(node.alias_or_name or f"plane {place}").lower()] = child
        return found, breaking

    def _flat(self, parts: Sequence[tuple[exp.Expr, exp.Join | None]]) -> Iterator[tuple[exp.Expr, exp.Join | None]]:
        """Tables in parentheses or with joins of their own, one after the other."""
        for node, join in parts:
            yield node, join
            if isinstance(node, exp.Table):
                yield from self._flat([(inner.this, inner) for inner in node.args.get("joins") or ()])
                yield from self._flat([(lateral, None) for lateral in node.args.get("laterals") or ()])

    def _relation(self, node: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """What something stands for that a FROM clause names."""
        self._samples(node)
        if isinstance(node, exp.Lateral):
            return self._lateral(node, names)
        if isinstance(node, exp.Unnest):
            return Relation({}, open=True)
        if not isinstance(node, exp.Table):
            return renamed(self.query(node, names), node.args.get("alias"))
        if not isinstance(node.this, exp.Identifier):
            return self._table_function(node.this)
        relation = None if node.args.get("db") else names.get(node.name.lower())
        if relation is None:
            named = ".".join(part.name for part in node.parts)
            words = f"table {named}, which is not among its sources"
            self.refused.append(Construct(words, constructs.line(node)))
            return Relation({}, open=True)
        if node.args.get("pivots"):
            relation = broken(Relation({}, relation.timed, relation.constructs, open=True), "PIVOT", node)
        return renamed(relation, node.args.get("alias"))

    def _lateral(self, node: exp.Lateral, names: Mapping[str, Relation]) -> Relation:
        inner = node.this
        if isinstance(inner, exp.Subquery):
            return renamed(self.query(inner, names), node.args.get("alias"))
        return self._table_function(inner)

    def _table_function(self, function: exp.Expr) -> Relation:
        name = function.name if isinstance(function, exp.Anonymous) else function.key
        if isinstance(function, UNNESTING) or name.lower() in UNNESTING_NAMES | {"generate_series", "range"}:
            return Relation({}, open=True)
        words = f"table function {name.lower()}, which may read what is not among its sources"
        self.refused.append(Construct(words, constructs.line(function)))
        return Relation({}, open=True)

    def _samples(self, node: exp.Expr) -> None:
        if node.args.get("sample"):
            self.refused.append(Construct("a sample, which chance decides", constructs.line(node)))

    def _expressions(self, tree: exp.Select) -> Iterator[exp.Expr]:
        yield from tree.expressions
        for name in ("where", "having", "qualify", "group", "order"):
            if tree.args.get(name):
                yield tree.args[name]
        for join in tree.args.get("joins") or ():
            yield from (part for name in ("on", "match_condition") if (part := join.args.get(name)))
            if isinstance(join.this, exp.Unnest | exp.Lateral) and not isinstance(join.this.this, exp.Subquery):
                yield join.this
        yield from (one for one in tree.args.get("laterals") or () if not isinstance(one.this, exp.Subquery))

    def _expression(
        self, part: exp.Expr, names: Mapping[str, Relation], children: Mapping[str, Relation], timed: bool
    ) -> Iterator[Construct]:
        """What in an expression depends on more than one row."""
        waiting: list[tuple[exp.Expr, bool]] = [(part, timed)]
        while waiting:
            node, asked = waiting.pop()
            if isinstance(node, exp.Column | exp.Literal | exp.DataType):
                continue
            if isinstance(node, exp.Query):
                inner = self.query(node, names)
                if inner.timed:
                    yield Construct("a subquery over a timed source", constructs.line(node))
                elif timed and _borrows(node, children, names):
                    yield Construct("an aggregate of an outer query's columns", constructs.line(node))
                yield from inner.constructs
                continue
            if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
                self.refused.append(Construct(f"{node.sql()}, a value of the session", constructs.line(node)))
            elif asked and not constructs.plain(node):
                yield Construct(constructs.words(node), constructs.line(node))
                asked = False  # what it holds is part of the same construct, subqueries aside
            waiting.extend((child, asked) for child in node.iter_expressions())

    def _projected(
        self, tree: exp.Select, children: Mapping[str, Relation]
    ) -> tuple[dict[str, frozenset[Origin]], bool]:
        """The columns of a SELECT, and whether there may be more."""
        found: dict[str, frozenset[Origin]] = {}
        open_ = False
        for projection in tree.expressions:
            star = projection if isinstance(projection, exp.Star) else None
            if isinstance(projection, exp.Column) and isinstance(projection.this, exp.Star):
                star = projection.this
            if star is not None:
                table = projection.args.get("table") if star is not projection else None
                unknown = Relation({}, open=True)
                chosen = [children.get(table.name.lower(), unknown)] if table else list(children.values())
                for child in chosen:
                    starred = self._starred(star, child, children)
                    found |= {name: origins for name, origins in starred.items() if name not in found}
                    open_ = open_ or child.open
            elif isinstance(projection, exp.Columns):
                open_ = True
            else:
                name = self._name(projection) or f"plane {len(found)}"
                inner = projection.this if isinstance(projection, exp.Alias) else projection
                found[name] = frozenset() if name in found else self._origins(inner, children, found)
        return found, open_

    def _name(self, projection: exp.Expr) -> str:
        """What a column of the result is called, in small letters; empty where the warehouse chooses."""
        if isinstance(projection, exp.Cast) and self._dialect == "databricks":
            return self._name(projection.this)  # Spark calls a cast column by the column's name
        if isinstance(projection, exp.Alias | exp.Column | exp.Subquery):
            return projection.alias_or_name.lower()
        return ""

    def _starred(
        self, star: exp.Star, child: Relation, children: Mapping[str, Relation]
    ) -> dict[str, frozenset[Origin]]:
        left_out = {one.name.lower() for one in star.args.get("except_") or ()}
        replaced = {one.alias.lower(): one.this for one in star.args.get("replace") or ()}
        renamed = {one.this.name.lower(): one.alias.lower() for one in star.args.get("rename") or ()}
        found = {}
        for name, origins in child.columns.items():
            if name in replaced:
                found[name] = self._origins(replaced[name], children, {})
            elif name not in left_out:
                found[renamed.get(name, name)] = origins
        return found

    def _origins(
        self, node: exp.Expr, children: Mapping[str, Relation], aliases: Mapping[str, frozenset[Origin]]
    ) -> frozenset[Origin]:
        """The sources' columns that an expression's values are, unchanged; empty where they are computed."""
        while isinstance(node, exp.Paren):
            node = node.this
        if isinstance(node, exp.Column):
            return self._column(node, children, aliases)
        if isinstance(node, exp.Window | exp.IgnoreNulls | exp.RespectNulls | exp.Filter):
            return self._origins(node.this, children, aliases)
        if isinstance(node, _UNCHANGED) and not isinstance(node.this, exp.Order | exp.Distinct):
            if node.args.get("default") or (isinstance(node, exp.Min | exp.Max) and node.expressions):
                return frozenset()
            return self._origins(node.this, children, aliases)
        if isinstance(node, exp.Case | exp.If | exp.Nullif):
            results = [one.args.get("true") for one in node.args.get("ifs") or ()]
            results += [node.args.get(name) for name in ("true", "false", "default")]
            chosen = [node.this] if isinstance(node, exp.Nullif) else [one for one in results if one]
            parts = [self._origins(one, children, aliases) for one in chosen if not isinstance(one, exp.Null)]
            return frozenset().union(*parts) if parts and all(parts) else frozenset()
        if isinstance(node, _CHOICES):
            parts = [self._origins(one, children, aliases) for one in (node.this, *node.expressions)]
            return frozenset().union(*parts) if all(parts) else frozenset()
        return self._expressed(node, children)

    def _column(
        self, node: exp.Column, children: Mapping[str, Relation], aliases: Mapping[str, frozenset[Origin]]
    ) -> frozenset[Origin]:
        name, table = node.name.lower(), node.table.lower()
        if table:
            child = children.get(table)
            return child.columns.get(name, frozenset()) if child else frozenset()
        found = [child for child in children.values() if name in child.columns]
        if found:
            # Of columns that USING merges, the timed source's is the one that is never null.
            return next((child for child in found if child.timed), found[0]).columns[name]
        return aliases.get(name, frozenset())

    def _expressed(self, node: exp.Expr, children: Mapping[str, Relation]) -> frozenset[Origin]:
        """The time of the source whose time expression this is, word for word."""
        if not self._expressions_of_time:
            return frozenset()
        columns = list(node.find_all(exp.Column))
        read = {origin for one in columns for origin in self._column(one, children, {})}
        names = {name for name, _ in read}
        if len(names) != 1 or not columns:
            return frozenset()
        [name] = names
        source = self._sources[name]
        if source.time is None or source.time_sql is None:
            return frozenset()
        same = constructs.spelling(node) == constructs.spelling(source.time_sql)
        return frozenset({(name, source.time.lower())}) if same else frozenset()


def _borrows(query: exp.Expr, children: Mapping[str, Relation], names: Mapping[str, Relation]) -> bool:
    """Whether a subquery may aggregate over columns of the query around it."""
    tables = list(query.find_all(exp.Table))
    own = {table.alias_or_name.lower() for table in tables}
    known = {column for table in tables if table.name.lower() in names for column in names[table.name.lower()].columns}
    return any(
        column.table.lower() in children.keys() - own if column.table else column.name.lower() not in known
        for aggregate in query.find_all(exp.AggFunc)
        for column in aggregate.find_all(exp.Column)
    )
