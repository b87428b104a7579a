"""Reads feature vectors: one round trip for all views and all entities of a request.

Which version of a view is read is what the store's serving hash says, looked up once in `refresh_seconds`; a version
that the reader's layout does not know (deployed after the reader started) is not read: it stays with its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, overload

import msgspec

from controlplane import codec, naming
from controlplane.errors import PlaneError
from controlplane.ports import Calculator, OnlineStore
from controlplane.serving.layout import Calculations, ServiceLayout, ViewLayout
from controlplane.serving.vector import FeatureVector, Row, Status
from controlplane.types import MICROSECOND, micros

_MISSING: Row = (Status.MISSING, None)


class OnlineReader:
    """Reads one feature service. Safe to share between threads.

    Args:
        store: where the values are.
        service: which values, and how they are laid out.
        clock: the environment's now, in UTC; decides what has expired.
        refresh_seconds: how long it may take to see that another version is served.
        calculator: runs the query of the service's calculations; needed where it has some.

    Raises:
        PlaneError: the first version of a view lacks a feature that the service reads, or there is no calculator.
    """

    def __init__(
        self,
        store: OnlineStore,
        service: ServiceLayout,
        clock: Callable[[], datetime],
        *,
        refresh_seconds: float = 5.0,
        calculator: Calculator | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._refresh_seconds = refresh_seconds
        self._serving = naming.serving_hash(service.namespace)
        self._known: dict[str, dict[str, _View]] = {}
        defaults: dict[str, dict[str, Any]] = {}
        for version in service.views:
            if version.view not in defaults:
                defaults[version.view] = _defaults(version)
            ready = _View(service.namespace, version, defaults[version.view])
            self._known.setdefault(version.view, {})[version.version] = ready
        self._views = _Views([next(iter(versions.values())) for versions in self._known.values()])
        names = [naming.feature(view, feature) for view, chosen in defaults.items() for feature in chosen]
        self._calculated: _Calculated | None = None
        if service.calculations is not None:
            if calculator is None:
                raise PlaneError(f"feature service {service.name!r} has calculations, and nothing to run them with")
            self._calculated = _Calculated(service.calculations, calculator, names)
            names += service.calculations.names
        self._places = {name: place for place, name in enumerate(names)}
        self._refresh_at = -float("inf")

    @property
    def feature_names(self) -> list[str]:
        """The names of every vector, in order."""
        return list(self._places)

    @property
    def key_names(self) -> list[str]:
        """The keys that a request must give, in order."""
        return list(dict.fromkeys(name for view in self._views.all for name, _ in view.keys))

    @property
    def versions(self) -> dict[str, str]:
        """The version of each view that was read last."""
        return {view.name: view.version for view in self._views.all}

    @overload
    def get(self, keys: Mapping[str, Any]) -> FeatureVector: ...

    @overload
    def get(self, keys: Sequence[Mapping[str, Any]]) -> list[FeatureVector]: ...

    def get(self, keys: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> FeatureVector | list[FeatureVector]:
        """The vector of one entity, or one for each of several, in order.

        Args:
            keys: name -> value, of the right Python types; null where there is no entity. Other names are ignored.

        Raises:
            PlaneError: a key is not given or not of its type.
            TransientError: the store can't be reached now.
            PermanentError: the store refuses, or holds what is no value of the view.
        """
        if isinstance(keys, Mapping):
            return self._read([keys])[0]
        return self._read(keys)

    def _read(self, requests: Sequence[Mapping[str, Any]]) -> list[FeatureVector]:
        self._refresh()
        views = self._views
        names = [name for request in requests for name in views.keys(request)]
        found = iter(self._store.read([name for name in names if name is not None]))
        answers = iter([None if name is None else next(found) for name in names])
        now_us = micros(self._clock())
        read: list[tuple[list[Any], list[Row]]] = []
        for _ in requests:
            values: list[Any] = []
            rows: list[Row] = []
            for view in views.all:
                view.read(next(answers), now_us, values, rows)
            read.append((values, rows))
        if self._calculated is not None and read:
            self._calculated.add(read)
        return [FeatureVector(self._places, values, rows) for values, rows in read]

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._refresh_at:
            return
        serving = self._store.get_fields(self._serving)
        self._views = _Views(
            [
                versions.get(serving.get(view.encode(), b"").decode(), next(iter(versions.values())))
                for view, versions in self._known.items()
            ]
        )
        self._refresh_at = now + self._refresh_seconds


class _View:
    """One version of one view, ready to be read.

    Args:
        namespace: of the environment.
        view: the version.
        features: the features that are read, and their defaults.
    """

    def __init__(self, namespace: str, view: ViewLayout, features: Mapping[str, Any]) -> None:
        self.name, self.version = view.view, view.version
        self.prefix = naming.online_prefix(namespace, view.view, view.version)
        self.keys = tuple((view.request_keys.get(name, name), kind) for name, kind in view.layout.keys)
        self._layout = msgspec.structs.replace(view.layout, keys=self.keys)  # so that errors speak of a request's names
        self._decode = codec.decoder(view.layout)
        self._ttl_us = None if view.layout.ttl is None else view.layout.ttl // MICROSECOND
        self._defaults = list(features.values())
        places = {field.name: place for place, field in enumerate(view.layout.fields, start=2)}
        self._places = [places.get(feature) for feature in features]
        self._plain = self._places == list(places.values())  # all features, in the order of the value

    def entity(self, request: Mapping[str, Any]) -> bytes | None:
        """What stands between the braces of the row's key; None where a part of it is null."""
        for name, kind in self.keys:
            if name not in request:
                raise PlaneError(
                    f"feature view {self.name!r} is read by the key {name!r} ({kind}), which is not given",
                    hint=f"give {name}=..., or None where there is no such entity",
                )
            if request[name] is None:
                return None
        return codec.entity_key(self._layout, request)

    def read(self, value: bytes | None, now_us: int, values: list[Any], rows: list[Row]) -> None:
        """Add the selected features to `values`, and to `rows` how each was found."""
        row, found = self._found(value, now_us)
        if found is not None and self._plain:
            values += found[2:]
            rows += [row] * len(self._places)
            return
        for place, default in zip(self._places, self._defaults, strict=True):
            if found is not None and place is not None:
                values.append(found[place])
                rows.append(row)
            else:
                values.append(list(default) if isinstance(default, tuple) else default)
                rows.append(_MISSING if found is not None else row)

    def _found(self, value: bytes | None, now_us: int) -> tuple[Row, Sequence[Any] | None]:
        if value is None:
            return _MISSING, None
        found = self._decode(value)
        effective_us = found[1]
        if self._ttl_us is not None and now_us >= effective_us + self._ttl_us:
            return (Status.EXPIRED, effective_us), None
        return (_MISSING, None) if len(found) == 2 else ((Status.PRESENT, effective_us), found)


