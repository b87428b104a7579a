"""Reads what tables, training sets and the online store hold for samples, as their users do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from controlplane.base import naming
from controlplane.base.ports import OnlineStore, Warehouse
from controlplane.base.types import from_micros
from controlplane.control import ledger
from controlplane.errors import TransientError
from controlplane.manifest.specs import Manifest, ServiceSpec, ViewSpec
from controlplane.online.records import SyncCursor
from controlplane.release.program import build
from controlplane.serving import OnlineReader, Status
from controlplane.serving.service import service_layout
from controlplane.sql import training
from controlplane.sql.dialects import Dialect, dialect
from controlplane.sql.tables import qualified
from controlplane.verify.expected import AT, NUMBER, Expected, Sample
from controlplane.verify.values import plain

Values = Mapping[str, Any]
SERVICE = "plane_verify"


@dataclass(frozen=True)
class Observed:
    """The values that one place holds for the samples, by number; None if it has no row.

    `doubled` are the numbers of the samples for which the place has more than one row.
    """

    place: str
    values: Mapping[int, Values | None]
    doubled: frozenset[int] = frozenset()


class Observer:
    """Reads the values of one view from all places that hold them.

    Attributes:
        history: the physical table of the view's history.
        shown: whether the public view and models read this version.
    """

    def __init__(
        self, manifest: Manifest, view: ViewSpec, expected: Expected, warehouse: Warehouse
    ) -> None:
        self._manifest = manifest
        self._view = view
        self._expected = expected
        self._warehouse = warehouse
        self._d: Dialect = dialect(manifest.dialect)
        self.program = build(manifest, view)
        self.history = qualified(
            self._d, manifest.schema, naming.history(view.name, view.fingerprint)
        )
        self.shown = ledger.Versions(warehouse).shows(self.program)

    def read(self, samples: Mapping[int, Sample]) -> list[Observed]:
        """Read all places of the warehouse."""
        newest = {number: sample for number, sample in samples.items() if sample.newest}
        public = [self._table(samples)] if self.shown else []
        return [
            *public,
            self._history(samples),
            self._latest(newest),
            self._training_set(samples),
        ]

    def _joined(
        self, table: str, samples: Mapping[int, Sample], condition: str, columns: Iterable[str]
    ) -> str:
        d, names = self._d, [name for name, _ in self._view.keys]
        same = [f"d.{d.quote(name)} = s.{d.quote(name)}" for name in names]
        selected = ", ".join([f"s.{d.quote(NUMBER)}", *(f"d.{d.quote(name)}" for name in columns)])
        on = " AND ".join([*same, condition] if condition else same)
        spine = self._expected.spine(samples, names)
        return f"SELECT {selected} FROM {table} AS d JOIN ({spine}\n) AS s ON {on}"

    def _features(self) -> list[str]:
        return [feature.name for feature in self._view.features]

    def _table(self, samples: Mapping[int, Sample]) -> Observed:
        public_view = qualified(self._d, self._manifest.schema, naming.public_view(self._view.name))
        at = f"s.{self._d.quote(AT)}"
        inside = f"d.valid_from <= {at} AND (d.valid_to IS NULL OR {at} < d.valid_to)"
        return self._observed(
            "table", self._joined(public_view, samples, inside, self._features()), samples
        )

    def _history(self, samples: Mapping[int, Sample]) -> Observed:
        d = self._d
        columns = ["valid_from", "expires_at", *self._features()]
        begun = self._joined(self.history, samples, f"d.valid_from <= s.{d.quote(AT)}", columns)
        number = d.quote(NUMBER)
        # `rank`, not `row_number`: two rows that begin at one time are an error to report.
        query = (
            f"SELECT * FROM (SELECT *, rank() OVER (PARTITION BY {number} ORDER BY valid_from DESC)"
            f" AS plane__rank FROM ({begun}) AS begun) AS ranked WHERE plane__rank = 1"
        )
        return self._observed("history", query, samples)

    def _latest(self, samples: Mapping[int, Sample]) -> Observed:
        table = qualified(
            self._d, self._manifest.schema, naming.latest(self._view.name, self._view.fingerprint)
        )
        columns = ["expires_at", *self._features()]
        return self._observed(
            "latest", self._joined(table, samples, "NOT d.is_deleted", columns), samples
        )

    def _observed(self, place: str, query: str, samples: Mapping[int, Sample]) -> Observed:
        values: dict[int, Values | None] = dict.fromkeys(samples)
        seen: set[int] = set()
        doubled: set[int] = set()
        for row in self._expected.fetched(self._warehouse, query):
            number = row[NUMBER]
            (doubled if number in seen else seen).add(number)
            expires_at = row.get("expires_at")
            if expires_at is None or samples[number].at < expires_at:
                values[number] = row
        return Observed(place, values, frozenset(doubled))

    def _training_set(self, samples: Mapping[int, Sample]) -> Observed:
        view, manifest = self._view, self._service()
        names = [name for name, _ in view.keys]
        columns = {NUMBER: "int64", AT: "timestamp", **dict(view.keys)}
        spine = self._expected.spine(samples, names)
        dataset = training.Dataset(SERVICE, 0, SERVICE, spine, AT, "plane verify")
        query = training.query(manifest, dataset, columns)
        values: dict[int, Values | None] = dict.fromkeys(samples)
        doubled: set[int] = set()
        for row in self._expected.fetched(self._warehouse, query):
            if values[row[NUMBER]] is not None:
                doubled.add(row[NUMBER])
            values[row[NUMBER]] = {
                name: row[naming.feature(view.name, name)] for name in self._features()
            }
        return Observed("training set", values, frozenset(doubled))

    def _service(self) -> Manifest:
        features = tuple((self._view.name, name) for name in self._features())
        service = ServiceSpec(SERVICE, features, self._view.owner, "", self._view.location)
        return msgspec.structs.replace(self._manifest, services=(service,))

    def online(
        self, store: OnlineStore, samples: Mapping[int, Sample], clock: Callable[[], datetime]
    ) -> Observed | str:
        """Read what models read now; return the reason if it can't be compared."""
        view = self._view
        try:
            # Values that are not synced yet differ for a good reason. That is no mismatch.
            cursor = SyncCursor(store, self._manifest.namespace, view.name, view.fingerprint).read()
            if cursor.reached < ledger.synced_version(self._warehouse, self.program):
                return (
                    "online: some computed rows are not synced yet, so it was not compared; run"
                    " `plane run`"
                )
            reader = OnlineReader(store, service_layout(self._service(), SERVICE), clock)
            vectors = reader.get([self._request(sample) for sample in samples.values()])
        except TransientError as error:
            return f"online: the store can't be reached, so it was not compared: {error.message}"
        values: dict[int, Values | None] = {}
        full = {name: naming.feature(view.name, name) for name in self._features()}
        for number, vector in zip(samples, vectors, strict=True):
            gone = all(
                vector.status(name) in (Status.MISSING, Status.EXPIRED) for name in full.values()
            )
            values[number] = (
                None
                if gone
                else {name: plain(vector[full_name]) for name, full_name in full.items()}
            )
        return Observed("online", values)

    def _request(self, sample: Sample) -> dict[str, Any]:
        return dict(named(self._view, sample))


def named(view: ViewSpec, sample: Sample) -> Mapping[str, Any]:
    """Return the sample's keys by name, as a user passes them."""
    return {
        name: from_micros(part) if key_type == "timestamp" else part
        for (name, key_type), part in zip(view.keys, sample.key, strict=True)
    }
