"""Prove which views are row by row.

Over two intervals at once, the SQL of such a view returns the rows that it returns over each.

The proof reads the parsed SQL and follows columns to the sources that they come from. It knows what
is allowed; every other construct makes a view interval by interval. A gap in this knowledge may
cost speed, but never a wrong value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot import exp

from controlplane.compile import clauses, constructs
from controlplane.compile.builtins import unknown_calls
from controlplane.compile.constructs import Construct
from controlplane.compile.lineage import (
    Origin,
    Relation,
    Source,
    folded_name,
    key,
    renamed,
    with_construct,
)
from controlplane.compile.projection import Projection, Scope
from controlplane.compile.scalars import UNNESTING, UNNESTING_NAMES


@dataclass
class Analysis:
    """The result of the proof for a view's SQL.

    Attributes:
        construct: what makes it interval by interval; None if it is row by row.
        columns: as in `Relation`.
        steady: whether its result is the same in any order of rows (see `constructs.unsteady`).
        refused: reads of anything but the sources, and samples; no view's SQL may contain them.
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
        dialect: of the text.
        sources: by name.
        hidden: names of users' functions that hide functions of the warehouse.
    """
    walk = _Walk({name.lower(): source for name, source in sources.items()}, dialect)
    relation = walk.query(tree, walk.relations())
    unknown = [
        Construct(constructs.unknown_function(call.name), call.line)
        for call in unknown_calls(sql, tree, dialect, hidden)
    ]
    construct = min((*relation.constructs, *unknown), key=constructs.order, default=None)
    steady = construct is None or not (unknown or constructs.unsteady(tree))
    return Analysis(construct, relation.columns, steady, walk.refused)


_OF_TABLES = {"this", "db", "catalog", "alias", "joins", "laterals", "pivots", "hints", "sample"}
"""What may follow a table in FROM: everything else, such as AT or FOR, reads other rows."""
_NUMBERED = (exp.Explode, exp.Flatten, exp.SplitToTable)
"""Functions whose column SEQ numbers the rows that they are called for, on Snowflake."""
_LEAVES = (exp.Column, exp.Literal, exp.DataType)
_OF_THE_SESSION = (exp.Placeholder, exp.Parameter, exp.SessionParameter)
_TIMED_SUBQUERY = "a subquery over a timed source"


class _Walk:
    """One walk over a query's tree.

    Its methods take the relations that can be read at a node, by their names in small letters.
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
        """Return the relation that a query yields; `names` are the relations that it can read."""
        names = self._with(tree, names)
        if isinstance(tree, exp.Subquery):
            inner = self.query(tree.this, names)
            return self._modified(tree, inner)
        if isinstance(tree, exp.SetOperation):
            left, right = self.query(tree.left, names), self.query(tree.right, names)
            return self._modified(tree, clauses.combined(tree, left, right))
        if isinstance(tree, exp.Select):
            return self._select(tree, names)
        if isinstance(tree, exp.Table):
            # Tables in parentheses return all columns of their joins.
            whole = exp.Select(expressions=[exp.Star()], from_=exp.From(this=tree.copy()))
            return self._select(whole, names)
        if isinstance(tree, exp.Values):
            return self._rows(tree, names)
        if isinstance(tree, exp.TableFromRows):
            return self._table_function(tree.this, names)
        if isinstance(tree, exp.Pivot):
            timed = any(self._relation(table, names).timed for table in tree.find_all(exp.Table))
            return with_construct(Relation({}, timed, (), open=True), "PIVOT", tree)
        words = f"{tree.key.upper()}, which may read what is not among its sources"
        self.refused.append(Construct(words, constructs.line(tree)))
        return Relation({}, open=True)

    def _rows(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """Return the relation of an expression that makes rows from its arguments alone."""
        breaking = self._breaking(tree.iter_expressions(), names, {}, True)
        return Relation({}, constructs=tuple(breaking), open=True)

    def _with(self, tree: exp.Expr, names: Mapping[str, Relation]) -> Mapping[str, Relation]:
        clause = tree.args.get("with_")
        if clause is None:
            return names
        # Each CTE sees the ones before it.
        known = dict(names)
        for cte in clause.expressions:
            name = key(cte.args["alias"].this, self._dialect)
            # In Snowflake the word RECURSIVE is optional.
            may_recur = clause.args.get("recursive") or self._dialect == "snowflake"
            if may_recur and any(
                self._named(table) == name for table in cte.this.find_all(exp.Table)
            ):
                inner = self.query(cte.this, {**known, name: Relation({}, open=True)})
                inner = with_construct(
                    Relation({}, inner.timed, inner.constructs, open=True), "a recursive query", cte
                )
            else:
                inner = self.query(cte.this, known)
            known[name] = renamed(inner, cte.args.get("alias"))
        return known

    def _named(self, table: exp.Table) -> str:
        return "" if table.args.get("db") else key(table.this, self._dialect)

    def _modified(self, tree: exp.Expr, relation: Relation) -> Relation:
        self._samples(tree)
        return clauses.modified(tree, relation)

    def _select(self, tree: exp.Select, names: Mapping[str, Relation]) -> Relation:
        self._samples(tree)
        parts = [*constructs.joined(tree)]
        scope, breaking = self._scope(parts, names)
        timed = any(child.timed for child in scope.children.values())
        expressions = self._expressions(tree, parts)
        breaking += self._breaking(expressions, names, scope.children, timed)
        breaking += clauses.breaking_clauses(tree, timed=timed)
        breaking += clauses.numbering(tree, scope, self._dialect)
        nested = any(construct.words == _TIMED_SUBQUERY for construct in breaking)
        columns, open_ = self._projection.columns(tree, scope)
        return Relation(
            columns, timed or nested, tuple(sorted(set(breaking), key=constructs.order)), open_
        )

    def _scope(
        self, parts: Sequence[constructs.Joined], names: Mapping[str, Relation]
    ) -> tuple[Scope, list[Construct]]:
        """Return the relations that a SELECT reads, and the constructs in how it joins them."""
        children: dict[str, Relation] = {}
        unseen: set[str] = set()
        breaking: list[Construct] = []
        mixed = False
        relations = [self._relation(part.node, names) for part in parts]
        for index, (part, child) in enumerate(zip(parts, relations, strict=True)):
            breaking += child.constructs
            timed = any(relation.timed for relation in relations[:index])
            if child.timed and timed:
                name = part.node.name or part.node.alias_or_name or "a query"
                breaking.append(
                    Construct(
                        f"a join with a second timed source, {name}", constructs.line(part.node)
                    )
                )
            # The space keeps the name apart from users' aliases.
            alias = self._alias(part.node) or f"plane {index}"
            # Two relations with one alias: a column of either has no certain origin.
            children[alias] = Relation({}, child.timed, open=True) if alias in children else child
            for join, size in part.joins:
                # Tables in parentheses are one operand, so the right side may be several relations.
                # If both sides are timed, their join is noted already.
                right = any(relation.timed for relation in relations[index : index + size])
                if right != timed and (words := constructs.breaks(join, right)):
                    breaking.append(Construct(words, constructs.line(part.node)))
                    mixed = True
                if str(join.args.get("kind") or "").upper() in {"SEMI", "ANTI"}:
                    unseen.add(alias)
        joins = [join for part in parts for join, _ in part.joins]
        merged = frozenset(
            column.name.lower() for join in joins for column in join.args.get("using") or ()
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

    def _relation(self, node: exp.Expr, names: Mapping[str, Relation]) -> Relation:
        """Return the relation of one operand of a FROM clause."""
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
        # PIVOT turns values of rows into columns: over more rows it may return other columns.
        if node.args.get("pivots"):
            relation = with_construct(
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
        """Refuse clauses of a table that read other rows, such as its state at another time."""
        strange = [name for name, value in node.args.items() if value and name not in _OF_TABLES]
        alias = node.args.get("alias")
        if strange or (alias is not None and not isinstance(alias.this, exp.Identifier | None)):
            words = f"{node.sql(self._dialect)!r}, which may have other rows than the interval's"
            self.refused.append(Construct(words, constructs.line(node)))

    def _samples(self, node: exp.Expr) -> None:
        if node.args.get("sample"):
            self.refused.append(Construct("a sample, which is random", constructs.line(node)))

    def _expressions(
        self, tree: exp.Select, parts: Sequence[constructs.Joined]
    ) -> Iterator[exp.Expr]:
        yield from tree.expressions
        for name in ("where", "having", "qualify", "group", "order"):
            if tree.args.get(name):
                yield tree.args[name]
        for join in (join for part in parts for join, _ in part.joins):
            yield from (part for name in ("on", "match_condition") if (part := join.args.get(name)))

    def _breaking(
        self,
        expressions: Iterable[exp.Expr],
        names: Mapping[str, Relation],
        children: Mapping[str, Relation],
        timed: bool,
    ) -> Iterator[Construct]:
        """Yield the constructs of expressions whose value depends on more than one row."""
        # A stack instead of recursion: a long chain of AND or OR is a deep tree.
        waiting = [(expression, timed) for expression in expressions]
        while waiting:
            node, asked = waiting.pop()
            if isinstance(node, _LEAVES):
                if asked and node.args.get("join_mark") and not self._static(node, children):
                    yield Construct(
                        "an outer join by (+), which keeps rows of another table",
                        constructs.line(node),
                    )
                continue
            if isinstance(node, exp.Query):
                inner = self.query(node, names)
                if inner.timed:
                    yield Construct(_TIMED_SUBQUERY, constructs.line(node))
                elif timed and self._borrows(node, children, names):
                    yield Construct(
                        "an aggregate of an outer query's columns", constructs.line(node)
                    )
                yield from inner.constructs
                continue
            if isinstance(node, _OF_THE_SESSION):
                self.refused.append(
                    Construct(f"{node.sql()}, a value of the session", constructs.line(node))
                )
            elif asked and not constructs.plain(node):
                yield Construct(constructs.words(node), constructs.line(node))
                asked = False  # its operands are part of the same construct, except subqueries
            waiting.extend((child, asked) for child in node.iter_expressions())

    def _static(self, column: exp.Expr, children: Mapping[str, Relation]) -> bool:
        table = column.args.get("table")
        child = children.get(key(table, self._dialect)) if table else None
        return child is not None and not child.timed

    def _borrows(
        self, query: exp.Expr, children: Mapping[str, Relation], names: Mapping[str, Relation]
    ) -> bool:
        """Tell whether a subquery may aggregate over columns of the query around it."""
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
