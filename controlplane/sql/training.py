"""The SQL of a training set: a spine, and every feature of a service as it was visible at each
row's time."""

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
from controlplane.sql.calculations import added, functions, given, kinds, owner_of
from controlplane.sql.control_tables import DATASETS
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.ranges import Owner, whole
from controlplane.sql.statements import split
from controlplane.sql.tables import qualified

AS_OF = ("scheduled", "served")
"""What a training set may say: values as they should have been visible, or as the tables really
showed them."""
_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True)
class Dataset:
    """What a training set is made of. `spine` is a query; its column `time` is when each prediction
    is made; `as_of` is one of `AS_OF`. With `through`, the spine's last time, features are computed
    from the sources up to there. `noted` is what the list of training sets says of the spine; its
    query unless given."""

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
    """The quoted name of one version of a training set."""
    return qualified(dialect(dialect_name), naming.DATASETS, naming.dataset(name, version))


def instant(d: Dialect, time: str) -> str:
    """When the prediction of a spine's row is made: null where its column `time` is null or
    infinite."""
    name = d.quote(time)
    endless = d.endless(name)
    return f"CASE WHEN NOT {endless} THEN {d.utc(name)} END" if endless else d.utc(name)


def key_tables(
    views: Sequence[ViewSpec], d: Dialect
) -> tuple[list[tuple[str, list[str]]], dict[str, str]]:
    """The common tables of a spine's different keys, each with its columns.

    And which of them each view has.
    """
    keys = {view.name: tuple(name for name, _ in view.keys) for view in views}
    names = {
        columns: f"plane_keys_{place}" for place, columns in enumerate(dict.fromkeys(keys.values()))
    }
    tables = [(name, [d.quote(column) for column in columns]) for columns, name in names.items()]
    return tables, {view: names[columns] for view, columns in keys.items()}


def views_of(manifest: Manifest, service: ServiceSpec) -> list[ViewSpec]:
    """The views that a service reads, in the order of its features."""
    names = dict.fromkeys(view for view, _ in service.features)
    return [manifest.view(name) for name in names]


