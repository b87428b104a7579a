"""What a read gives: every feature of the service, always, and why a value is what it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from controlplane.errors import MissingDriver
from controlplane.types import from_micros

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class Status(StrEnum):
    """Where a feature's value comes from.

    - `present`: the store holds it.
    - `null`: the store holds the row, and the feature is null in it.
    - `missing`: the store holds no row for the key, or the key is null, or the version that serves lacks the feature.
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


class FeatureVector(Mapping[str, Any]):
    """The features of one request, by their full names `view__feature` in the order of the service.

    As a mapping it gives the plain values: dates as `date`, timestamps as `datetime` in UTC, decimals as `Decimal`.
    """

    __slots__ = ("_owners", "_places", "_rows", "_values")

    def __init__(
        self, places: Mapping[str, int], owners: Sequence[int], values: Sequence[Any], rows: Sequence[Row]
    ) -> None:
        """Made by the reader: `places` has, for each name, its place in `values` and in `owners`, and that has the
        place of its row in `rows`."""
        self._places = places
        self._owners = owners
        self._values = values
        self._rows = rows

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - features are of any type
        return self._values[self._places[name]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        return f"FeatureVector({dict(self)!r})"

    def status(self, name: str) -> Status:
        """Why a feature's value is what it is."""
        place = self._places[name]
        status = self._rows[self._owners[place]][0]
        return Status.NULL if status is Status.PRESENT and self._values[place] is None else status

    def effective_time(self, name: str) -> datetime | None:
        """The moment from which the value counts; None where no row was found."""
        since = self._rows[self._owners[self._places[name]]][1]
        return None if since is None else from_micros(since)

    @property
    def statuses(self) -> dict[str, Status]:
        """The status of every feature."""
        return self.said(_THEMSELVES)

    def said(self, words: Mapping[Status, T]) -> dict[str, T]:
        """The status of every feature in other words."""
        found = [words[status] for status, _ in self._rows]
        if None not in self._values:
            return {name: found[owner] for name, owner in zip(self._places, self._owners, strict=True)}
        null = [
            words[Status.NULL] if row[0] is Status.PRESENT else word
            for row, word in zip(self._rows, found, strict=True)
        ]
        return {
            name: null[owner] if value is None else found[owner]
            for name, owner, value in zip(self._places, self._owners, self._values, strict=True)
        }

    @property
    def effective_times(self) -> dict[str, datetime | None]:
        """The effective time of every feature."""
        return self.effective(from_micros)

    def effective(self, written: Callable[[int], T]) -> dict[str, T | None]:
        """The same as `written` has it, which is given microseconds since the epoch."""
        times = [None if since is None else written(since) for _, since in self._rows]
        return {name: times[owner] for name, owner in zip(self._places, self._owners, strict=True)}

    def rows(self, views: int) -> list[Status]:
        """How the rows of the first views of the service were found."""
        return [row[0] for row in self._rows[:views]]

    @property
    def plain(self) -> dict[str, Any]:
        """The values as a dict, made at once."""
        return dict(zip(self._places, self._values, strict=True))

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """Everything, in the same shape whatever was found: name -> `value`, `status`, `effective_time`."""
        return {
            name: {"value": self[name], "status": self.status(name), "effective_time": self.effective_time(name)}
            for name in self._places
        }


class FeatureVectors(list[FeatureVector]):
    """The vectors of several entities, in the order of the request, and the same as a table.

    Its columns and their types are those of the service as it is deployed, whatever was found.
    """

    def __init__(self, types: Mapping[str, str], views: int, vectors: Iterable[FeatureVector]) -> None:
        """Made by the reader: `types` are the canonical types of the features, in order; `views` is how many were
        read."""
        super().__init__(vectors)
        self.types, self._views = types, views

    def counts(self) -> Counter[Status]:
        """How many rows of views were found in which way; never `null`, which is said of values."""
        found: Counter[Status] = Counter()
        for vector in self:
            for status in vector.rows(self._views):
                found[status] += 1
        return found

    def to_dicts(self) -> list[dict[str, dict[str, Any]]]:
        """See `FeatureVector.to_dict`."""
        return [vector.to_dict() for vector in self]

    def to_arrow(self, *, statuses: bool = False, effective_times: bool = False) -> pa.Table:
        """A row for each entity and a column for each feature, with `<feature>__status` and
        `<feature>__effective_time` beside it where these are asked for. Timestamps are in UTC, without a zone."""
        # lazy: who reads one entity needs no Arrow
        import pyarrow as pa

        # lazy: it imports Arrow
        from controlplane.codec.arrow import arrow_type

        columns: dict[str, pa.Array] = {}
        for name, kind in self.types.items():
            columns[name] = pa.array([vector[name] for vector in self], arrow_type(kind))
            if statuses:
                columns[f"{name}__status"] = pa.array([str(vector.status(name)) for vector in self], pa.string())
            if effective_times:
                times = [vector.effective_time(name) for vector in self]
                columns[f"{name}__effective_time"] = pa.array(times, pa.timestamp("us"))
        return pa.table(columns)

    def to_pandas(self, *, statuses: bool = False, effective_times: bool = False) -> pd.DataFrame:
        """The same as a data frame; its columns keep Arrow's types, so that integers stay integers beside nulls.

        Raises:
            MissingDriver: pandas is not installed.
        """
        try:
            # lazy: it may not be there
            import pandas as pd
        except ImportError:
            raise MissingDriver("pandas is not installed", hint="pip install pandas, or use to_arrow()") from None

        frame: pd.DataFrame = self.to_arrow(statuses=statuses, effective_times=effective_times).to_pandas(
            types_mapper=pd.ArrowDtype
        )
        return frame
