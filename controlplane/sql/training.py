"""The SQL of a training set: a spine with a service's features as visible at each row's time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from controlplane.base import naming, template
from controlplane.base.ports import Statement
from controlplane.errors import PlaneError, Problems
from controlplane.manifest.specs import Manifest, ServiceSpec, ViewSpec
from controlplane.sql import inline
from controlplane.sql.aggregates import default_sql
from controlplane.sql.calculations import (
    added,
    feature_types,
    functions,
    owner_of,
    request_types,
)
from controlplane.sql.control_tables import DATASETS, create_schema
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.ranges import Owner, whole
from controlplane.sql.tables import qualified

AS_OF = ("scheduled", "served")
"""The meanings of a feature's value: as it should have been visible, or as the tables showed it."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Dataset:
    """The description of one version of a training set.

    Attributes:
        name: Its name.
        version: Its version.
        service: The feature service whose features it has.
        spine: A query with the keys, the request fields and the times of its rows.
        time: The spine's column with the time of each prediction.
        created_by: The user who creates it.
        as_of: One of `AS_OF`.
        through: The spine's last time, to compute the features from the sources; None to read them
            from the views' tables.
        noted: The text that the list of training sets keeps for the spine (default: its query).
    """

    name: str
    version: int
    service: str
    spine: str
    time: str
    created_by: str
    as_of: str = "scheduled"
    through: datetime | None = None
    noted: str = ""


def table(dialect_name: str, name: str, version: int) -> str:
    """Return the quoted name of one version of a training set."""
    return qualified(dialect(dialect_name), naming.DATASETS, naming.dataset(name, version))


def instant(d: Dialect, time: str) -> str:
    """Render the prediction time of a spine's row; null if the column is null or infinite."""
    name = d.quote(time)
    endless = d.endless(name)
    return f"CASE WHEN NOT {endless} THEN {d.utc(name)} END" if endless else d.utc(name)


def key_tables(
    views: Sequence[ViewSpec], d: Dialect
) -> tuple[list[tuple[str, list[str]]], dict[str, str]]:
    """Return the common tables of a spine's distinct keys with columns, and view name -> table."""
    keys = {view.name: tuple(name for name, _ in view.keys) for view in views}
    # Views with equal keys share a table.
    names = {
        columns: f"plane_keys_{index}" for index, columns in enumerate(dict.fromkeys(keys.values()))
    }
    tables = [(name, [d.quote(column) for column in columns]) for columns, name in names.items()]
    return tables, {view: names[columns] for view, columns in keys.items()}


