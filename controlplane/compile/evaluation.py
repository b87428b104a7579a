"""Proves which views are row by row: what their SQL returns over two intervals is what it returns
over each of them.

The proof reads the parsed SQL and follows columns to the sources that they come from. It knows what
is allowed, and everything else is a construct that makes a view interval by interval: a wrong guess
could cost speed, never a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from controlplane.compile import constructs
from controlplane.compile.builtins import unknown_calls
from controlplane.compile.constructs import Construct
from controlplane.compile.lineage import (
    Origin,
    Relation,
    Source,
    broken,
    folded_name,
    key,
    renamed,
)
from controlplane.compile.projection import Projection, Scope
from controlplane.compile.scalars import UNNESTING, UNNESTING_NAMES


@dataclass
class Analysis:
    """What is known of a view's SQL.

    Attributes:
        construct: what makes it interval by interval; None if it is row by row.
        columns: as in `Relation`.
        steady: whether the order in which rows come decides nothing (see `constructs.unsteady`).
        refused: tables and functions that it reads beside its sources, and samples: no SQL of a
            view may hold them.
    """

    construct: Construct | None
    columns: Mapping[str, frozenset[Origin]]
    steady: bool = True
    refused: list[Construct] = field(default_factory=list)


def analyse(
    sql: str,
    tree: exp.Expr,
    dialect: str,
    sources: Mapping[str, Source],
    hidden: Collection[str] = (),
) -> Analysis:
    """Analyse a view's SQL, which is one query.

    Args:
        sql: the text.
        tree: what it parses to; it is not changed.
        dialect: the text's.
        sources: by name.
        hidden: names of users' functions that stand for the warehouse's own.
    """
    walk = _Walk({name.lower(): source for name, source in sources.items()}, dialect)
    relation = walk.query(tree, walk.relations())
    strange = unknown_calls(sql, tree, dialect, hidden)
    construct = min((*relation.constructs, *strange), key=constructs.order, default=None)
    steady = construct is None or not (strange or constructs.unsteady(tree))
    return Analysis(construct, relation.columns, steady, walk.refused)


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
_AROUND = {"this", "expression", "distinct", "by_name", "alias", "with_", "order", "sample"}
"""What a query in parentheses or a set operation may have around it."""
_OF_TABLES = {"this", "db", "catalog", "alias", "joins", "laterals", "pivots", "hints", "sample"}
"""What may belong to a table in FROM: all else reads other rows than the interval's."""
_NUMBERED = (exp.Explode, exp.Flatten, exp.SplitToTable)
"""Functions whose column SEQ numbers the rows that they are called for, on Snowflake."""


