"""Turns a deployed feature service into the layout that its readers need."""

from __future__ import annotations

from collections.abc import Sequence

from controlplane.errors import PlaneError
from controlplane.manifest.specs import Manifest, ServiceSpec
from controlplane.release.layout import layout
from controlplane.serving.layout import Calculations, ServiceLayout, ViewLayout


def service_layout(
    manifest: Manifest, service: str, earlier: Sequence[Manifest] = ()
) -> ServiceLayout:
    """Return the layout of a feature service in the online store.

    Args:
        manifest: the deployed manifest.
        service: the name of the service.
        earlier: the manifests that were deployed before, newest first. A redefined view is read in
            its old version until the new one is complete.

    Raises:
        PlaneError: there is no such service, or one of its views is not kept online.
    """
    spec = manifest.service(service)
    views = manifest.views_of(spec)
    offline = [view.name for view in views if not view.online]
    if offline:
        text = (
            f"feature service {service!r} reads views that are not kept online:"
            f" {', '.join(offline)}"
        )
        raise PlaneError(text, hint="declare online=True and deploy")
    names = [view.name for view in views]
    old = [view for m in earlier for view in m.views if view.name in names and view.online]
    # The newest versions first: the layout's first version of a view decides its features.
    versions = {(view.name, view.fingerprint): view for view in [*views, *old]}
    return ServiceLayout(
        name=service,
        namespace=manifest.namespace,
        views=tuple(
            ViewLayout(
                v.name,
                v.fingerprint,
                layout(v),
                tuple(f for name, f in spec.features if name == v.name),
            )
            for v in versions.values()
        ),
        calculations=_calculations(manifest, spec),
        request=spec.request,
    )


def _calculations(manifest: Manifest, service: ServiceSpec) -> Calculations | None:
    if not service.calculations:
        return None
    # lazy: it needs the SQL room and Jinja, and most models read services without calculations
    from controlplane.sql.calculations import in_memory

    inputs, query, made = in_memory(manifest, service)
    # A request field has no row, so it does not decide the status of a calculation.
    sources: dict[str, tuple[str, ...]] = {field.name: () for field in service.request}
    for calculation in service.calculations:
        # A calculation comes after those that it reads, so their features are known.
        features = [f for name in calculation.inputs for f in sources.get(name, (name,))]
        sources[calculation.name] = tuple(dict.fromkeys(features))
    names, types = zip(*((c.name, c.type) for c in service.calculations), strict=True)
    return Calculations(names, types, inputs, query, sources, made)