def check_spine(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> None:
    """Check the columns of a spine.

    It must have a time, every key and every request field, of the right types, and no column with
    the name of a feature.

    Raises:
        Problems: all problems of the spine.
    """
    problems: list[PlaneError] = []
    listed = ", ".join(f"{name} ({column_type})" for name, column_type in columns.items())
    known = f"its columns are: {listed}"
    service = manifest.service(dataset.service)
    expected = {dataset.time: "timestamp"}
    for view in manifest.views_of(service):
        expected |= dict(view.keys)
    expected |= request_types(service)
    for name, canonical in expected.items():
        if name not in columns:
            text = f"the spine has no column {name!r} ({canonical})"
            problems.append(PlaneError(text, hint=known))
        elif columns[name] != canonical:
            text = f"the spine's column {name!r} is {columns[name]}, but must be {canonical}"
            problems.append(PlaneError(text, hint=f"cast it in the spine's query; {known}"))
    names = {name.lower() for name in feature_types(manifest, service)}
    for name in columns:
        if name.lower() in {*names, "plane_row", "plane_at"}:
            problem = "the name of a feature" if name.lower() in names else "a reserved name"
            hint = "rename it in the spine's query"
            problems.append(PlaneError(f"the spine's column {name!r} has {problem}", hint=hint))
    if problems:
        raise Problems(problems)


def _history(manifest: Manifest, view: ViewSpec, dataset: Dataset) -> str:
    if dataset.through is not None:
        return inline.history(view)
    return qualified(
        dialect(manifest.dialect), manifest.schema, naming.history(view.name, view.fingerprint)
    )


def _columns(manifest: Manifest, view: ViewSpec, service: ServiceSpec, served: bool) -> list[str]:
    """List the columns of a history that the training set needs."""
    d = dialect(manifest.dialect)
    features = [d.quote(feature) for name, feature in service.features if name == view.name]
    return [*(["expires_at"] if view.ttl else []), *(["plane__to"] if served else []), *features]


def _spine_column(d: Dialect, name: str, request: str | None, owner: Owner) -> str:
    column = f"s.{d.quote(name)}"
    if request is None:
        return column
    label = f"request field '{name}' ({request})"
    return whole(column, request, label, owner, d) or d.from_user(column, request)


def prepare(manifest: Manifest, dataset: Dataset) -> list[Statement]:
    """List the statements that must run before a training set is created."""
    d = dialect(manifest.dialect)
    created = functions(d, manifest, manifest.service(dataset.service))
    # A training set from sources needs no deployment, so the functions' schema may be missing.
    schema = Statement(
        "create the schema", f"CREATE SCHEMA IF NOT EXISTS {d.quote(manifest.schema)}"
    )
    return [schema, *created] if created and dataset.through is not None else created


def nulls_query(manifest: Manifest, dataset: Dataset) -> str:
    """Render a query that counts the nulls of each required request field; empty without fields."""
    d = dialect(manifest.dialect)
    fields = manifest.service(dataset.service).request
    names = [d.quote(field.name) for field in fields if not field.nullable]
    counts = ", ".join(f"count(*) - count({name}) AS {name}" for name in names)
    return f"SELECT {counts} FROM ({dataset.spine}\n) AS spine" if names else ""


def query(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> str:
    """Render the rows of a training set as a query that writes nothing.

    Args:
        manifest: the deployed manifest.
        dataset: the training set.
        columns: the spine's columns with their types, checked by `check_spine`.
    """
    d = dialect(manifest.dialect)
    service = manifest.service(dataset.service)
    views = manifest.views_of(service)
    aliases = {view.name: f"h{index}" for index, view in enumerate(views)}
    served = dataset.as_of == "served"
    requested = request_types(service)
    types = requested | feature_types(manifest, service)
    spine = Owner(f"training set '{dataset.name}'")
    folded = {name: name.lower() if d.folds_case else name for name in (*columns, *requested)}
    fields = {folded[name]: canonical for name, canonical in requested.items()}
    values = []
    for view_name, feature_name in service.features:
        view, alias = manifest.view(view_name), aliases[view_name]
        value = f"{alias}.{d.quote(feature_name)}"
        ends = [
            f"{alias}.{end}"
            for end, applies in (("expires_at", view.ttl), ("plane__to", served))
            if applies
        ]
        if ends:
            value = (
                f"CASE WHEN {' AND '.join(f's.plane_at < {end}' for end in ends)} THEN {value} END"
            )
        fallback = {f.name: default_sql(f, d) for f in view.aggregates}.get(feature_name)
        if fallback is not None:
            value = f"coalesce({value}, {fallback})"
        values.append((d.quote(naming.feature(view_name, feature_name)), value))
    keys, asked = key_tables(views, d)
    computed = inline.Computed([], {})
    if dataset.through is not None:
        computed = inline.common_tables(
            manifest, views, dataset.through, inline.Asked("spine", asked)
        )
    context = {
        "spine": dataset.spine,
        "at": instant(d, dataset.time),
        "columns": [d.quote(name) for name in columns],
        "spine_columns": [
            (d.quote(name), _spine_column(d, name, fields.get(folded[name]), spine))
            for name in columns
        ],
        "selected": values,
        "finished": added(
            d, manifest.schema, "finished", service.calculations, types, owner_of(service)
        ),
        "names": [d.quote(name) for name in feature_types(manifest, service)],
        "joins": [
            {
                "history": history,
                "replaced": qualified(
                    d, manifest.schema, naming.history_replaced(view.name, view.fingerprint)
                ),
                "relation": aliases[view.name] if served else history,
                "since": "plane__from" if served else "valid_from",
                "alias": aliases[view.name],
                "key_table": asked[view.name],
                "asked": f"{asked[view.name]}_asked",
                "columns": _columns(manifest, view, service, served),
                "among": "" if served or dataset.through is not None else asked[view.name],
                "exactly": computed.effective.get(view.name),
                "on": [d.quote(name) for name, _ in view.keys],
                "features": [
                    d.quote(feature) for name, feature in service.features if name == view.name
                ],
            }
            for view in views
            for history in [_history(manifest, view, dataset)]
        ],
        "served": served,
        "calculated": bool(service.calculations),
        "key_tables": keys,
        "inline": computed.tables,
        "never": d.instant(_NEVER),
        "dialect": d,
        "ordered": d.ordered_tables,
        "prejoined": d.as_of_join != "on",
    }
    return template.render("sql/dataset.sql.j2", {"d": context}).strip()


def render_dataset(
    manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]
) -> list[Statement]:
    """Render the statements that create a training set and list it, to run as one transaction.

    See `query`.
    """
    d = dialect(manifest.dialect)
    name = table(manifest.dialect, dataset.name, dataset.version)
    rows, schema = query(manifest, dataset, columns), d.quote(naming.DATASETS)
    # Without transactions, a table may be left over from an attempt that failed halfway.
    replaced = "" if d.transactional_ddl else "OR REPLACE "
    created = f"CREATE {replaced}TABLE {name} AS\n{rows}"
    return [
        Statement(
            "create the schema of datasets",
            f"CREATE SCHEMA IF NOT EXISTS {schema}",
            "create_schema",
            schema,
        ),
        Statement("create the training set", created, "create_table_as", name, rows),
        create_schema(d),
        DATASETS.create(d),
        _note(manifest, dataset, name),
    ]


def _note(manifest: Manifest, dataset: Dataset, name: str) -> Statement:
    """Render the statement that lists a training set; running it again changes nothing."""
    d, service = dialect(manifest.dialect), manifest.service(dataset.service)
    definition = {
        "spine": dataset.noted or dataset.spine,
        "time": dataset.time,
        "as_of": dataset.as_of,
        "from_source": dataset.through is not None,
        "features": [naming.feature(view, feature) for view, feature in service.features],
        "request": request_types(service),
        "calculations": {c.name: c.expression or c.python for c in service.calculations},
        "fingerprints": {view.name: view.fingerprint for view in manifest.views_of(service)},
    }
    row = (
        d.text(dataset.name),
        str(dataset.version),
        d.text(dataset.service),
        d.text(msgspec.json.encode(definition).decode()),
        f"(SELECT count(*) FROM {name})",
        d.text(dataset.created_by),
        d.clock(),
    )
    listed = DATASETS.quoted(d)
    rows = (
        f"SELECT {', '.join(row)}\nFROM (SELECT 1 AS one) AS single\nWHERE NOT EXISTS (SELECT 1"
        f" FROM {listed} AS l WHERE l.name = {row[0]} AND l.version = {row[1]})"
    )
    return Statement(
        "record the training set", f"INSERT INTO {listed}\n{rows}", "insert", listed, rows
    )


def drop(dialect_name: str, name: str, version: int, definition: str) -> list[Statement]:
    """Render the statements that drop a training set's table and note it; they may be repeated.

    Args:
        dialect_name: of the warehouse.
        name: of the training set.
        version: its version.
        definition: its new definition in the list, as JSON.
    """
    d = dialect(dialect_name)
    dropped, listed = table(dialect_name, name, version), DATASETS.quoted(d)
    noted = (
        f"UPDATE {listed} SET definition = {d.text(definition)}"
        f" WHERE name = {d.text(name)} AND version = {version}"
    )
    return [
        Statement(
            "drop the training set", f"DROP TABLE IF EXISTS {dropped}", "drop_table", dropped
        ),
        Statement("note that it is dropped", noted, "update", listed),
    ]