class _Calculated:
    """A service's calculations, ready to be added to what was read; `names` are the features in its order."""

    def __init__(self, calculations: Calculations, calculator: Calculator, names: Sequence[str]) -> None:
        self._calculator = calculator
        self._inputs = [names.index(name) for name in calculations.inputs]
        found = (calculations.sources[name] for name in calculations.names)
        self._sources = [[names.index(name) for name in sources] for sources in found]

    def add(self, read: Sequence[tuple[list[Any], list[Row]]]) -> None:
        """Add the calculations of each entity behind its values, and behind its rows how their features were found."""
        columns = [[values[place] for values, _ in read] for place in self._inputs]
        found = self._calculator.compute(columns or [[True] * len(read)])
        for (values, rows), calculated in zip(read, found, strict=True):
            values.extend(calculated)
            rows.extend(_newest([rows[place] for place in sources]) for sources in self._sources)


def _newest(rows: Sequence[Row]) -> Row:
    """How a calculation was found: present if any of its features was, and counting from the newest of them."""
    present = [since for status, since in rows if status is Status.PRESENT and since is not None]
    if present or not rows:
        return Status.PRESENT, max(present, default=None)
    return next((row for row in rows if row[0] is Status.EXPIRED), rows[0])


class _Views:
    """The versions that are read now; those with the same keys write an entity only once."""

    def __init__(self, views: list[_View]) -> None:
        self.all = views
        leaders: dict[tuple[tuple[str, str], ...], _View] = {}
        for view in views:
            leaders.setdefault(view.keys, view)
        self._leaders = list(leaders.values())
        self._prefixes = [(view.prefix, list(leaders).index(view.keys)) for view in views]

    def keys(self, request: Mapping[str, Any]) -> list[bytes | None]:
        """The key of each view's row; None where a part of it is null."""
        entities = [leader.entity(request) for leader in self._leaders]
        return [
            None if (entity := entities[leader]) is None else codec.row_key(prefix, entity)
            for prefix, leader in self._prefixes
        ]


def _defaults(view: ViewLayout) -> dict[str, Any]:
    """The features that are read of a view, and their defaults."""
    known = {field.name: field.default for field in view.layout.fields}
    if unknown := [feature for feature in view.features if feature not in known]:
        raise PlaneError(f"feature view {view.view!r} has no {', '.join(unknown)} in version {view.version}")
    return {feature: known[feature] for feature in view.features}