def check_spine(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> None:
    """Check that the spine has a time, every key and request field, of the right types, and no
    feature's name.

    Raises:
        Problems: all that is wrong with it.
    """
    problems: list[PlaneError] = []
    known = f"its columns are: {', '.join(f'{name} ({kind})' for name, kind in columns.items())}"
    service = manifest.service(dataset.service)
    expected = {dataset.time: "timestamp"}
    for view in views_of(manifest, service):
        expected |= dict(view.keys)
    expected |= given(service)
    for name, kind in expected.items():
        if name not in columns:
            problems.append(PlaneError(f"the spine has no column {name!r} ({kind})", hint=known))
        elif columns[name] != kind:
            text = f"the spine's column {name!r} is {columns[name]}, it must be {kind}"
            problems.append(PlaneError(text, hint=f"cast it in the spine's query; {known}"))
    names = {name.lower() for name in kinds(manifest, service)}
    for name in columns:
        if name.lower() in {*names, "plane_row", "plane_at"}:
            what = "has the name of a feature" if name.lower() in names else "has a reserved name"
            hint = "rename it in the spine's query"
            problems.append(PlaneError(f"the spine's column {name!r} {what}", hint=hint))
    if problems:
        raise Problems(problems)


def _history(manifest: Manifest, view: ViewSpec, dataset: Dataset) -> str:
    if dataset.through is not None:
        return inline.history(view)
    return qualified(
        dialect(manifest.dialect), manifest.schema, naming.history(view.name, view.fingerprint)
    )


def _wanted(manifest: Manifest, view: ViewSpec, service: ServiceSpec, served: bool) -> list[str]:
    """The columns of a history that are asked for."""
    d = dialect(manifest.dialect)
    features = [d.quote(feature) for name, feature in service.features if name == view.name]
    return [*(["expires_at"] if view.ttl else []), *(["plane__to"] if served else []), *features]


def _spine_column(d: Dialect, name: str, request: str | None, owner: Owner) -> str:
    column = f"s.{d.quote(name)}"
    if request is None:
        return column
    return whole(column, request, f"request field '{name}' ({request})", owner, d) or d.given(
        column, request
    )


def prepare(manifest: Manifest, dataset: Dataset) -> list[Statement]:
    """What must be in the warehouse before the training set is created: the functions of realtime
    features."""
    d = dialect(manifest.dialect)
    made = functions(d, manifest, manifest.service(dataset.service))
    # Whoever computes from sources may not have deployed anything.
    schema = Statement(
        "create the schema", f"CREATE SCHEMA IF NOT EXISTS {d.quote(manifest.schema)}"
    )
    return [schema, *made] if made and dataset.through is not None else made


def nulls_query(manifest: Manifest, dataset: Dataset) -> str:
    """A query that counts the spine's nulls in each request field that may not be null.

    Empty if there is none.
    """
    d = dialect(manifest.dialect)
    names = [
        d.quote(one.name) for one in manifest.service(dataset.service).request if not one.nullable
    ]
    counts = ", ".join(f"count(*) - count({name}) AS {name}" for name in names)
    return f"SELECT {counts} FROM ({dataset.spine}\n) AS spine" if names else ""


def query(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> str:
    """The rows of a training set as a query that writes nothing; see `render_dataset`."""
    [made] = [
        s for s in render_dataset(manifest, dataset, columns) if s.name == "create the training set"
    ]
    return made.sql.partition(" AS\n")[2]


def render_dataset(
    manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]
) -> list[Statement]:
    """The statements that create a training set and note it, to be run as one transaction.

    Args:
        manifest: what is deployed.
        dataset: the training set.
        columns: what the spine returns, checked by `check_spine`.
    """
    d = dialect(manifest.dialect)
    service = manifest.service(dataset.service)
    views = views_of(manifest, service)
    aliases = {view.name: f"h{index}" for index, view in enumerate(views)}
    served = dataset.as_of == "served"
    requested = given(service)
    types, spine = requested | kinds(manifest, service), Owner(f"training set '{dataset.name}'")
    folded = {name: name.lower() if d.folds_case else name for name in (*columns, *requested)}
    fields = {folded[name]: kind for name, kind in requested.items()}
    values = []
    for view_name, feature_name in service.features:
        view, alias = manifest.view(view_name), aliases[view_name]
        value = f"{alias}.{d.quote(feature_name)}"
        ends = [
            f"{alias}.{end}"
            for end, one in (("expires_at", view.ttl), ("plane__to", served))
            if one
        ]
        if ends:
            value = (
                f"CASE WHEN {' AND '.join(f's.plane_at < {end}' for end in ends)} THEN {value} END"
            )
        fallback = {f.name: default_sql(f, d) for f in view.aggregates}.get(feature_name)
        if fallback is not None:
            value = f"coalesce({value}, {fallback})"
        values.append((d.quote(naming.feature(view_name, feature_name)), value))
    definition = {
        "spine": dataset.noted or dataset.spine,
        "time": dataset.time,
        "as_of": dataset.as_of,
        "from_source": dataset.through is not None,
        "features": [naming.feature(view, feature) for view, feature in service.features],
        "request": requested,
        "calculations": {c.name: c.expression or c.python for c in service.calculations},
        "fingerprints": {view.name: view.fingerprint for view in views},
    }
    keys, asked = key_tables(views, d)
    computed = inline.Computed([], {})
    if dataset.through is not None:
        computed = inline.common_tables(
            manifest, views, dataset.through, inline.Asked("spine", asked)
        )
    context = {
        "schema": d.quote(naming.DATASETS),
        "control": d.quote(naming.CONTROL_SCHEMA),
        "create_list": DATASETS.create(d).sql,
        "table": table(manifest.dialect, dataset.name, dataset.version),
        "list": DATASETS.quoted(d),
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
        "names": [d.quote(name) for name in kinds(manifest, service)],
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
                "wanted": _wanted(manifest, view, service, served),
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
        "ordered": d.framed,
        "name": d.text(dataset.name),
        "version": dataset.version,
        "service": d.text(dataset.service),
        "definition": d.text(msgspec.json.encode(definition).decode()),
        "created_by": d.text(dataset.created_by),
        "clock": d.clock(),
    }
    return split(template.render("sql/dataset.sql.j2", {"d": context}))
