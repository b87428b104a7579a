"""Holes in other feature stores, in reading online, over a real server: see also
`tests/engine/test_rivals.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import redis

from connectors.redis.store import RedisStore, connect
from controlplane import (
    Aggregate,
    Attribute,
    BatchFeatureView,
    BatchSource,
    Entity,
    batch_feature_view,
)
from controlplane.base import naming
from controlplane.materialize.run import bring_online
from controlplane.serving import FeatureVector, OnlineReader
from controlplane.serving.service import service_layout
from tests.engine.rig import Rig, micros

DAY = 86_400_000_000
START = micros("2024-01-01")
COLUMNS = {"k": "VARCHAR", "ts": "TIMESTAMP", "amt": "BIGINT", "x": "DOUBLE"}
NOW = datetime(2024, 1, 3, tzinfo=UTC)
BIG = 2**53 + 1
AMOUNT = Attribute("amt", "int64")


def view_of(
    *features: Attribute | Aggregate, ttl: str | None = None, keys: Mapping[str, str] | None = None
) -> BatchFeatureView:
    @batch_feature_view(
        entities=[Entity("thing", keys=keys or {"k": "string"}, owner="team")],
        sources=[BatchSource("events", table="raw.events", timestamp="ts")],
        features=features,
        schedule="1d",
        start="2024-01-01",
        ttl=ttl,
        owner="team",
    )
    def subject(events):
        return f"SELECT * FROM {events}"

    return subject


def row(ts: str, amt: int | None = 1, **others: Any) -> dict[str, Any]:
    return {"k": "a", "ts": datetime.fromisoformat(f"2024-{ts}"), "amt": amt, "x": None} | others


class Online:
    """A rig whose values go to the server, in a project and at a now of its own."""

    def __init__(
        self, rig: Rig, store: RedisStore, project: str = "shop", now: datetime = NOW
    ) -> None:
        self.rig, self.store = rig, store
        self.manifest = msgspec.structs.replace(rig.manifest, project=project, now=now)
        rig.use(self.manifest)

    def run(self, first: int = 0, days: int = 2) -> None:
        """Compute some days and bring them online."""
        self.rig.materialize(START + first * DAY, START + (first + days) * DAY)
        self.sync()

    def sync(self, *, full: bool = False) -> None:
        """Bring online what was published."""
        bring_online(
            self.rig.program,
            self.rig.sql,
            self.rig.warehouse,
            self.store,
            now=NOW,
            clock=lambda: datetime.now(UTC),
            full=full,
        )

    def get(self, now: datetime = NOW, **keys: Any) -> FeatureVector:
        """What a model reads at an instant."""
        layout = service_layout(self.manifest, "all")
        return OnlineReader(self.store, layout, lambda: now).get(keys or {"k": "a"})

    def stored(self) -> Sequence[bytes]:
        """The names of the server's keys that hold values of this project."""
        with redis.Redis.from_url(self.url) as client:
            prefix = naming.online_prefix(
                self.manifest.namespace, "subject", self.rig.view.fingerprint
            )
            return [key for key in client.scan_iter() if key.startswith(prefix)]

    url = ""


@pytest.fixture
def store(valkey_url: str) -> Iterator[RedisStore]:
    with redis.Redis.from_url(valkey_url, protocol=2) as client:
        client.flushall()
    Online.url = valkey_url
    opened = connect(url=valkey_url)
    yield opened
    opened.close()


@pytest.fixture
def rig() -> Iterator[Any]:
    with ExitStack() as opened:
        yield lambda view, rows, columns=COLUMNS: opened.enter_context(
            Rig(view, columns, rows=rows)
        )


def test_a_missing_entity_is_not_a_null(store, rig):
    """Feast says PRESENT of an entity that it does not know, and of a null."""
    online = Online(rig(view_of(AMOUNT), [row("01-01", None)]), store)
    online.run()
    assert online.get()["subject__amt"] is None
    assert online.get(k="nobody")["subject__amt"] is None
    assert (online.get().status("subject__amt"), online.get(k="nobody").status("subject__amt")) == (
        "null",
        "missing",
    )


def test_time_to_live_is_the_same_in_training_and_online(store, rig):
    """Feast does not look at a view's ttl online: a value of 39 days ago with a ttl of one was
    PRESENT."""
    one = rig(view_of(AMOUNT, ttl="1d"), [row("01-01", 5)])
    online = Online(one, store, now=datetime(2024, 1, 2, 12, tzinfo=UTC))
    online.run()
    last = datetime(2024, 1, 2, 23, 59, 59, 999999, tzinfo=UTC)
    for now, value, status in (
        (last, 5, "present"),
        (last + timedelta(microseconds=1), None, "expired"),
    ):
        vector = online.get(now)
        [trained] = one.training_set([(("a",), micros(now.replace(tzinfo=None).isoformat()))])
        assert (vector["subject__amt"], vector.status("subject__amt"), trained["amt"]) == (
            value,
            status,
            value,
        )


def test_a_deletion_reaches_the_models(store, rig):
    """Feast has no tombstones: an entity that vanished from its source is served for ever."""
    one = rig(view_of(AMOUNT), [row("01-01", 5), row("01-01", 6, k="b")])
    online = Online(one, store)
    online.run()
    one.replace([row("01-01", 6, k="b")])
    online.run()
    assert online.get().status("subject__amt") == "missing"
    assert online.get(k="b")["subject__amt"] == 6