class _Walk:
    """One walk over a query's tree.

    An environment maps names in small letters to what they stand for.
    """

    def __init__(self, sources: Mapping[str, Source], dialect: str) -> None:
        self._sources = sources
        self._dialect = dialect
        self._projection = Projection(sources, dialect)
        self.refused: list[Construct] = []

    def relations(self) -> dict[str, Relation]:
        return {
            folded_name(name, self._dialect): Relation(
                {column.lower(): frozenset({(name, column.lower())}) for column in source.columns},
                timed=source.time is not None,
                open=source.open,
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
            # Tables in parentheses: all that their joins return.
            whole = exp.Select(expressions=[exp.Star()], from_=exp.From(this=tree.copy()))
            return self._select(whole, names)
        if isinstance(tree, exp.Values):
            return self._rows(tree, names)
        if isinstance(tree, exp.TableFromRows):
            return self._table_function(tree.this, names)
        if isinstance(tree, exp.Pivot):
            timed = any(self._relation(table, names).timed for table in tree.find_all(exp.Table))
            return broken(Relation({}, timed, (), open=True), "PIVOT", tree)
        words = f"{tree.key.upper()}, which may read what is not among its sources"
        self.refused.append(Construct(words, constructs.line(tree)))
        return Relation({}, open=True)

    def _rows(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """What an expression stands for that makes rows of its arguments alone."""
        found = (
            one
            for part in tree.iter_expressions()
            for one in self._expression(part, names, {}, True)
        )
        return Relation({}, constructs=tuple(found), open=True)

    def _with(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Mapping[str, Relation]:
        clause = tree.args.get("with_")
        if clause is None:
            return names
        known = dict(names)
        for cte in clause.expressions:
            name = key(cte.args["alias"].this, self._dialect)
            # Snowflake doesn't ask for the word RECURSIVE.
            may_recur = clause.args.get("recursive") or self._dialect == "snowflake"
            if may_recur and any(
                self._named(table) == name for table in cte.this.find_all(exp.Table)
            ):
                inner = self.query(cte.this, {**known, name: Relation({}, open=True)})
                inner = broken(
                    Relation({}, inner.timed, inner.constructs, open=True), "a recursive query", cte
                )
            else:
                inner = self.query(cte.this, known)
            known[name] = renamed(inner, cte.args.get("alias"))
        return known

    def _named(self, table: exp.Table) -> str:
        return "" if table.args.get("db") else key(table.this, self._dialect)

    def _set(self, tree: exp.SetOperation, names: Mapping[str, Relation]) -> Relation:
        left, right = self.query(tree.left, names), self.query(tree.right, names)
        by_name = bool(tree.args.get("by_name"))
        pairs = (
            {name: right.columns.get(name, frozenset()) for name in left.columns}
            if by_name
            else dict(zip(left.columns, right.columns.values(), strict=False))
        )
        plain = not any(tree.args.get(name) for name in ("side", "kind", "on"))
        known = (
            plain
            and not (left.open or right.open)
            and (by_name or len(left.columns) == len(right.columns))
        )
        columns = {
            name: origins | pairs[name]
            if known and origins and pairs[name]
            else frozenset[Origin]()
            for name, origins in left.columns.items()
        }
        timed = left.timed or right.timed
        merged = Relation(
            columns, timed, (*left.constructs, *right.constructs), left.open or right.open
        )
        if isinstance(tree, exp.Union) and not tree.args.get("distinct"):
            return merged
        return broken(merged, "UNION" if isinstance(tree, exp.Union) else tree.key.upper(), tree)

    def _modified(self, tree: exp.Expr, relation: Relation) -> Relation:
        """What the clauses make of a relation that follow a set operation or a query in
        parentheses."""
        self._samples(tree)
        for clause, value in tree.args.items():
            if value and clause in {"joins", "laterals"}:
                relation = broken(relation, "a join behind parentheses", tree, always=True)
            elif value and clause not in _AROUND:
                words = _CLAUSE_WORDS.get(clause, clause.strip("_").upper())
                relation = broken(
                    relation, words, constructs.node_of(value), always=clause in {"limit", "offset"}
                )
        return relation

    def _select(self, tree: exp.Select, names: Mapping[str, Relation]) -> Relation:
        self._samples(tree)
        parts = [*constructs.joined(tree)]
        scope, breaking = self._scope(parts, names)
        timed = any(child.timed for child in scope.children.values())
        for part in self._expressions(tree, parts):
            for construct in self._expression(part, names, scope.children, timed):
                breaking.append(construct)
        for clause, value in tree.args.items():
            if value and clause not in _ALLOWED | {"sample", "into", "locks"}:
                words = _CLAUSE_WORDS.get(clause, clause.strip("_").upper())
                if timed or clause in {"limit", "offset"}:
                    breaking.append(
                        Construct(
                            words,
                            constructs.line(constructs.node_of(value)) or constructs.line(tree),
                        )
                    )
        breaking += self._numbering(tree, scope)
        nested = any(construct.words.startswith("a subquery over") for construct in breaking)
        columns, open_ = self._projection.columns(tree, scope)
        return Relation(
            columns, timed or nested, tuple(sorted(set(breaking), key=constructs.order)), open_
        )

    def _scope(
        self, parts: Sequence[constructs.Joined], names: Mapping[str, Relation]
    ) -> tuple[Scope, list[Construct]]:
        """The relations that a SELECT reads, by alias, and what is wrong with how they are
        joined."""
        children: dict[str, Relation] = {}
        unseen: set[str] = set()
        breaking: list[Construct] = []
        mixed = False
        relations = [self._relation(part.node, names) for part in parts]
        for place, (part, child) in enumerate(zip(parts, relations, strict=True)):
            breaking += child.constructs
            timed = any(one.timed for one in relations[:place])
            if child.timed and timed:
                name = part.node.name or part.node.alias_or_name or "a query"
                breaking.append(
                    Construct(
                        f"a join with a second timed source, {name}", constructs.line(part.node)
                    )
                )
            alias = self._alias(part.node) or f"plane {place}"
            # Two relations with one alias: a column of either has no certain origin.
            children[alias] = Relation({}, child.timed, open=True) if alias in children else child
            for join, size in part.joins:
                # All that a join has on its right: tables in parentheses are one operand. Where
                # both sides are timed, their join is noted already.
                right = any(one.timed for one in relations[place : place + size])
                if right != timed and (words := constructs.breaks(join, right)):
                    breaking.append(Construct(words, constructs.line(part.node)))
                    mixed = True
                if str(join.args.get("kind") or "").upper() in {"SEMI", "ANTI"}:
                    unseen.add(alias)
        joins = [join for part in parts for join, _ in part.joins]
        merged = frozenset(
            one.name.lower() for join in joins for one in join.args.get("using") or ()
        )
        natural = any(str(join.args.get("method") or "").upper() == "NATURAL" for join in joins)
        return Scope(children, frozenset(unseen), merged, natural, mixed), breaking

    def _alias(self, node: exp.Expr) -> str:
        alias = node.args.get("alias")
        named = (
            alias.this
            if isinstance(alias, exp.TableAlias)
            else node.this
            if isinstance(node, exp.Table)
            else None
        )
        return key(named, self._dialect) if isinstance(named, exp.Identifier) else ""

    def _numbering(self, tree: exp.Select, scope: Scope) -> Iterator[Construct]:
        """Reads of a column that numbers the rows of the whole query."""
        numbered = {
            name: child.numbering for name, child in scope.children.items() if child.numbering
        }
        for column in tree.find_all(exp.Column, exp.Star) if numbered else ():
            table = column.args.get("table")
            chosen = (
                [numbered.get(key(table, self._dialect), "")] if table else list(numbered.values())
            )
            if any(chosen) and (
                column.name.lower() in chosen or isinstance(column, exp.Star) or column.name == "*"
            ):
                words = f"column {next(filter(None, chosen))}, which numbers the rows of the query"
                yield Construct(words, constructs.line(column) or constructs.line(tree))

    def _relation(self, node: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """What something stands for that a FROM clause names."""
        self._samples(node)
        if isinstance(node, exp.Lateral):
            return self._lateral(node, names)
        if isinstance(node, exp.Unnest):
            return self._rows(node, names)
        if not isinstance(node, exp.Table):
            return renamed(self.query(node, names), node.args.get("alias"))
        if not isinstance(node.this, exp.Identifier):
            return renamed(self._table_function(node.this, names), node.args.get("alias"))
        self._only_rows(node)
        relation = names.get(self._named(node))
        if relation is None:
            named = ".".join(part.name for part in node.parts)
            words = f"table {named}, which is not among its sources"
            self.refused.append(Construct(words, constructs.line(node)))
            return Relation({}, open=True)
        if node.args.get("pivots"):
            relation = broken(
                Relation({}, relation.timed, relation.constructs, open=True), "PIVOT", node
            )
        return renamed(relation, node.args.get("alias"))

    def _lateral(self, node: exp.Lateral, names: Mapping[str, Relation]) -> Relation:
        inner = node.this
        if isinstance(inner, exp.Subquery):
            return renamed(self.query(inner, names), node.args.get("alias"))
        return renamed(self._table_function(inner, names), node.args.get("alias"))

    def _table_function(self, function: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        name = function.name if isinstance(function, exp.Anonymous) else function.key
        numbered = self._dialect == "snowflake" and isinstance(function, _NUMBERED)
        if (
            numbered
            or isinstance(function, UNNESTING)
            or name.lower() in UNNESTING_NAMES | {"generate_series", "range"}
        ):
            return replace(self._rows(function, names), numbering="seq" if numbered else "")
        words = f"table function {name.lower()}, which may read what is not among its sources"
        self.refused.append(Construct(words, constructs.line(function)))
        return Relation({}, open=True)

    def _only_rows(self, node: exp.Table) -> None:
        """Refuse what reads a table as it was at another time, and the like."""
        strange = [name for name, value in node.args.items() if value and name not in _OF_TABLES]
        alias = node.args.get("alias")
        if strange or (alias is not None and not isinstance(alias.this, exp.Identifier | None)):
            words = f"{node.sql(self._dialect)!r}, which may be other rows than an interval's"
            self.refused.append(Construct(words, constructs.line(node)))

    def _samples(self, node: exp.Expr) -> None:
        if node.args.get("sample"):
            self.refused.append(Construct("a sample, which chance decides", constructs.line(node)))

    def _expressions(
        self, tree: exp.Select, parts: Sequence[constructs.Joined]
    ) -> Iterator[exp.Expr]:
        yield from tree.expressions
        for name in ("where", "having", "qualify", "group", "order"):
            if tree.args.get(name):
                yield tree.args[name]
        for join in (join for part in parts for join, _ in part.joins):
            yield from (part for name in ("on", "match_condition") if (part := join.args.get(name)))

    def _expression(
        self,
        part: exp.Expr,
        names: Mapping[str, Relation],
        children: Mapping[str, Relation],
        timed: bool,
    ) -> Iterator[Construct]:
        """What in an expression depends on more than one row."""
        waiting: list[tuple[exp.Expr, bool]] = [(part, timed)]
        while waiting:
            node, asked = waiting.pop()
            if isinstance(node, exp.Column | exp.Literal | exp.DataType):
                if asked and node.args.get("join_mark") and not self._static(node, children):
                    yield Construct(
                        "an outer join by (+), which keeps rows of another table",
                        constructs.line(node),
                    )
                continue
            if isinstance(node, exp.Query):
                inner = self.query(node, names)
                if inner.timed:
                    yield Construct("a subquery over a timed source", constructs.line(node))
                elif timed and self._borrows(node, children, names):
                    yield Construct(
                        "an aggregate of an outer query's columns", constructs.line(node)
                    )
                yield from inner.constructs
                continue
            if isinstance(node, exp.Placeholder | exp.Parameter | exp.SessionParameter):
                self.refused.append(
                    Construct(f"{node.sql()}, a value of the session", constructs.line(node))
                )
            elif asked and not constructs.plain(node):
                yield Construct(constructs.words(node), constructs.line(node))
                asked = False  # what it holds is part of the same construct, subqueries aside
            waiting.extend((child, asked) for child in node.iter_expressions())

    def _static(self, column: exp.Expr, children: Mapping[str, Relation]) -> bool:
        table = column.args.get("table")
        child = children.get(key(table, self._dialect)) if table else None
        return child is not None and not child.timed

    def _borrows(
        self, query: exp.Expr, children: Mapping[str, Relation], names: Mapping[str, Relation]
    ) -> bool:
        """Whether a subquery may aggregate over columns of the query around it."""
        tables = [
            table for table in query.find_all(exp.Table) if isinstance(table.this, exp.Identifier)
        ]
        own = {self._alias(table) for table in tables}
        read = [names[name] for table in tables if (name := self._named(table)) in names]
        known = {column for relation in read for column in relation.columns}
        return any(
            key(table, self._dialect) in children.keys() - own
            if (table := column.args.get("table"))
            else column.name.lower() not in known
            for aggregate in query.find_all(exp.AggFunc)
            for column in aggregate.find_all(exp.Column)
        )
