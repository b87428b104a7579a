"""What tables, training sets and the online store say about some questions, read as their users
read them."""

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
from controlplane.verify.truth import AT, NUMBER, Question, Truth
from controlplane.verify.values import plain

Values = Mapping[str, Any]
SERVICE = "plane_verify"


@dataclass(frozen=True)
class Told:
    """What one place says: for each question the values, or None for nothing at all; `doubled` has
    those for which it says more than one thing."""

    place: str
    values: Mapping[int, Values | None]
    doubled: frozenset[int] = frozenset()


class Places:
    """All places that tell values of one view, and what keeps some from being read."""

    def __init__(
        self, manifest: Manifest, view: ViewSpec, truth: Truth, warehouse: Warehouse
    ) -> None:
        self._manifest = manifest
        self._view = view
        self._truth = truth
        self._warehouse = warehouse
        self._d: Dialect = dialect(manifest.dialect)
        self.program = build(manifest, view)
        self.history = qualified(
            self._d, manifest.schema, naming.history(view.name, view.fingerprint)
        )
        self.shown = ledger.shown(warehouse, self.program) == view.fingerprint

    def read(self, questions: Mapping[int, Question]) -> list[Told]:
        """The warehouse's places."""
        newest = {number: question for number, question in questions.items() if question.newest}
        found = [self._table(questions)] if self.shown else []
        return [
            *found,
            self._history(questions),
            self._latest(newest),
            self._training_set(questions),
        ]

    def _joined(
        self, table: str, questions: Mapping[int, Question], condition: str, columns: Iterable[str]
    ) -> str:
        d, names = self._d, [name for name, _ in self._view.keys]
        same = [f"d.{d.quote(name)} = s.{d.quote(name)}" for name in names]
        selected = ", ".join([f"s.{d.quote(NUMBER)}", *(f"d.{d.quote(name)}" for name in columns)])
        on = " AND ".join([*same, condition] if condition else same)
        return (
            f"SELECT {selected} FROM {table} AS d JOIN ({self._truth.spine(questions, names)}\n) AS"
            f" s ON {on}"
        )

    def _features(self) -> list[str]:
        return [feature.name for feature in self._view.features]

    def _table(self, questions: Mapping[int, Question]) -> Told:
        door = qualified(self._d, self._manifest.schema, naming.public_view(self._view.name))
        at = f"s.{self._d.quote(AT)}"
        inside = f"d.valid_from <= {at} AND (d.valid_to IS NULL OR {at} < d.valid_to)"
        return self._told(
            "table", self._joined(door, questions, inside, self._features()), questions
        )

    def _history(self, questions: Mapping[int, Question]) -> Told:
        d = self._d
        columns = ["valid_from", "expires_at", *self._features()]
        begun = self._joined(self.history, questions, f"d.valid_from <= s.{d.quote(AT)}", columns)
        number = d.quote(NUMBER)
        query = (
            f"SELECT * FROM (SELECT *, rank() OVER (PARTITION BY {number} ORDER BY valid_from DESC)"
            f" AS plane__place FROM ({begun}) AS begun) AS ranked WHERE plane__place = 1"
        )
        return self._told("history", query, questions)

    def _latest(self, questions: Mapping[int, Question]) -> Told:
        table = qualified(
            self._d, self._manifest.schema, naming.latest(self._view.name, self._view.fingerprint)
        )
        columns = ["expires_at", *self._features()]
        return self._told(
            "latest", self._joined(table, questions, "NOT d.is_deleted", columns), questions
        )

    def _told(self, place: str, query: str, questions: Mapping[int, Question]) -> Told:
        values: dict[int, Values | None] = dict.fromkeys(questions)
        seen: set[int] = set()
        doubled: set[int] = set()
        for row in self._truth.fetched(self._warehouse, query):
            number = row[NUMBER]
            (doubled if number in seen else seen).add(number)
            expires_at = row.get("expires_at")
            if expires_at is None or questions[number].at < expires_at:
                values[number] = row
        return Told(place, values, frozenset(doubled))

    def _training_set(self, questions: Mapping[int, Question]) -> Told:
        view, manifest = self._view, self._service()
        names = [name for name, _ in view.keys]
        columns = {NUMBER: "int64", AT: "timestamp", **dict(view.keys)}
        spine = self._truth.spine(questions, names)
        dataset = training.Dataset(SERVICE, 0, SERVICE, spine, AT, "plane verify")
        values: dict[int, Values | None] = dict.fromkeys(questions)
        doubled: set[int] = set()
        for row in self._truth.fetched(self._warehouse, training.query(manifest, dataset, columns)):
            if values[row[NUMBER]] is not None:
                doubled.add(row[NUMBER])
            values[row[NUMBER]] = {
                name: row[naming.feature(view.name, name)] for name in self._features()
            }
        return Told("training set", values, frozenset(doubled))

    def _service(self) -> Manifest:
        features = tuple((self._view.name, name) for name in self._features())
        service = ServiceSpec(SERVICE, features, self._view.owner, "", self._view.location)
        return msgspec.structs.replace(self._manifest, services=(service,))

    def online(
        self, store: OnlineStore, questions: Mapping[int, Question], clock: Callable[[], datetime]
    ) -> Told | str:
        """What models read now; or why that can't be compared."""
        view = self._view
        try:
            cursor = SyncCursor(store, self._manifest.namespace, view.name, view.fingerprint).read()
            if cursor.reached < ledger.head(self._warehouse, self.program.head).version:
                return (
                    "online: not all that is computed has been synced, so it was not compared; run"
                    " `plane run`"
                )
            reader = OnlineReader(store, service_layout(self._service(), SERVICE), clock)
            vectors = reader.get([self._request(question) for question in questions.values()])
        except TransientError as error:
            return f"online: the store can't be reached, so it was not compared: {error.message}"
        values: dict[int, Values | None] = {}
        for number, vector in zip(questions, vectors, strict=True):
            full = {name: naming.feature(view.name, name) for name in self._features()}
            gone = all(
                vector.status(name) in (Status.MISSING, Status.EXPIRED) for name in full.values()
            )
            values[number] = (
                None if gone else {name: plain(vector[one]) for name, one in full.items()}
            )
        return Told("online", values)

    def _request(self, question: Question) -> dict[str, Any]:
        return dict(named(self._view, question))


def named(view: ViewSpec, question: Question) -> Mapping[str, Any]:
    """The entity's keys by name, as a user gives them."""
    return {
        name: from_micros(part) if kind == "timestamp" else part
        for (name, kind), part in zip(view.keys, question.key, strict=True)
    }
