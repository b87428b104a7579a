"""Compile definitions to a manifest: check all rules, resolve all names and types.

All problems are reported at once. The warehouse is asked only for columns: those of the sources,
and those that each view's SQL returns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec

from controlplane.base import naming
from controlplane.base.ports import Warehouse
from controlplane.base.types import Tasks, parse_type
from controlplane.compile import chaining, graph, transformation
from controlplane.compile.builtins import macros
from controlplane.compile.features import KEY_TYPES, RESERVED
from controlplane.compile.loader import Definitions, keep_well_shaped
from controlplane.compile.problems import Collector, listing
from controlplane.compile.services import compile_service
from controlplane.compile.sources import compile_source
from controlplane.compile.view import Compilation, Context, compile_view
from controlplane.definitions import BatchFeatureView, BatchSource, Entity, FeatureService
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import EntitySpec, Manifest, ViewSpec


@dataclass(frozen=True)
class Target:
    """What a manifest is made for: one environment of one project.

    Attributes:
        project: its name.
        environment: its name.
        dialect: of the warehouse's SQL.
        schema: of the public views.
        now: the environment's time, if that is frozen; None: the clock's.
        root: the project's folder.
        reader_role: the role that may read the public views; empty: none is granted.
        tasks: of a run in Airflow, for views that don't say it.
    """

    project: str
    environment: str
    dialect: str
    schema: str
    now: datetime | None
    root: Path
    reader_role: str = ""
    tasks: Tasks = "steps"


def compile_manifest(
    definitions: Definitions,
    target: Target,
    warehouse: Warehouse,
    earlier: Iterable[PlaneError] = (),
) -> Manifest:
    """Check all definitions and compile them to a manifest.

    Args:
        definitions: what the loader collected.
        target: the project and the environment.
        warehouse: asked for columns only.
        earlier: problems of loading, to be reported together with those of compiling.

    Raises:
        Problems: all problems.
    """
    collector = Collector(target.root)
    for error in (*earlier, *keep_well_shaped(definitions)):
        collector.adopt(error)
    for noun, named in (
        ("entity", definitions.entities),
        ("source", definitions.sources),
        ("feature view", definitions.views),
        ("feature service", definitions.services),
    ):
        _check_names(noun, named, collector)
    entities = [_entity(e, collector) for e in definitions.entities]
    upstream = _upstream(definitions.views, target.schema)
    ordered, cyclic = _ordered(definitions.views, upstream, collector)
    tables = _tables(definitions, warehouse, cyclic, target.schema, collector)
    sources = {
        s.name: compile_source(s, tables.get(s.name), target.dialect, warehouse, collector)
        for s in definitions.sources
    }
    readers: dict[str, list[str]] = {}
    for source in definitions.sources:
        readers.setdefault(source.table, []).append(source.name)
    views: dict[str, ViewSpec] = {}
    # A query, so only if there are views.
    hidden = macros(warehouse) if ordered else frozenset[str]()
    # Compilations of one wave are interleaved: each has its own collector, so that a view can tell
    # whether it has problems of its own.
    collectors = {view.name: Collector(target.root) for view in ordered}
    # One round trip to the warehouse for each wave, not for each view.
    for wave in _waves(ordered, upstream):
        compilations = []
        for view in wave:
            context = Context(
                target.dialect,
                target.schema,
                warehouse,
                sources,
                views,
                upstream[view.name],
                hidden,
                target.tasks,
                collectors[view.name],
            )
            compilations.append((view.name, compile_view(view, context)))
        for name, spec in _compiled(compilations, warehouse).items():
            views[name] = spec
            for reader in readers.get(f"{target.schema}.{name}", ()):
                if (reading := sources[reader]) is not None:
                    sources[reader] = msgspec.structs.replace(
                        reading, columns=chaining.columns(spec)
                    )
    # Waves compile in another order; a manifest has its views in dependency order.
    views = {view.name: views[view.name] for view in ordered if view.name in views}
    for view in ordered:
        collector.problems += collectors[view.name].problems
    services = [
        compile_service(s, definitions.views, views, warehouse, target.dialect, collector)
        for s in definitions.services
    ]
    if collector.problems:
        raise Problems(collector.problems)
    return Manifest(
        project=target.project,
        environment=target.environment,
        dialect=target.dialect,
        schema=target.schema,
        now=target.now,
        entities=tuple(e for e in entities if e is not None),
        sources=tuple(s for s in sources.values() if s is not None),
        views=tuple(views.values()),
        services=tuple(services),
        reader_role=target.reader_role,
    )


Named = Entity | BatchSource | BatchFeatureView | FeatureService


def _check_names(noun: str, named: Sequence[Named], collector: Collector) -> None:
    # By name in small letters: names that differ only in case would share tables.
    first: dict[str, Named] = {}
    for definition in named:
        name = definition.name
        valid = collector.name(f"{noun} {name!r}", name, definition.location)
        if valid and name.lower() in first:
            location = collector.located(first[name.lower()].location)
            collector.add(
                f"{noun} {name!r} is defined twice, first at {location}",
                definition.location,
                "rename one",
            )
        elif valid:
            first[name.lower()] = definition
        if not isinstance(definition, BatchSource) and not definition.owner:
            collector.add(
                f"{noun} {name!r} has no owner",
                definition.location,
                "give owner=, a person or a team",
            )


def _entity(entity: Entity, collector: Collector) -> EntitySpec | None:
    keys: list[tuple[str, str]] = []
    if not entity.keys:
        collector.add(
            f"entity {entity.name!r} has no keys", entity.location, 'give keys={"column": "type"}'
        )
    for name, text in entity.keys.items():
        subject = f"entity {entity.name!r}, key {name!r}"
        if not naming.is_name(name):
            hint = f"{naming.name_remedy(name)}; let the view's SQL rename the column"
            collector.add(f"{subject}: this is not a valid name of a key", entity.location, hint)
        elif name.lower() in RESERVED:
            hint = f"let the view's SQL rename the column; reserved names are: {listing(RESERVED)}"
            collector.add(f"{subject}: this is not a valid name of a key", entity.location, hint)
        try:
            canonical = parse_type(text)
        except ValueError:
            # Not the error's own remedy: it offers types that no key can have.
            collector.add(
                f"{subject}: {text!r} is not a type", entity.location, f"use {listing(KEY_TYPES)}"
            )
            continue
        if canonical not in KEY_TYPES:
            collector.add(
                f"{subject}: a {canonical} can't be a key",
                entity.location,
                f"use {listing(KEY_TYPES)}",
            )
        keys.append((name, canonical))
    location = collector.located(entity.location)
    return EntitySpec(entity.name, tuple(keys), entity.owner, entity.description, location)


def _upstream(views: Sequence[BatchFeatureView], schema: str) -> dict[str, tuple[str, ...]]:
    names = {view.name for view in views}
    upstream: dict[str, tuple[str, ...]] = {}
    for view in views:
        read = [naming.view_of_table(schema, s.table) for s in view.sources]
        upstream[view.name] = tuple(name for name in read if name in names)
    return upstream


def _ordered(
    views: Sequence[BatchFeatureView], upstream: Mapping[str, Sequence[str]], collector: Collector
) -> tuple[list[BatchFeatureView], set[str]]:
    by_name = {view.name: view for view in views}
    try:
        return [by_name[name] for name in graph.order(upstream)], set()
    except graph.CycleError as error:
        cycle: list[str] = error.args[1]
        collector.add(
            f"feature views read each other in a cycle: {' -> '.join(reversed(cycle))}",
            by_name[cycle[0]].location,
            "let one of them read its raw table instead",
        )
        return [view for view in by_name.values() if view.name not in cycle], set(cycle)


def _waves(
    ordered: Sequence[BatchFeatureView], upstream: Mapping[str, Sequence[str]]
) -> list[list[BatchFeatureView]]:
    """Group the views into waves: each view is in a later wave than the views that it reads."""
    depths: dict[str, int] = {}
    waves: dict[int, list[BatchFeatureView]] = {}
    for view in ordered:
        depth = max((depths.get(name, -1) + 1 for name in upstream[view.name]), default=0)
        depths[view.name] = depth
        waves.setdefault(depth, []).append(view)
    return [waves[depth] for depth in sorted(waves)]


def _compiled(
    compilations: Iterable[tuple[str, Compilation]], warehouse: Warehouse
) -> dict[str, ViewSpec]:
    """Finish compilations with one request to the warehouse; return the valid views."""
    waiting: list[tuple[str, Compilation, str]] = []
    specs: dict[str, ViewSpec] = {}
    for name, compilation in compilations:
        try:
            waiting.append((name, compilation, next(compilation)))
        except StopIteration:
            continue  # its problems were noted
    answers = warehouse.describe_all([query for *_, query in waiting])
    for (name, compilation, _), columns in zip(waiting, answers, strict=True):
        try:
            compilation.send(columns)
        except StopIteration as ended:
            if ended.value is not None:
                specs[name] = ended.value
    return specs


def _tables(
    definitions: Definitions,
    warehouse: Warehouse,
    cyclic: set[str],
    schema: str,
    collector: Collector,
) -> dict[str, Mapping[str, str] | None]:
    """Return the columns of each source's table, by source name; None: there is no such table.

    A public view of the project has no columns yet: they follow from the view. In a project with a
    cycle of views it is left out.
    """
    asked: list[BatchSource] = []
    names = {view.name for view in definitions.views}
    public_schema = chaining.PublicSchema(
        schema, names, catalog_of(warehouse, [source.table for source in definitions.sources])
    )
    refused: set[str] = set()
    for source in definitions.sources:
        if not transformation.is_table(source.table):
            hint = "write schema.table, quoted where the warehouse needs it"
            collector.add(
                f"source {source.name!r}: {source.table!r} is not a table", source.location, hint
            )
        elif not chaining.check_source(source, public_schema, collector):
            refused.add(source.name)
        elif naming.view_of_table(schema, source.table) not in names:
            asked.append(source)
    columns = warehouse.columns([source.table for source in asked])
    for source in asked:
        if columns.get(source.table) is None:
            hint = (
                "load the table, or correct `table`; a source must exist before views that read it"
                " are planned"
            )
            collector.add(
                f"source {source.name!r}: there is no table {source.table}", source.location, hint
            )
    return {source.name: columns.get(source.table) for source in asked} | {
        source.name: {}
        for source in definitions.sources
        if naming.view_of_table(schema, source.table) in names
        and source.name not in refused
        and not cyclic
    }


def catalog_of(warehouse: Warehouse, tables: Iterable[str]) -> str:
    """Return the session's catalogue (Snowflake: database); empty if no table names one."""
    if all(len(transformation.table_parts(table)) < 3 for table in tables):
        return ""
    function = "CURRENT_DATABASE()" if warehouse.dialect == "snowflake" else "current_catalog()"
    [batch] = [batch for batch in warehouse.fetch(f"SELECT {function} AS name") if batch.num_rows]
    return str(batch.to_pylist()[0]["name"])
