"""One feature service: its features, what its callers give, and what is calculated from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controlplane.base import naming
from controlplane.base.ports import Warehouse
from controlplane.base.types import parse_type
from controlplane.compile.calculations import compile_calculations
from controlplane.compile.features import RESERVED
from controlplane.compile.problems import Collector, listing
from controlplane.definitions import (
    BatchFeatureView,
    Calculation,
    FeatureService,
    RealtimeFeature,
    RequestSource,
    Selection,
)
from controlplane.errors import Location
from controlplane.manifest.specs import (
    CalculationSpec,
    Feature,
    RequestField,
    ServiceSpec,
    ViewSpec,
)


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
    calculations: list[Calculation | RealtimeFeature] = []
    broken = False
    if not any(not isinstance(entry, Calculation | RealtimeFeature) for entry in service.features):
        collector.add(
            f"feature service {service.name!r} has no features",
            service.location,
            "give features=[view]",
        )
    entries: Sequence[object] = service.features  # a file may hold anything
    for entry in entries:
        if isinstance(entry, Calculation | RealtimeFeature):
            calculations.append(entry)
            continue
        view, wanted, where = _entry(entry, service.location)
        if view is None or id(view) not in known_views:
            text = (
                f"feature service {service.name!r}: {entry!r:.60} is not a feature view of this"
                " project"
            )
            collector.add(
                text, service.location, "give feature views, view.only('feature'), or calculations"
            )
            continue
        spec = views.get(view.name)
        if spec is None:
            broken = True
            continue
        known = {feature.name: feature for feature in spec.features}
        for name in known if wanted is None else wanted:
            if name not in known:
                text = (
                    f"feature service {service.name!r}: feature view {view.name!r} has no feature"
                    f" {name!r}"
                )
                collector.add(text, where, f"its features are: {listing(known)}")
            elif (view.name, name) in features:
                text = (
                    f"feature service {service.name!r}: {naming.feature(view.name, name)} is named"
                    " twice"
                )
                collector.add(text, where, "name it once")
            else:
                features[view.name, name] = known[name]
    place = collector.located(service.location)
    keys = {name: view for view, _ in features for name, _ in views[view].keys}
    request = _request(
        service.request, f"feature service {service.name!r}", service.location, keys, collector
    )
    found: list[CalculationSpec] = []
    if not broken:  # else nearly every name would be unknown
        kinds = {one.name: one.type for one in request}
        kinds |= {naming.feature(*name): feature.type for name, feature in features.items()}
        what = f"feature service {service.name!r}"
        found = compile_calculations(calculations, what, kinds, warehouse, dialect, collector)
    return ServiceSpec(
        service.name,
        tuple(features),
        service.owner,
        service.description,
        place,
        tuple(found),
        tuple(request),
    )


def _request(
    source: object, service: str, where: Location, keys: Mapping[str, str], collector: Collector
) -> list[RequestField]:
    """The fields that are right; `keys` maps the keys of the service to a view that has them."""
    if source is None:
        return []
    if not isinstance(source, RequestSource):
        text = f"{service}: request must be a RequestSource, not {type(source).__name__}"
        collector.add(text, where, 'give RequestSource("name", fields={"field": "type"})')
        return []
    what = f"{service}, request {source.name!r}"
    if not isinstance(source.name, str) or not naming.is_name(source.name):
        collector.add(
            f"{what}: that is not a name", source.location, naming.name_remedy(source.name)
        )
    if not source.fields:
        collector.add(f"{what} has no fields", source.location, 'give fields={"field": "type"}')
    for name in source.nullable:
        if name not in source.fields:
            text = f"{what}: nullable names {name!r}, which is no field of it"
            collector.add(text, source.location, f"its fields are: {listing(source.fields)}")
    found, taken = list[RequestField](), set[str]()
    lower = {name.lower(): view for name, view in keys.items()}
    for name, kind in source.fields.items():
        one = f"{what}, field {name!r}"
        if not isinstance(name, str) or not naming.is_name(name) or name.lower() in RESERVED:
            hint = f"{naming.name_remedy(name)}; names of ours are: {listing(RESERVED)}"
            collector.add(f"{one}: that can't name a field", source.location, hint)
        elif name.lower() in lower:
            text = f"{one} has the name of a key of feature view {lower[name.lower()]!r}"
            collector.add(text, source.location, "choose another")
        elif name.lower() in taken:
            collector.add(
                f"{one} is named twice",
                source.location,
                "name it once; capitals make no difference",
            )
        canonical = collector.parsed(one, parse_type, kind, source.location)
        taken.add(str(name).lower())
        if canonical is not None:
            found.append(RequestField(str(name), canonical, name in source.nullable))
    return found


def _entry(
    entry: object, service: Location
) -> tuple[BatchFeatureView | None, Sequence[str] | None, Location]:
    if isinstance(entry, Selection):
        return entry.view, entry.features, entry.location
    return (entry if isinstance(entry, BatchFeatureView) else None), None, service
