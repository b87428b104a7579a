"""What a read of a feature service asks the store for, and what its answers mean.

No I/O: `online` does that.
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
from controlplane.serving.request import Given, RequestReader
from controlplane.serving.vector import FeatureVector, FeatureVectors, Names, Row, Status

_MISSING: Row = (Status.MISSING, None)
_PRESENT = Status.PRESENT


class ServiceReader:
    """One feature service. Safe to share between threads.

    Args:
        service: which values, and how they are laid out.
        clock: the environment's now, in UTC; decides what has expired.
        calculator: runs the query of the service's calculations; needed where it has some.

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
                    f"feature service {service.name!r} has calculations, and nothing to run them"
                    " with"
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
        """The names of every vector, in order."""
        return list(self._names)

    @property
    def key_names(self) -> list[str]:
        """The keys that a request must give, in order."""
        return list(self.key_types)

    @property
    def key_types(self) -> dict[str, str]:
        """The keys that a request must give, in order, and their canonical types."""
        return {name: kind for view in self._views.all for name, kind in view.keys}

    @property
    def versions(self) -> dict[str, str]:
        """The version of each view that is read."""
        return {view.name: view.version for view in self._views.all}

    def serve(self, pointers: Mapping[str, str]) -> None:
        """Read from now on the versions that the store's pointers name: view -> fingerprint.

        A view of which none is named is read in the first that the layout names. One that the
        layout does not know (deployed after this reader was made) is not read: its view stays with
        the one that is read now, and `outdated` says that a newer layout is needed.
        """
        views, self.outdated = [], False
        for (view, versions), now in zip(self._known.items(), self._views.all, strict=True):
            named = pointers.get(view)
            found = next(iter(versions.values())) if named is None else versions.get(named)
            self.outdated |= found is None
            views.append(found or now)
        self._views = self._reading(views)

    def _reading(self, views: list[_View]) -> _Views:
        sources = [] if self._calculated is None else self._calculated.sources
        return _Views(views, self._names, sources)

    def ask(self, entities: Sequence[Mapping[str, Any]], request: Given = None) -> Question:
        """What to ask the store for.

        Args:
            entities: for each its keys, name -> value, of the right Python types; null where there
                is no entity. Other names are ignored.
            request: the fields of the service's request: for all entities, or for each.

        Raises:
            PlaneError: a key or a request field is not given or not of its type.
        """
        given = self.request.columns(request, len(entities))
        views = self._views
        names = views.keys(entities)
        keys = (
            [name for name in names if name is not None]
            if None in names
            else cast("list[bytes]", names)
        )
        return Question(keys, names, views, len(entities), given)

    def vectors(self, question: Question, found: Sequence[bytes | None]) -> FeatureVectors:
        """The vector of each entity that was asked for, in order.

        `found` are the values under the question's keys.

        Raises:
            CalculationFailed: a calculation can't be computed.
            PermanentError: a value is none of its view.
        """
        answers = found
        if len(found) < len(question.names):
            values_found = iter(found)
            answers = [None if name is None else next(values_found) for name in question.names]
        views = question.views
        read = views.read(answers, question.entities, micros(self._clock()))
        if self._calculated is not None and read:
            self._calculated.add(read, views.sources, question.given)
        names = views.names
        return FeatureVectors(
            self.types,
            len(views.all),
            [FeatureVector(names, values, rows) for values, rows in read],
        )


class Question(NamedTuple):
    """What a read asks for.

    Args:
        keys: that the store is asked for.
        names: the key of each entity in each view; None where a part of it is null.
        views: the versions that are read.
        entities: how many.
        given: the values of each request field, one for each entity.
    """

    keys: list[bytes]
    names: list[bytes | None]
    views: _Views
    entities: int
    given: Mapping[str, Sequence[Any]]


