"""Check that a feature service calculates the same values in training and online."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from controlplane.compile.loader import Definitions
from controlplane.compile.project import Target, compile_manifest
from controlplane.definitions import BatchFeatureView, BatchSource, FeatureService, Selection
from controlplane.errors import PlaneError
from controlplane.testing.tables import table_of
from controlplane.verify import ServiceMismatch, compare_service
from controlplane.workspace.connectors import open_calculator, open_warehouse

_SHOWN = 10


def expect_parity(
    service: FeatureService,
    *,
    columns: Mapping[str, Mapping[str, str]],
    cases: int = 200,
    seed: int = 1,
) -> None:
    """Compare a service's calculations and realtime features in training and online.

    Random rows are calculated once like an online read and once like a training set. They include
    nulls, NaN, decimals, times and text in several scripts.

    Args:
        service: the feature service to test.
        columns: source -> column -> type, for all sources of the service's views.
        cases: number of random rows.
        seed: random seed.

    Raises:
        AssertionError: values differ; the message shows the features and their inputs.
        PlaneError: the columns of a source are missing, a definition is wrong, or the service has
            no calculations.
    """
    views: dict[int, BatchFeatureView] = {}
    for entry in service.features:
        view = entry.view if isinstance(entry, Selection) else entry
        if isinstance(view, BatchFeatureView):
            # By identity: a view holds lists and dictionaries, so it is not hashable.
            views[id(view)] = view
    sources: dict[str, BatchSource] = {
        source.name: source for view in views.values() for source in view.sources
    }
    entities = {id(entity): entity for view in views.values() for entity in view.entities}
    warehouse = open_warehouse("duckdb", {"path": ":memory:"})
    try:
        for name, source in sources.items():
            readers = [reader for reader in sources.values() if reader.table == source.table]
            described = [reader for reader in readers if reader.name in columns]
            if not described:
                hint = f"pass columns={{{name!r}: {{...}}}}"
                raise PlaneError(f"the columns of source {name!r} are missing", hint=hint)
            # Several sources may read one table: create it once.
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
            text = f"feature service {service.name!r} has no calculations to compare"
            raise PlaneError(
                text, hint="add calculations or realtime features to it, or remove this test"
            )
        report = compare_service(manifest, spec, warehouse, open_calculator, cases=cases, seed=seed)
    finally:
        warehouse.close()
    if report.mismatches:
        differences = "\n".join(map(_difference, report.mismatches[:_SHOWN]))
        raise AssertionError(
            f"{report.mismatch_count} of {report.compared} values differ, seed {seed}\n\n"
            f"{differences}"
        )


def _difference(mismatch: ServiceMismatch) -> str:
    inputs = ", ".join(f"{name}={value!r}" for name, value in mismatch.given.items())
    return (
        f"{mismatch.feature}: {mismatch.online!r} at a read, {mismatch.training!r} in training\n"
        f"  from {inputs}"
    )
