"""Read the online features of one entity."""

from __future__ import annotations

from collections.abc import Mapping

from controlplane.codec import Field, Layout, parse_key_text
from controlplane.serving import FeatureVector
from controlplane.workspace.project import Project


def get_text(
    project: Project, service: str, keys: Mapping[str, str], request: Mapping[str, str]
) -> FeatureVector:
    """See `ControlPlane.get_text`."""
    # If views declare different types for a key, the first view of the service decides.
    types = {
        name: key_type
        for view in reversed(project.layout(service).views)
        for name, key_type in view.layout.keys
    }
    # A layout must have a field; only its keys are used here.
    typed = parse_key_text(Layout(keys=tuple(types.items()), fields=(Field("any", "bool"),)), keys)
    reader = project.reader(service)
    return reader.get(typed, reader.request.parsed(request))
