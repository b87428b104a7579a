"""One feature service: its features, its request fields, and the calculations over both."""

from __future__ import annotations

import inspect
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
    """Compile a service; note what is wrong with it.

    Args:
        service: the definition.
        defined: the project's feature views.
        views: the valid views, by name.
        warehouse: describes calculations to get their types.
        dialect: of their SQL.
        collector: takes the problems.
    """
    subject = f"feature service {service.name!r}"
    # By identity: a view whose arguments are lists or dicts is not hashable.
    known_views = {id(view) for view in defined}
    features: dict[tuple[str, str], Feature] = {}
    calculations: list[Calculation | RealtimeFeature] = []
    broken = False
    if not any(not isinstance(entry, Calculation | RealtimeFeature) for entry in service.features):
        collector.add(f"{subject} has no features", service.location, "give features=[view]")
    entries: Sequence[object] = service.features  # a file may hold anything
    for entry in entries:
        if isinstance(entry, Calculation | RealtimeFeature):
            calculations.append(entry)
            continue
        view, selected, location = _entry(entry, service.location)
        if view is None or id(view) not in known_views:
            text = f"{subject}: {entry!r:.60} is not a feature view of this project"
            hint = "give feature views, view.only('feature'), or calculations"
            if inspect.isfunction(entry):
                name = entry.__qualname__.partition(".")[0]
                text = f"{subject}: the function {name!r} is not a feature view"
                hint = "write @batch_feature_view(...) above a function of the view's name"
            collector.add(text, service.location, hint)
            continue
        spec = views.get(view.name)
        if spec is None:
            broken = True
            continue
        known = {feature.name: feature for feature in spec.features}
        for name in known if selected is None else selected:
            if name not in known:
                text = f"{subject}: feature view {view.name!r} has no feature {name!r}"
                collector.add(text, location, f"its features are: {listing(known)}")
            elif (view.name, name) in features:
                text = f"{subject}: {naming.feature(view.name, name)} is listed twice"
                collector.add(text, location, "list it once")
            else:
                features[view.name, name] = known[name]
    service_location = collector.located(service.location)
    keys = {name: view for view, _ in features for name, _ in views[view].keys}
    request = _request(service.request, subject, service.location, keys, collector)
    specs: list[CalculationSpec] = []
    if not broken:  # without the features of a broken view, most inputs would count as unknown
        types = {field.name: field.type for field in request}
        types |= {naming.feature(*name): feature.type for name, feature in features.items()}
        specs = compile_calculations(calculations, subject, types, warehouse, dialect, collector)
    return ServiceSpec(
        service.name,
        tuple(features),
        service.owner,
        service.description,
        service_location,
        tuple(specs),
        tuple(request),
    )


def _request(
    source: object, service: str, location: Location, keys: Mapping[str, str], collector: Collector
) -> list[RequestField]:
    """Return the valid fields; `keys` maps each key of the service to a view that has it."""
    if source is None:
        return []
    if not isinstance(source, RequestSource):
        text = f"{service}: request must be a RequestSource, not {type(source).__name__}"
        collector.add(text, location, 'give RequestSource("name", fields={"field": "type"})')
        return []
    subject = f"{service}, request {source.name!r}"
    collector.name(subject, source.name, source.location)
    if not source.fields:
        collector.add(f"{subject} has no fields", source.location, 'give fields={"field": "type"}')
    for name in source.nullable:
        if name not in source.fields:
            text = f"{subject}: nullable names {name!r}, which is not one of its fields"
            collector.add(text, source.location, f"its fields are: {listing(source.fields)}")
    specs, taken = list[RequestField](), set[str]()
    lower = {name.lower(): view for name, view in keys.items()}
    for name, type_name in source.fields.items():
        field_subject = f"{subject}, field {name!r}"
        if not naming.is_name(name) or name.lower() in RESERVED:
            hint = f"{naming.name_remedy(name)}; reserved names are: {listing(RESERVED)}"
            collector.add(
                f"{field_subject}: this is not a valid name of a field", source.location, hint
            )
        elif name.lower() in lower:
            text = f"{field_subject} has the name of a key of feature view {lower[name.lower()]!r}"
            collector.add(text, source.location, "choose another")
        elif name.lower() in taken:
            collector.add(
                f"{field_subject} is listed twice",
                source.location,
                "declare it once; capitals make no difference",
            )
        # Also after a problem with the name, so that all problems of a field are reported.
        canonical = collector.parsed(field_subject, parse_type, type_name, source.location)
        taken.add(str(name).lower())
        if canonical is not None:
            specs.append(RequestField(str(name), canonical, name in source.nullable))
    return specs


def _entry(
    entry: object, service: Location
) -> tuple[BatchFeatureView | None, Sequence[str] | None, Location]:
    if isinstance(entry, Selection):
        return entry.view, entry.features, entry.location
    return (entry if isinstance(entry, BatchFeatureView) else None), None, service
