"""Turns a read of a feature service into the store's keys, and the stored values into features.

No I/O is done here; see `online`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from controlplane import codec
from controlplane.base import naming
from controlplane.base.ports import Calculator
from controlplane.base.types import MICROSECOND, micros
from controlplane.codec import Field
from controlplane.errors import CalculationFailed, PermanentError, PlaneError
from controlplane.serving.layout import Calculations, ServiceLayout, ViewLayout
from controlplane.serving.request import RequestReader, Requests
from controlplane.serving.vector import FeatureVector, FeatureVectors, Names, Row, Status

_MISSING: Row = (Status.MISSING, None)
_PRESENT = Status.PRESENT


class ServiceReader:
    """Reads one feature service. Safe to share between threads.

    Args:
        service: the layout of the service's values.
        clock: returns the environment's current time in UTC, which decides what has expired.
        calculator: runs the query of the service's calculations; required if it has any.

    Raises:
        PlaneError: the first version of a view lacks a feature that the service reads, or there is
            no calculator.
    """

    def __init__(
        self,
        service: ServiceLayout,
        clock: Callable[[], datetime],
        *,
        calculator: Calculator | None = None,
    ) -> None:
        self.namespace = service.namespace
        self._clock = clock
        self.outdated = False
        self._known: dict[str, dict[str, _View]] = {}
        chosen: dict[str, list[Field]] = {}
        for version in service.views:
            if version.view not in chosen:
                chosen[version.view] = _features(version)
            ready = _View(service.namespace, version, chosen[version.view])
            self._known.setdefault(version.view, {})[version.version] = ready
        self.types = service.types
        names = [
            naming.feature(view, field.name) for view, fields in chosen.items() for field in fields
        ]
        self.request = RequestReader(service.name, service.request)
        self._calculated: _Calculated | None = None
        if service.calculations is not None:
            if calculator is None:
                raise PlaneError(
                    f"feature service {service.name!r} has calculations, but the reader has no"
                    " calculator"
                )
            self._calculated = _Calculated(
                service.calculations, calculator, names, self.request.names
            )
            names += service.calculations.names
        self._names = names
        self._views = self._reading(
            [next(iter(versions.values())) for versions in self._known.values()]
        )

    @property
    def feature_names(self) -> list[str]:
        """The names of the features of every vector, in order."""
        return list(self._names)

    @property
    def key_names(self) -> list[str]:
        """The names of the keys of an entity, in order."""
        return list(self.key_types)

    @property
    def key_types(self) -> dict[str, str]:
        """The names of the keys of an entity, in order, and their canonical types."""
        return {name: key_type for view in self._views.all for name, key_type in view.keys}

    @property
    def versions(self) -> dict[str, str]:
        """The version of each view that is read."""
        return {view.name: view.version for view in self._views.all}

    def serve(self, pointers: Mapping[str, str]) -> None:
        """Read the versions that the store's pointers name from now on: view -> fingerprint.

        A view without a pointer is read in the layout's first version. If the layout lacks a
        version, which is newer than this reader, the current version stays and `outdated` is set.
        """
        views, self.outdated = [], False
        for (view, versions), current in zip(self._known.items(), self._views.all, strict=True):
            named = pointers.get(view)
            version = next(iter(versions.values())) if named is None else versions.get(named)
            self.outdated |= version is None
            views.append(version or current)
        # Replaced as a whole: a read in another thread has all old or all new versions.
        self._views = self._reading(views)

    def _reading(self, views: list[_View]) -> _Views:
        sources = [] if self._calculated is None else self._calculated.sources
        return _Views(views, self._names, sources)

    def lookup(self, entities: Sequence[Mapping[str, Any]], request: Requests = None) -> Lookup:
        """Make the store's keys for a read.

        Args:
            entities: the key names and values of each entity, in the right Python types. A key is
                None if there is no such entity. Other names are ignored.
            request: the fields of the service's request: for all entities, or for each.

        Raises:
            PlaneError: a key or a request field is missing or not of its type.
        """
        request_values = self.request.columns(request, len(entities))
        views = self._views
        names = views.keys(entities)
        # Copying the list costs time at every read, and keys are seldom null.
        keys = (
            [name for name in names if name is not None]
            if None in names
            else cast("list[bytes]", names)
        )
        return Lookup(keys, names, views, len(entities), request_values)

    def vectors(self, lookup: Lookup, stored: Sequence[bytes | None]) -> FeatureVectors:
        """Return the vector of each entity, in order.

        Args:
            lookup: the lookup of these entities.
            stored: the store's values of the lookup's keys.

        Raises:
            CalculationFailed: a calculation can't be computed.
            PermanentError: a value is not one of its view.
        """
        # Keys with a null are not in the store, so the store was not asked for them.
        stored_by_name = stored
        if len(stored) < len(lookup.names):
            present = iter(stored)
            stored_by_name = [None if name is None else next(present) for name in lookup.names]
        views = lookup.views
        read = views.read(stored_by_name, lookup.entities, micros(self._clock()))
        if self._calculated is not None and read:
            self._calculated.add(read, views.sources, lookup.request_values)
        names = views.names
        return FeatureVectors(
            self.types,
            len(views.all),
            [FeatureVector(names, values, rows) for values, rows in read],
        )


class Lookup(NamedTuple):
    """The keys of one read, and what turns their values into features.

    Args:
        keys: the keys to read from the store.
        names: the key of each entity in each view; None if a part of it is null.
        views: the versions to read. They may change before the values arrive.
        entities: the number of entities.
        request_values: the values of each request field, one for each entity.
    """

    keys: list[bytes]
    names: list[bytes | None]
    views: _Views
    entities: int
    request_values: Mapping[str, Sequence[Any]]


class _View:
    """One version of one view, ready to be read.

    Args:
        namespace: the environment's namespace.
        view: the version.
        features: the features to read. A feature with another type in this version is lacking.
    """

    def __init__(self, namespace: str, view: ViewLayout, features: Sequence[Field]) -> None:
        self.name, self.version = view.view, view.version
        self.prefix = naming.online_prefix(namespace, view.view, view.version)
        self.keys = tuple(
            (view.request_keys.get(name, name), key_type) for name, key_type in view.layout.keys
        )
        self._decode = codec.decoder(view.layout)
        self._ttl_us = None if view.layout.ttl is None else view.layout.ttl // MICROSECOND
        self._defaults = [feature.default for feature in features]
        positions = {
            (field.name, field.type): position
            for position, field in enumerate(view.layout.fields, start=2)
        }
        self._positions = [positions.get((feature.name, feature.type)) for feature in features]
        # If all features are read in the order of the value, a slice replaces a loop.
        self._plain = self._positions == list(positions.values())
        self.lacks = [position is None for position in self._positions]
        self._texts = [
            (name, key_type, codec.key_text(name, key_type)) for name, key_type in self.keys
        ]

    def ends(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """Return the end of each row's key, in braces; None if a part of it is null."""
        parts = []
        for name, key_type, text in self._texts:
            try:
                parts.append(
                    [
                        None if (value := entity[name]) is None else text(value)
                        for entity in entities
                    ]
                )
            except KeyError:
                raise PlaneError(
                    f"feature view {self.name!r} is read by the key {name!r} ({key_type}), which is"
                    " not given",
                    hint=f"give {name}=..., or None if there is no such entity",
                ) from None
        if len(parts) == 1:
            return [
                None if text is None else codec.row_key(b"", text.encode()) for text in parts[0]
            ]
        together = zip(*parts, strict=True)
        return [
            None if None in key_parts else codec.row_key(b"", ":".join(key_parts).encode())
            for key_parts in together
        ]

    def read(
        self,
        stored: Sequence[bytes | None],
        now_us: int,
        read: Sequence[tuple[list[Any], list[Row]]],
    ) -> None:
        """Add each row's features and its status to the values and rows of its entity."""
        plain = self._plain
        expired_us = None if self._ttl_us is None else now_us - self._ttl_us
        for row_values, (values, rows) in zip(self._decode(stored), read, strict=True):
            row = _MISSING
            if row_values is not None:
                effective_us = row_values[1]
                # The tombstone of a key that lost its values has a time and no features.
                if expired_us is not None and effective_us <= expired_us:
                    row = (Status.EXPIRED, effective_us)
                elif len(row_values) > 2:
                    rows.append((_PRESENT, effective_us))
                    values.extend(row_values[2:] if plain else self._selected(row_values))
                    continue
            rows.append(row)
            values.extend(self._selected(None))

    def _selected(self, row_values: Sequence[Any] | None) -> Iterator[Any]:
        """Yield the selected features of a row, with defaults for a missing row or feature."""
        for position, default in zip(self._positions, self._defaults, strict=True):
            if row_values is not None and position is not None:
                yield row_values[position]
            else:
                # A copy: the caller may change the list that it gets.
                yield list(default) if isinstance(default, tuple) else default