class _View:
    """One version of one view, ready to be read.

    Args:
        namespace: of the environment.
        view: the version.
        features: those that are read; one that has another type in this version is not in it.
    """

    def __init__(self, namespace: str, view: ViewLayout, features: Sequence[Field]) -> None:
        self.name, self.version = view.view, view.version
        self.prefix = naming.online_prefix(namespace, view.view, view.version)
        self.keys = tuple(
            (view.request_keys.get(name, name), kind) for name, kind in view.layout.keys
        )
        self._decode = codec.decoder(view.layout)
        self._ttl_us = None if view.layout.ttl is None else view.layout.ttl // MICROSECOND
        self._defaults = [feature.default for feature in features]
        places = {
            (field.name, field.type): place
            for place, field in enumerate(view.layout.fields, start=2)
        }
        self._places = [places.get((feature.name, feature.type)) for feature in features]
        # All features, in the order of the value.
        self._plain = self._places == list(places.values())
        self.lacks = [place is None for place in self._places]
        self._texts = [(name, kind, codec.key_text(name, kind)) for name, kind in self.keys]

    def ends(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """The end of each row's key, in braces; None where a part of it is null."""
        parts = []
        for name, kind, text in self._texts:
            try:
                parts.append(
                    [
                        None if (value := entity[name]) is None else text(value)
                        for entity in entities
                    ]
                )
            except KeyError:
                raise PlaneError(
                    f"feature view {self.name!r} is read by the key {name!r} ({kind}), which is not"
                    " given",
                    hint=f"give {name}=..., or None where there is no such entity",
                ) from None
        if len(parts) == 1:
            return [
                None if text is None else codec.row_key(b"", text.encode()) for text in parts[0]
            ]
        together = zip(*parts, strict=True)
        return [
            None if None in some else codec.row_key(b"", ":".join(some).encode())
            for some in together
        ]

    def read(
        self,
        stored: Sequence[bytes | None],
        now_us: int,
        read: Sequence[tuple[list[Any], list[Row]]],
    ) -> None:
        """Add the selected features of each row to the values of its entity, and to its rows how it
        was found."""
        plain = self._plain
        expired_us = None if self._ttl_us is None else now_us - self._ttl_us
        for found, (values, rows) in zip(self._decode(stored), read, strict=True):
            row = _MISSING
            if found is not None:
                effective_us = found[1]
                if expired_us is not None and effective_us <= expired_us:
                    row = (Status.EXPIRED, effective_us)
                elif len(found) > 2:
                    rows.append((_PRESENT, effective_us))
                    values.extend(found[2:] if plain else self._chosen(found))
                    continue
            rows.append(row)
            values.extend(self._chosen(None))

    def _chosen(self, found: Sequence[Any] | None) -> Iterator[Any]:
        """The selected features of a row.

        Where there is none, and of those that it lacks, the defaults.
        """
        for place, default in zip(self._places, self._defaults, strict=True):
            if found is not None and place is not None:
                yield found[place]
            else:
                yield list(default) if isinstance(default, tuple) else default


class _Calculated:
    """A service's calculations, ready to be added to what was read; `names` are the features in its
    order, `request` those of the request's fields."""

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
        found = (calculations.sources[name] for name in calculations.names)
        self.sources = [[names.index(name) for name in sources] for sources in found]
        """For each calculation the places of the features that it reads."""

    def add(
        self,
        read: Sequence[tuple[list[Any], list[Row]]],
        sources: Sequence[Sequence[int]],
        given: Mapping[str, Sequence[Any]],
    ) -> None:
        """Add the calculations of each entity behind its values, and behind its rows how those that
        `sources` names for each calculation were found."""
        columns = [
            given[place] if isinstance(place, str) else [values[place] for values, _ in read]
            for place in self._inputs
        ]
        try:
            found = self._calculator.compute(columns or [[True] * len(read)])
        except PermanentError as error:
            raise CalculationFailed(error.message, hint=error.hint) from None
        for (values, rows), calculated in zip(read, found, strict=True):
            values.extend(calculated)
            rows.extend([_newest([rows[owner] for owner in owners]) for owners in sources])


def _newest(rows: Sequence[Row]) -> Row:
    """How a calculation was found: present if any of its features was, and counting from the newest
    of them."""
    present = [since for status, since in rows if status is Status.PRESENT and since is not None]
    if present or not rows:
        return Status.PRESENT, max(present, default=None)
    return next((row for row in rows if row[0] is Status.EXPIRED), rows[0])


class _Views:
    """The versions that are read now; those with the same keys write an entity only once.

    Args:
        views: the versions.
        names: of all features and, behind them, of calculations.
        sources: for each calculation the places of the features that it reads.
    """

    def __init__(
        self, views: list[_View], names: Sequence[str], sources: Sequence[Sequence[int]]
    ) -> None:
        self.all = views
        leaders: dict[tuple[tuple[str, str], ...], _View] = {}
        for view in views:
            leaders.setdefault(view.keys, view)
        self._leaders = list(leaders.values())
        self._prefixes = [(view.prefix, list(leaders).index(view.keys)) for view in views]
        owners = [
            len(views) if lacking else place
            for place, view in enumerate(views)
            for lacking in view.lacks
        ]
        self._lacking = len(views) in owners
        self.sources = [[owners[place] for place in places] for places in sources]
        """For each calculation the rows that its features are from."""
        calculated = range(len(views) + self._lacking, len(views) + self._lacking + len(sources))
        self.names = Names(names, [*owners, *calculated])

    def keys(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """The key of each view's row of each entity, one entity after the other.

        None where a part of it is null.
        """
        ends = zip(*[leader.ends(entities) for leader in self._leaders], strict=True)
        prefixes = self._prefixes
        return [
            None if (end := some[leader]) is None else prefix + end
            for some in ends
            for prefix, leader in prefixes
        ]

    def read(
        self, answers: Sequence[bytes | None], entities: int, now_us: int
    ) -> list[tuple[list[Any], list[Row]]]:
        """The values of each entity, and the rows that they are from: one of each view, and one for
        the features that a version lacks; `answers` are those to `keys`."""
        read: list[tuple[list[Any], list[Row]]] = [([], []) for _ in range(entities)]
        for place, view in enumerate(self.all):
            view.read(answers[place :: len(self.all)], now_us, read)
        if self._lacking:
            for _, rows in read:
                rows.append(_MISSING)
        return read


def _features(view: ViewLayout) -> list[Field]:
    """The features that are read of a view."""
    known = {field.name: field for field in view.layout.fields}
    if unknown := [feature for feature in view.features if feature not in known]:
        raise PlaneError(
            f"feature view {view.view!r} has no {', '.join(unknown)} in version {view.version}"
        )
    return [known[feature] for feature in view.features]