@pytest.mark.parametrize("value", [10, -10, None])
def test_a_correction_of_equal_time_reaches_the_models(store, rig, value):
    """Feast skips what is not newer: a backfill of 10.0 over a wrong 1.0 of the same time changed
    nothing."""
    one = rig(view_of(AMOUNT), [row("01-01", 1)])
    online = Online(one, store)
    online.run()
    one.replace([row("01-01", value)])
    online.run()
    assert online.get()["subject__amt"] == value


def test_integers_stay_exact_beside_nulls(store, rig):
    """Feast carries integers with a null among them as doubles: 2^53 + 1 was served as 2^53."""
    view = view_of(AMOUNT, Aggregate("sum", "amt", windows=["2d"]))
    online = Online(
        rig(view, [row("01-01", BIG), row("01-02", None), row("01-01", -BIG, k="b")]), store
    )
    online.run()
    assert dict(online.get()) == {"subject__amt": None, "subject__amt_sum_2d": BIG}
    assert dict(online.get(k="b")) == {"subject__amt": -BIG, "subject__amt_sum_2d": -BIG}


@pytest.mark.parametrize(
    "pairs",
    [
        [
            ("a", "bc"),
            ("ab", "c"),
            ("a,b", "c"),
            ("a", "b,c"),
            ("a}", "{b"),
            ("", "a"),
            ("a", ""),
            ("%", "25"),
        ]
    ],
)
def test_keys_whose_texts_collide_are_different_keys(store, rig, pairs):
    """Feast's templates put key parts together as text; here the whole way is looked at."""
    view = view_of(AMOUNT, keys={"k": "string", "j": "string"})
    rows = [row("01-01", number, k=one, j=other) for number, (one, other) in enumerate(pairs)]
    online = Online(rig(view, rows, {**COLUMNS, "j": "VARCHAR"}), store)
    online.run()
    assert [online.get(k=one, j=other)["subject__amt"] for one, other in pairs] == list(
        range(len(pairs))
    )
    assert len(online.stored()) == len(pairs)


def test_projects_whose_names_end_alike_are_apart(store, rig):
    """Feast's keys end with the project's name: removing project `shop` emptied `petshop`."""
    shop = Online(rig(view_of(AMOUNT), [row("01-01", 1)]), store, "shop")
    petshop = Online(rig(view_of(AMOUNT), [row("01-01", 2)]), store, "petshop")
    shop.run()
    petshop.run()
    assert (shop.get()["subject__amt"], petshop.get()["subject__amt"]) == (1, 2)
    shop.rig.replace([])
    shop.run()
    shop.sync(full=True)
    assert shop.get().status("subject__amt") == "missing"
    assert petshop.get()["subject__amt"] == 2


def test_names_with_equal_hashes_are_different_features(store, rig):
    """Feast's fields are hashes of 32 bits: those of these two names are equal, and both were
    served as 2.0."""
    names = ("txn_amt_730", "txn_amt_67160")
    view = view_of(
        *(Attribute(name, "float64", column="x" if name == names[0] else "y") for name in names)
    )
    online = Online(rig(view, [row("01-01", x=1.0, y=2.0)], {**COLUMNS, "y": "DOUBLE"}), store)
    online.run()
    assert [online.get()[f"subject__{name}"] for name in names] == [1.0, 2.0]


def test_a_new_type_never_reads_old_bytes(store, rig):
    """Feast serves the float of before under a type that became text, until somebody computes it
    again."""
    before = Online(
        rig(view_of(Attribute("v", "float64", column="x")), [row("01-01", x=1.5)]), store
    )
    before.run()
    after = Online(rig(view_of(Attribute("v", "int64", column="amt")), [row("01-01", 7)]), store)
    assert after.get().status("subject__v") == "missing"
    after.run()
    assert (before.stored() == after.stored(), after.get()["subject__v"]) == (False, 7)


def test_one_view_s_writes_leave_another_s_expiry_alone(store, rig):
    """Feast keeps one expiry for all views of an entity: writing one view made another's stale
    values live longer."""
    short = Online(rig(view_of(AMOUNT, ttl="1d"), [row("01-02", 1)]), store)
    long = Online(rig(view_of(Attribute("x", "float64"), ttl="7d"), [row("01-02", x=1.0)]), store)
    short.run()
    [key] = short.stored()
    with redis.Redis.from_url(short.url) as client:
        before = client.pexpiretime(key)
        long.run()
        [other] = long.stored()
        assert client.pexpiretime(key) == before
        assert abs(client.pexpiretime(other) - before - 6 * 86_400_000) < 60_000


def test_an_older_run_never_puts_older_values_back(store, rig):
    """Feast reads, compares and writes in three steps, or lets the last writer win: a slow run
    undoes a new one."""
    one = rig(view_of(AMOUNT), [row("01-01", 1), row("01-02", 2)])
    online = Online(one, store)
    online.run()
    one.materialize(START, START + DAY)  # a backfill of the older day
    online.sync(full=True)
    assert online.get()["subject__amt"] == 2
