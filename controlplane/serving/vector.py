"""What a read returns: every feature of the service, always, with the status of its value."""

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
    - `missing`: the store holds no row for the key, or the key is null, or the served version
      lacks the feature.
    - `expired`: the store holds a row whose time to live is over.

    A missing or expired feature reads as its default: 0 for counts, an empty list, else None.
    """

    PRESENT = "present"
    NULL = "null"
    MISSING = "missing"
    EXPIRED = "expired"

    # An enumeration's own is Python code, and every read puts statuses into dictionaries.
    __hash__ = str.__hash__


_THEMSELVES = {status: status for status in Status}


T = TypeVar("T")
Row = tuple[Status, int | None]
"""The status of a row, and its effective time in microseconds since the epoch."""
# Used with `map`, which runs in C: the server does this for every vector.
_FIRST, _SECOND = itemgetter(0), itemgetter(1)


class Names:
    """The names that all vectors of one read share.

    Args:
        names: the features' full names, in order.
        owners: the position of each feature's row.
    """

    __slots__ = ("owners", "positions")

    def __init__(self, names: Sequence[str], owners: Sequence[int]) -> None:
        self.positions = {name: position for position, name in enumerate(names)}
        self.owners = owners

    def spread(self, row_values: Sequence[T]) -> dict[str, T]:
        """Return the value of its row for each feature."""
        return dict(zip(self.positions, map(row_values.__getitem__, self.owners), strict=True))

    def said(
        self, words: Mapping[Status, T], row_statuses: Sequence[Status], nulls: Sequence[bool]
    ) -> dict[str, T]:
        """Return, for the status of every feature, what `words` has for that status.

        See `FeatureVector.row_statuses` and `FeatureVector.nulls`.
        """
        said = self.spread([words[status] for status in row_statuses])
        for name, owner, null in zip(self.positions, self.owners, nulls, strict=False):
            if null and row_statuses[owner] is Status.PRESENT:
                said[name] = words[Status.NULL]
        return said

    def effective(
        self, written: Callable[[int], T], since: Sequence[int | None]
    ) -> dict[str, T | None]:
        """Return the effective time of every feature, formatted; see `FeatureVector.since`."""
        return self.spread([None if count is None else written(count) for count in since])


class FeatureVector(Mapping[str, Any]):
    """The features of one request, by their full names `view__feature` in the order of the service.

    As a mapping it has the plain values: dates as `date`, timestamps as `datetime` in UTC, decimals
    as `Decimal`. Statuses and times are computed when they are first read.
    """

    __slots__ = ("_rows", "_values", "names")

    def __init__(self, names: Names, values: Sequence[Any], rows: Sequence[Row]) -> None:
        """Called by the reader: values in the order of the names, whose owners index `rows`."""
        self.names = names
        self._values = values
        self._rows = rows

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - features are of any type
        return self._values[self.names.positions[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names.positions)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"FeatureVector({dict(self)!r})"

    def status(self, name: str) -> Status:
        """Return the status of a feature's value."""
        position = self.names.positions[name]
        status = self._rows[self.names.owners[position]][0]
        return (
            Status.NULL if status is Status.PRESENT and self._values[position] is None else status
        )

    def effective_time(self, name: str) -> datetime | None:
        """Return the instant from which the value is valid; None if the store has no row."""
        since = self._rows[self.names.owners[self.names.positions[name]]][1]
        return None if since is None else from_micros(since)

    @property
    def statuses(self) -> dict[str, Status]:
        """The status of every feature."""
        return self.said(_THEMSELVES)

    def said(self, words: Mapping[Status, T]) -> dict[str, T]:
        """Return, for the status of every feature, what `words` has for that status."""
        return self.names.said(words, self.row_statuses, self.nulls)

    @property
    def effective_times(self) -> dict[str, datetime | None]:
        """The effective time of every feature."""
        return self.effective(from_micros)

    def effective(self, written: Callable[[int], T]) -> dict[str, T | None]:
        """Return the effective times, formatted by `written` from microseconds since the epoch."""
        return self.names.effective(written, self.since)

    @property
    def row_statuses(self) -> tuple[Status, ...]:
        """The status of each row; never `null`, which is the status of a value."""
        return tuple(map(_FIRST, self._rows))

    @property
    def since(self) -> tuple[int | None, ...]:
        """The effective time of each row, in microseconds since the epoch."""
        return tuple(map(_SECOND, self._rows))

    @property
    def nulls(self) -> tuple[bool, ...]:
        """Whether each value is null; empty if none is."""
        return tuple(map(is_, self._values, repeat(None))) if None in self._values else ()

    @property
    def listed(self) -> Sequence[Any]:
        """The plain values, in the order of the names."""
        return self._values

    @property
    def plain(self) -> dict[str, Any]:
        """The values as a new dict."""
        return dict(zip(self.names.positions, self._values, strict=True))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Return name -> `value`, `status`, `effective_time`; the same shape for any status."""
        return {
            name: {
                "value": self[name],
                "status": self.status(name),
                "effective_time": self.effective_time(name),
            }
            for name in self
        }


class FeatureVectors(list[FeatureVector]):
    """The vectors of several entities, in the order of the request; also as a table.

    The table's columns and types are those of the deployed service, for any values.
    """

    def __init__(
        self, types: Mapping[str, str], views: int, vectors: Iterable[FeatureVector]
    ) -> None:
        """Called by the reader, with the features' canonical types and the number of views."""
        super().__init__(vectors)
        self.types, self._views = types, views

    def row_statuses(self) -> Iterator[tuple[Status, ...]]:
        """Yield the statuses of the views' rows, for each entity."""
        return (vector.row_statuses[: self._views] for vector in self)

    def to_dicts(self) -> list[dict[str, dict[str, Any]]]:
        """Return the dictionary of each vector; see `FeatureVector.to_dict`."""
        return [vector.to_dict() for vector in self]

    def to_arrow(self, *, statuses: bool = False, effective_times: bool = False) -> pa.Table:
        """Return a table with a row for each entity and a column for each feature.

        `statuses` and `effective_times` add the columns `<feature>__status` and
        `<feature>__effective_time`. Timestamps are in UTC, without a zone.
        """
        # lazy: most models read vectors and need no Arrow, which takes long to import
        from controlplane.codec.arrow import table

        columns: dict[str, tuple[Sequence[Any], str]] = {}
        for name, feature_type in self.types.items():
            columns[name] = [vector[name] for vector in self], feature_type
            if statuses:
                columns[f"{name}__status"] = [str(vector.status(name)) for vector in self], "string"
            if effective_times:
                times = [vector.effective_time(name) for vector in self]
                columns[f"{name}__effective_time"] = times, "timestamp"
        return table(columns)

    def to_pandas(self, *, statuses: bool = False, effective_times: bool = False) -> pd.DataFrame:
        """Return the table of `to_arrow` as a data frame.

        Its columns keep Arrow's types, so that integers stay integers in columns with nulls.

        Raises:
            MissingDriver: pandas is not installed.
        """
        try:
            # lazy: it may not be installed.
            import pandas as pd
        except ImportError:
            raise MissingDriver(
                "pandas is not installed", hint="pip install pandas, or use to_arrow()"
            ) from None

        frame: pd.DataFrame = self.to_arrow(
            statuses=statuses, effective_times=effective_times
        ).to_pandas(types_mapper=pd.ArrowDtype)
        return frame