class _Calculated:
    """A service's calculations, ready to be added to the values of a read.

    `names` are the features in the service's order, `request` the names of the request's fields.
    """

    def __init__(
        self,
        calculations: Calculations,
        calculator: Calculator,
        names: Sequence[str],
        request: Sequence[str],
    ) -> None:
        self._calculator = calculator
        self._inputs = [
            name if name in request else names.index(name) for name in calculations.inputs
        ]
        source_names = (calculations.sources[name] for name in calculations.names)
        self.sources = [[names.index(name) for name in sources] for sources in source_names]
        """The positions of the features that each calculation reads."""

    def add(
        self,
        read: Sequence[tuple[list[Any], list[Row]]],
        sources: Sequence[Sequence[int]],
        request_values: Mapping[str, Sequence[Any]],
    ) -> None:
        """Add the calculations to the values of each entity, and their statuses to its rows.

        `sources` has the rows that decide the status of each calculation.
        """
        # Columns, not rows: the calculator runs one query over all entities.
        columns = [
            request_values[position]
            if isinstance(position, str)
            else [values[position] for values, _ in read]
            for position in self._inputs
        ]
        try:
            results = self._calculator.compute(columns or [[True] * len(read)])
        except PermanentError as error:
            raise CalculationFailed(error.message, hint=error.hint) from None
        for (values, rows), calculated in zip(read, results, strict=True):
            values.extend(calculated)
            rows.extend([_newest([rows[owner] for owner in owners]) for owners in sources])


