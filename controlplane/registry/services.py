"""One feature service: its features, and what is calculated from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane import naming
from controlplane.definitions import BatchFeatureView, Calculation, FeatureService, Selection
from controlplane.errors import Location
from controlplane.ports import Warehouse
from controlplane.registry.calculations import compile_calculations
from controlplane.registry.manifest import CalculationSpec, Feature, ServiceSpec, ViewSpec
from controlplane.registry.problems import Collector, listing


def compile_service(
    service: FeatureService,
    defined: Sequence[BatchFeatureView],
    views: Mapping[str, ViewSpec],
    warehouse: Warehouse,
    dialect: str,
    collector: Collector,
) -> ServiceSpec:
    """The service; what is wrong with it is noted.

    Args:
        service: the definition.
        defined: the project's feature views.
        views: those that are right, by name.
        warehouse: asked for the types of calculations.
        dialect: of their SQL.
        collector: takes the problems.
    """
    known_views = {id(view) for view in defined}
    features: dict[tuple[str, str], Feature] = {}
    calculations: list[Calculation] = []
    broken = False
    if not any(not isinstance(entry, Calculation) for entry in service.features):
        collector.add(f"feature service {service.name!r} has no features", service.location, "give features=[view]")
    entries: Sequence[object] = service.features  # a file may hold anything
    for entry in entries:
        if isinstance(entry, Calculation):
            calculations.append(entry)
            continue
        view, wanted, where = _entry(entry, service.location)
        if view is None or id(view) not in known_views:
            text = f"feature service {service.name!r}: {entry!r:.60} is not a feature view of this project"
            collector.add(text, service.location, "give feature views, view.only('feature'), or calculations")
            continue
        spec = views.get(view.name)
        if spec is None:
            broken = True
            continue
        known = {feature.name: feature for feature in spec.features}
        for name in known if wanted is None else wanted:
            if name not in known:
                text = f"feature service {service.name!r}: feature view {view.name!r} has no feature {name!r}"
                collector.add(text, where, f"its features are: {listing(known)}")
            elif (view.name, name) in features:
                text = f"feature service {service.name!r}: {naming.feature(view.name, name)} is named twice"
                collector.add(text, where, "name it once")
            else:
                features[view.name, name] = known[name]
    place = collector.place(service.location)
    found: list[CalculationSpec] = []
    if not broken:  # else nearly every name would be unknown
        kinds = {naming.feature(*name): feature.type for name, feature in features.items()}
        what = f"feature service {service.name!r}"
        found = compile_calculations(calculations, what, kinds, warehouse, dialect, collector)
    return ServiceSpec(service.name, tuple(features), service.owner, service.description, place, tuple(found))


def _entry(entry: object, service: Location) -> tuple[BatchFeatureView | None, Sequence[str] | None, Location]:
    if isinstance(entry, Selection):
        return entry.view, entry.features, entry.location
    return (entry if isinstance(entry, BatchFeatureView) else None), None, service
