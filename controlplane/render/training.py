"""The SQL of a training set: a spine, and every feature of a service as it was visible at each row's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from controlplane import naming, template
from controlplane.errors import PlaneError, Problems
from controlplane.ports import Statement
from controlplane.registry.manifest import Manifest, ServiceSpec, ViewSpec
from controlplane.render.aggregates import default
from controlplane.render.dialects import dialect
from controlplane.render.statements import split
from controlplane.render.views import qualified


@dataclass(frozen=True)
class Dataset:
    """What a training set is made of. `spine` is a query; its column `time` is when each prediction is made."""

    name: str
    version: int
    service: str
    spine: str
    time: str
    created_by: str


def table(manifest: Manifest, name: str, version: int) -> str:
    """The quoted name of one version of a training set."""
    return qualified(dialect(manifest.dialect), naming.DATASETS, naming.dataset(name, version))


def list_table(manifest: Manifest) -> str:
    """The quoted name of the table that lists all training sets."""
    return qualified(dialect(manifest.dialect), naming.CONTROL_SCHEMA, "datasets")


def views_of(manifest: Manifest, service: ServiceSpec) -> list[ViewSpec]:
    """The views that a service reads, in the order of its features."""
    names = dict.fromkeys(view for view, _ in service.features)
    return [manifest.view(name) for name in names]


def check_spine(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> None:
    """Check that the spine has a time and every key, of the right types, and no column of a feature's name.

    Raises:
        Problems: all that is wrong with it.
    """
    problems: list[PlaneError] = []
    known = f"its columns are: {', '.join(f'{name} ({kind})' for name, kind in columns.items())}"
    service = manifest.service(dataset.service)
    expected = {dataset.time: "timestamp"}
    for view in views_of(manifest, service):
        expected |= dict(view.keys)
    for name, kind in expected.items():
        if name not in columns:
            problems.append(PlaneError(f"the spine has no column {name!r} ({kind})", hint=known))
        elif columns[name] != kind:
            text = f"the spine's column {name!r} is {columns[name]}, it must be {kind}"
            problems.append(PlaneError(text, hint=f"cast it in the spine's query; {known}"))
    names = {naming.feature(view, feature).lower() for view, feature in service.features}
    for name in columns:
        if name.lower() in {*names, "plane_row", "plane_at"}:
            hint = "rename it in the spine's query"
            problems.append(PlaneError(f"the spine's column {name!r} has the name of a feature or of ours", hint=hint))
    if problems:
        raise Problems(problems)


def render_dataset(manifest: Manifest, dataset: Dataset, columns: Mapping[str, str]) -> list[Statement]:
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
    values = []
    for view_name, feature_name in service.features:
        view, alias = manifest.view(view_name), aliases[view_name]
        value = f"{alias}.{d.quote(feature_name)}"
        if view.ttl is not None:
            value = f"CASE WHEN s.plane_at < {alias}.expires_at THEN {value} END"
        fallback = {f.name: default(f) for f in view.aggregates}.get(feature_name)
        if fallback is not None:
            value = f"coalesce({value}, {d.empty_list() if fallback == () else fallback})"
        values.append((d.quote(naming.feature(view_name, feature_name)), value))
    definition = {
        "spine": dataset.spine,
        "time": dataset.time,
        "features": [naming.feature(view, feature) for view, feature in service.features],
        "fingerprints": {view.name: view.fingerprint for view in views},
    }
    context = {
        "schema": d.quote(naming.DATASETS),
        "table": table(manifest, dataset.name, dataset.version),
        "list": list_table(manifest),
        "spine": dataset.spine,
        "at": d.utc(d.quote(dataset.time)),
        "columns": [d.quote(name) for name in columns],
        "selected": values,
        "joins": [
            {
                "history": qualified(d, manifest.schema, naming.history(view.name, view.fingerprint)),
                "alias": aliases[view.name],
                "on": [d.quote(name) for name, _ in view.keys],
            }
            for view in views
        ],
        "name": d.text(dataset.name),
        "version": dataset.version,
        "service": d.text(dataset.service),
        "definition": d.text(msgspec.json.encode(definition).decode()),
        "created_by": d.text(dataset.created_by),
        "clock": d.clock(),
        **{name: d.type(name) for name in ("string", "int64", "timestamp")},
    }
    return split(template.render("sql/dataset.sql.j2", {"d": context}))
