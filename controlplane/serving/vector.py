"""What a read gives: every feature of the service, always, and why a value is what it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from operator import is_, itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from controlplane.base.types import from_micros
from controlplane.errors import MissingDriver

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Status(StrEnum):
    """Where a feature's value comes from.

    - `present`: the store holds it.
    - `null`: the store holds the row, and the feature is null in it.
    - `missing`: the store holds no row for the key, or the key is null, or the version that serves
    lacks the feature.
    - `expired`: the store holds a row whose time to live is over.

    A missing or expired feature reads as its default: 0 for counts, an empty list, else None.
    """

    PRESENT = "present"
    NULL = "null"
    MISSING = "missing"
    EXPIRED = "expired"

    __hash__ = str.__hash__  # an enumeration's own is not in C


_THEMSELVES = {status: status for status in Status}


T = TypeVar("T")
Row = tuple[Status, int | None]
"""How the row of a feature was found, and its effective time in microseconds since the epoch."""
_FIRST, _SECOND = itemgetter(0), itemgetter(1)


class Names:
    """What all vectors of one read have in common.

    Args:
        names: the features' full names, in order.
        owners: for each the place of the row that it is from.
    """

    __slots__ = ("owners", "places")

    def __init__(self, names: Sequence[str], owners: Sequence[int]) -> None:
        self.places = {name: place for place, name in enumerate(names)}
        self.owners = owners

    def spread(self, found: Sequence[T]) -> dict[str, T]:
        """For each feature what is said of its row."""
        return dict(zip(self.places, map(found.__getitem__, self.owners), strict=True))

    def said(
        self, words: Mapping[Status, T], found: Sequence[Status], nulls: Sequence[bool]
    ) -> dict[str, T]:
        """The status of every feature in those words; see `FeatureVector.found` and `nulls`."""
        said = self.spread([words[status] for status in found])
        for name, owner, null in zip(self.places, self.owners, nulls, strict=False):
            if null and found[owner] is Status.PRESENT:
                said[name] = words[Status.NULL]
        return said

    def effective(
        self, written: Callable[[int], T], since: Sequence[int | None]
    ) -> dict[str, T | None]:
        """The effective time of every feature as `written` has it; see `FeatureVector.since`."""
        return self.spread([None if count is None else written(count) for count in since])


class FeatureVector(Mapping[str, Any]):
    """The features of one request, by their full names `view__feature` in the order of the service.

    As a mapping it gives the plain values: dates as `date`, timestamps as `datetime` in UTC,
    decimals as `Decimal`.
    """

    __slots__ = ("_rows", "_values", "names")

    def __init__(self, names: Names, values: Sequence[Any], rows: Sequence[Row]) -> None:
        """Made by the reader: the values are in the order of the names, whose owners are places in
        `rows`."""
        self.names = names
        self._values = values
        self._rows = rows

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - features are of any type
        return self._values[self.names.places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names.places)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"FeatureVector({dict(self)!r})"

    def status(self, name: str) -> Status:
        """Why a feature's value is what it is."""
        place = self.names.places[name]
        status = self._rows[self.names.owners[place]][0]
        return Status.NULL if status is Status.PRESENT and self._values[place] is None else status

    def effective_time(self, name: str) -> datetime | None:
        """The moment from which the value counts; None where no row was found."""
        since = self._rows[self.names.owners[self.names.places[name]]][1]
        return None if since is None else from_micros(since)

    @property
    def statuses(self) -> dict[str, Status]:
        """The status of every feature."""
        return self.said(_THEMSELVES)

    def said(self, words: Mapping[Status, T]) -> dict[str, T]:
        """The status of every feature in other words."""
        return self.names.said(words, self.found, self.nulls)

    @property
    def effective_times(self) -> dict[str, datetime | None]:
        """The effective time of every feature."""
        return self.effective(from_micros)

    def effective(self, written: Callable[[int], T]) -> dict[str, T | None]:
        """The same as `written` has it, which is given microseconds since the epoch."""
        return self.names.effective(written, self.since)

    @property
    def found(self) -> tuple[Status, ...]:
        """How each row was found; never `null`, which is said of values."""
        return tuple(map(_FIRST, self._rows))

    @property
    def since(self) -> tuple[int | None, ...]:
        """The effective time of each row, in microseconds since the epoch."""
        return tuple(map(_SECOND, self._rows))

    @property
    def nulls(self) -> tuple[bool, ...]:
        """Whether each value is null; empty where none is."""
        return tuple(map(is_, self._values, repeat(None))) if None in self._values else ()

    @property
    def listed(self) -> Sequence[Any]:
        """The plain values, in the order of the names."""
        return self._values

    @property
    def plain(self) -> dict[str, Any]:
        """The values as a dict, made at once."""
        return dict(zip(self.names.places, self._values, strict=True))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Everything, in the same shape whatever was found: name -> `value`, `status`,
        `effective_time`."""
        return {
            name: {
                "value": self[name],
                "status": self.status(name),
                "effective_time": self.effective_time(name),
            }
            for name in self
        }


class FeatureVectors(list[FeatureVector]):
    """The vectors of several entities, in the order of the request, and the same as a table.

    Its columns and their types are those of the service as it is deployed, whatever was found.
    """

    def __init__(
        self, types: Mapping[str, str], views: int, vectors: Iterable[FeatureVector]
    ) -> None:
        """Made by the reader: `types` are the canonical types of the features, in order; `views` is
        how many were read."""
        super().__init__(vectors)
        self.types, self._views = types, views

    def found(self) -> Iterator[tuple[Status, ...]]:
        """How the rows of views were found, for each entity."""
        return (vector.found[: self._views] for vector in self)

    def to_dicts(self) -> list[dict[str, dict[str, Any]]]:
        """See `FeatureVector.to_dict`."""
        return [vector.to_dict() for vector in self]

    def to_arrow(self, *, statuses: bool = False, effective_times: bool = False) -> pa.Table:
        """A row for each entity and a column for each feature, with `<feature>__status` and
        `<feature>__effective_time` beside it where these are asked for. Timestamps are in UTC,
        without a zone."""
        # lazy: who reads one entity needs no Arrow
        import pyarrow as pa

        # lazy: it imports Arrow
        from controlplane.codec.arrow import arrow_type

        columns: dict[str, pa.Array] = {}
        for name, kind in self.types.items():
            columns[name] = pa.array([vector[name] for vector in self], arrow_type(kind))
            if statuses:
                columns[f"{name}__status"] = pa.array(
                    [str(vector.status(name)) for vector in self], pa.string()
                )
            if effective_times:
                times = [vector.effective_time(name) for vector in self]
                columns[f"{name}__effective_time"] = pa.array(times, pa.timestamp("us"))
        return pa.table(columns)

    def to_pandas(self, *, statuses: bool = False, effective_times: bool = False) -> pd.DataFrame:
        """The same as a data frame.

        Its columns keep Arrow's types, so that integers stay integers beside nulls.

        Raises:
            MissingDriver: pandas is not installed.
        """
        try:
            # lazy: it may not be there
            import pandas as pd
        except ImportError:
            raise MissingDriver(
                "pandas is not installed", hint="pip install pandas, or use to_arrow()"
            ) from None

        frame: pd.DataFrame = self.to_arrow(
            statuses=statuses, effective_times=effective_times
        ).to_pandas(types_mapper=pd.ArrowDtype)
        return frame