def _newest(rows: Sequence[Row]) -> Row:
    """Return the status of a calculation over rows, and its effective time.

    It is present if any of the rows is, as of the newest of them.
    """
    present = [since for status, since in rows if status is Status.PRESENT and since is not None]
    if present or not rows:
        return Status.PRESENT, max(present, default=None)
    return next((row for row in rows if row[0] is Status.EXPIRED), rows[0])


class _Views:
    """The versions that are read now.

    Args:
        views: the versions.
        names: the names of all features, then of the calculations.
        sources: the positions of the features that each calculation reads.
    """

    def __init__(
        self, views: list[_View], names: Sequence[str], sources: Sequence[Sequence[int]]
    ) -> None:
        self.all = views
        # Views with the same keys share the text of an entity: making it is the costly part.
        leaders: dict[tuple[tuple[str, str], ...], _View] = {}
        for view in views:
            leaders.setdefault(view.keys, view)
        self._leaders = list(leaders.values())
        self._prefixes = [(view.prefix, list(leaders).index(view.keys)) for view in views]
        # Features that a version lacks belong to one more row, which is always missing.
        owners = [
            len(views) if lacking else position
            for position, view in enumerate(views)
            for lacking in view.lacks
        ]
        self._lacking = len(views) in owners
        self.sources = [[owners[position] for position in positions] for positions in sources]
        """The rows of the features that each calculation reads."""
        calculated = range(len(views) + self._lacking, len(views) + self._lacking + len(sources))
        self.names = Names(names, [*owners, *calculated])

    def keys(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """Return the key of each view's row for each entity, entity by entity.

        A key is None if a part of it is null.
        """
        ends = zip(*[leader.ends(entities) for leader in self._leaders], strict=True)
        prefixes = self._prefixes
        return [
            None if (end := entity_ends[leader]) is None else prefix + end
            for entity_ends in ends
            for prefix, leader in prefixes
        ]

    def read(
        self, answers: Sequence[bytes | None], entities: int, now_us: int
    ) -> list[tuple[list[Any], list[Row]]]:
        """Return the values of each entity, and the rows that they are from.

        There is one row for each view, and one for the features that a version lacks. `answers` are
        the stored values of `keys`.
        """
        read: list[tuple[list[Any], list[Row]]] = [([], []) for _ in range(entities)]
        for position, view in enumerate(self.all):
            view.read(answers[position :: len(self.all)], now_us, read)
        if self._lacking:
            for _, rows in read:
                rows.append(_MISSING)
        return read


def _features(view: ViewLayout) -> list[Field]:
    """Return the features of a view that the service reads."""
    known = {field.name: field for field in view.layout.fields}
    if unknown := [feature for feature in view.features if feature not in known]:
        raise PlaneError(
            f"feature view {view.view!r} has no {', '.join(unknown)} in version {view.version}"
        )
    return [known[feature] for feature in view.features]
