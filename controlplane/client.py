"""What a model holds: a connection that reads features online, and nothing else of the project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from controlplane.sdk import ControlPlane
from controlplane.serving import FeatureVector, OnlineReader


class FeatureClient:
    """Reads features online: `FeatureClient("path/to/project").get("late_arrival", {"origin": "JFK"})`.

    Args:
        directory: the project's folder, or one inside it.
        environment: its name; PLANE_ENV unless given, else `local`, else the only one.
    """

    def __init__(self, directory: str | Path = ".", environment: str | None = None) -> None:
        self._plane = ControlPlane(directory, environment)
        self._readers: dict[str, OnlineReader] = {}

    def get(self, service: str, keys: Mapping[str, Any], request: Mapping[str, Any] | None = None) -> FeatureVector:
        """The features of one entity; a key that is unknown gives nulls, and counts of 0.

        Args:
            service: the feature service.
            keys: name -> value.
            request: name -> value of the fields of the service's request, if it has one.
        """
        if service not in self._readers:
            self._readers[service] = self._plane.reader(service)
        return self._readers[service].get(keys, request)

    def close(self) -> None:
        """Close the connections."""
        self._plane.close()
