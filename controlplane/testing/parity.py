"""Whether what a feature service calculates is the same in training and online."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.compile.loader import Definitions
from controlplane.compile.project import Target, compile_manifest
from controlplane.definitions import BatchFeatureView, BatchSource, FeatureService, Selection
from controlplane.errors import PlaneError
from controlplane.testing.tables import table_of
from controlplane.verify import ServiceMismatch, compare_service
from controlplane.workspace.project import open_calculator, open_warehouse

_SHOWN = 10


def expect_parity(
    service: FeatureService,
    *,
    columns: Mapping[str, Mapping[str, str]],
    cases: int = 200,
    seed: int = 1,
) -> None:
    """Compute a service's calculations and realtime features of random rows as a reader does and as
    a training set does, and compare every value. Nulls, NaN, decimals, times and texts of any
    script are among them.

    Args:
        service: the one that is tested.
        columns: source -> column -> type, of every source of the service's views; no rows are
            needed.
        cases: how many rows.
        seed: which ones.

    Raises:
        AssertionError: values differ; it shows the features, and what they were computed from.
        PlaneError: a source's columns are not given, the definition is wrong, or the service
            calculates nothing.
    """
    views: dict[int, BatchFeatureView] = {}
    for entry in service.features:
        view = entry.view if isinstance(entry, Selection) else entry
        if isinstance(view, BatchFeatureView):
            views[id(view)] = view
    sources: dict[str, BatchSource] = {
        source.name: source for view in views.values() for source in view.sources
    }
    entities = {id(entity): entity for view in views.values() for entity in view.entities}
    warehouse = open_warehouse("duckdb", {"path": ":memory:"})
    try:
        for name, source in sources.items():
            readers = [one for one in sources.values() if one.table == source.table]
            described = [one for one in readers if one.name in columns]
            if not described:
                hint = f"give columns={{{name!r}: {{...}}}}"
                raise PlaneError(f"the columns of source {name!r} are not given", hint=hint)
            if source is described[0]:
                warehouse.execute(table_of(source, readers, [], columns[name]).statements())
        definitions = Definitions(
            list(entities.values()), list(sources.values()), list(views.values()), [service]
        )
        target = Target(
            "test", "test", "duckdb", "features", None, Path(service.location.file).parent
        )
        manifest = compile_manifest(definitions, target, warehouse)
        [spec] = manifest.services
        if not spec.calculations:
            text = f"feature service {service.name!r} calculates nothing: it is the same everywhere"
            raise PlaneError(text, hint="give it calculations or realtime features")
        report = compare_service(manifest, spec, warehouse, open_calculator, cases=cases, seed=seed)
    finally:
        warehouse.close()
    if report.mismatches:
        told = "\n".join(map(_told, report.mismatches[:_SHOWN]))
        raise AssertionError(
            f"{report.mismatch_count} of {report.compared} values differ, seed {seed}\n\n{told}"
        )


def _told(found: ServiceMismatch) -> str:
    given = ", ".join(f"{name}={value!r}" for name, value in found.given.items())
    return (
        f"{found.feature}: {found.online!r} at a read, {found.training!r} in training\n  from"
        f" {given}"
    )
