"""Reading: values and statuses over a real server, with what `encode_batch` wrote."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pytest
import redis

from connectors.redis.servers import Single
from connectors.redis.store import RedisStore, connect
from controlplane.base import naming
from controlplane.base.types import MICROSECOND
from controlplane.codec import Field, Layout
from controlplane.codec.batch import encode_batch
from controlplane.errors import PermanentError, PlaneError, TransientError
from controlplane.serving import FeatureVector, OnlineReader, ServiceLayout, Status, ViewLayout
from tests.codec.rows import Record, as_batch

NAMESPACE = "shop.prod"
NOW = datetime.now(UTC).replace(microsecond=0)
SINCE = NOW - timedelta(hours=1)
TTL = timedelta(days=30)
DELAYS = Layout(
    (("origin", "string"),),
    (
        Field("count_1h", "int64", 0),
        Field("mean_1h", "float64"),
        Field("last_3", "array<string>", ()),
    ),
)
TAILS = Layout(
    (("origin", "string"), ("day", "int64")),
    (Field("tail", "string"), Field("fare", "decimal(8,2)")),
    TTL,
)
DELAYS_VIEW = ViewLayout("delays", "d1", DELAYS, ("count_1h", "mean_1h", "last_3"))
TAILS_VIEW = ViewLayout("tails", "t1", TAILS, ("fare", "tail"))
SERVICE = ServiceLayout("late", NAMESPACE, (DELAYS_VIEW, TAILS_VIEW))


class CountingStore(RedisStore):
    """Notes how many keys each round trip asks for."""

    reads: list[int]

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        self.reads.append(len(keys))
        return super().read(keys)


@pytest.fixture
def store(valkey_url: str) -> Iterator[CountingStore]:
    client = redis.Redis.from_url(valkey_url, protocol=2)
    client.flushall()
    opened = CountingStore(Single(client))
    opened.reads = []
    yield opened
    opened.close()


def reader(
    store: RedisStore, service: ServiceLayout = SERVICE, now: datetime = NOW, **options: Any
) -> OnlineReader:
    return OnlineReader(store, service, lambda: now, **options)


def save(
    store: RedisStore,
    view: ViewLayout,
    rows: list[dict[str, object]],
    *,
    since: datetime = SINCE,
    deleted: bool = False,
    version: int = 1,
    namespace: str = NAMESPACE,
) -> None:
    arrow = {
        "array<string>": pa.list_(pa.string()),
        "decimal(8,2)": pa.decimal128(8, 2),
        "float64": pa.float64(),
    }
    types = dict(view.layout.keys) | {field.name: field.type for field in view.layout.fields}
    columns = {
        name: pa.array([row.get(name) for row in rows], arrow.get(kind))
        for name, kind in types.items()
    }
    instants = pa.timestamp("us", "UTC")
    columns["valid_from"] = pa.array([since] * len(rows), instants)
    columns["expires_at"] = pa.array(
        [view.layout.ttl and since + view.layout.ttl] * len(rows), instants
    )
    columns["is_deleted"] = pa.array([deleted] * len(rows))
    prefix = naming.online_prefix(namespace, view.view, view.version)
    batch = pa.RecordBatch.from_pydict(columns)
    records = encode_batch(
        batch,
        view.layout,
        prefix,
        write_version=version,
        expiry_shift=timedelta(0),
        now=datetime.now(UTC),
    )
    store.write(records)


def save_jfk(store: RedisStore, **options) -> None:
    save(
        store,
        DELAYS_VIEW,
        [{"origin": "JFK", "count_1h": 3, "mean_1h": 1.5, "last_3": ["a", None]}],
        **options,
    )
    save(
        store,
        TAILS_VIEW,
        [{"origin": "JFK", "day": 7, "tail": "N1", "fare": Decimal("9.50")}],
        **options,
    )


JFK = {"origin": "JFK", "day": 7}
NAMES = ["delays__count_1h", "delays__mean_1h", "delays__last_3", "tails__fare", "tails__tail"]
DELAYS_NAMES = [name for name in NAMES if name.startswith("delays")]
NOTHING: dict[str, object] = dict(zip(NAMES, [0, None, [], None, None], strict=True))


def test_present_values_in_the_order_of_the_service(store):
    save_jfk(store)
    vector = reader(store).get(JFK)
    assert list(vector) == reader(store).feature_names == NAMES
    assert list(vector.values()) == [3, 1.5, ["a", None], Decimal("9.50"), "N1"]
    assert set(vector.statuses.values()) == {Status.PRESENT}
    assert vector.effective_times == dict.fromkeys(NAMES, SINCE)
    assert vector.to_dict()["tails__tail"] == {
        "value": "N1",
        "status": "present",
        "effective_time": SINCE,
    }
    assert vector["delays__count_1h"] == 3
    with pytest.raises(KeyError):
        vector["delays__none"]


def test_null_is_not_missing(store):
    save(store, DELAYS_VIEW, [{"origin": "JFK", "count_1h": 0, "mean_1h": None, "last_3": []}])
    vector = reader(store).get(JFK)
    assert dict(vector) == NOTHING
    assert list(vector.statuses.values()) == ["present", "null", "present", "missing", "missing"]
    assert list(vector.effective_times.values()) == [SINCE, SINCE, SINCE, None, None]


@pytest.mark.parametrize("keys", [{"origin": "LAX", "day": 7}, {"origin": None, "day": None}])
def test_an_unknown_or_null_key_is_missing(store, keys):
    save_jfk(store)
    vector = reader(store).get(keys)
    assert dict(vector) == NOTHING
    assert set(vector.statuses.values()) == {Status.MISSING}
    assert set(vector.effective_times.values()) == {None}


def test_a_null_part_makes_the_views_of_that_key_missing(store):
    save_jfk(store)
    vector = reader(store).get({"origin": "JFK", "day": None})
    assert vector.statuses == {
        name: "present" if name in DELAYS_NAMES else "missing" for name in NAMES
    }


def test_defaults_are_not_shared(store):
    one, other = reader(store).get([JFK, JFK])
    one["delays__last_3"].append("mine")
    assert other["delays__last_3"] == reader(store).get(JFK)["delays__last_3"] == []


@pytest.mark.parametrize(
    ("now", "status"),
    [
        (SINCE + TTL - MICROSECOND, Status.PRESENT),
        (SINCE + TTL, Status.EXPIRED),
        (SINCE + TTL + timedelta(days=400), Status.EXPIRED),
    ],
)
def test_a_row_expires_to_the_microsecond(store, now, status):
    save_jfk(store)
    vector = reader(store, now=now).get(JFK)
    assert vector.status("tails__tail") is status
    assert vector["tails__tail"] == ("N1" if status is Status.PRESENT else None)
    assert vector.effective_time("tails__tail") == SINCE
    assert vector.status("delays__count_1h") is Status.PRESENT  # it has no time to live


def test_what_was_written_too_late_is_expired(store):
    save_jfk(store, since=NOW - 2 * TTL)
    vector = reader(store).get(JFK)
    assert vector.statuses == {
        name: "present" if name in DELAYS_NAMES else "expired" for name in NAMES
    }
    assert vector["tails__tail"] is None


def test_a_deleted_entity_is_missing(store):
    save_jfk(store)
    save_jfk(store, deleted=True, version=2)
    vector = reader(store).get(JFK)
    assert dict(vector) == NOTHING
    assert set(vector.statuses.values()) == {Status.MISSING}


def test_a_correction_of_equal_time_is_served(store):
    save_jfk(store)
    save(store, DELAYS_VIEW, [{"origin": "JFK", "count_1h": 4}], version=2)
    assert reader(store).get(JFK)["delays__count_1h"] == 4


def test_healing_back_in_time_is_served(store):
    save_jfk(store)
    save(store, DELAYS_VIEW, [{"origin": "JFK", "count_1h": 1}], since=SINCE - TTL, version=2)
    # An older writer.
    save(store, DELAYS_VIEW, [{"origin": "JFK", "count_1h": 9}], since=SINCE + TTL, version=1)
    assert reader(store).get(JFK)["delays__count_1h"] == 1


def test_many_entities_and_views_take_one_round_trip(store):
    origins = [f"A{n}" for n in range(200)]
    save(
        store, DELAYS_VIEW, [{"origin": origin, "count_1h": n} for n, origin in enumerate(origins)]
    )
    requests = [{"origin": origin, "day": None if n % 2 else 1} for n, origin in enumerate(origins)]
    vectors = reader(store).get([*requests, requests[5]])
    assert [vector["delays__count_1h"] for vector in vectors] == [*range(200), 5]
    assert store.reads == [201 + 100]
    assert reader(store).get([]) == []
    assert isinstance(reader(store).get(JFK), FeatureVector)


def test_keys_may_have_other_names_in_a_request(store):
    save_jfk(store)
    renamed = msgspec.structs.replace(DELAYS_VIEW, request_keys={"origin": "airport"})
    found = reader(store, ServiceLayout("late", NAMESPACE, (renamed, TAILS_VIEW)))
    assert found.key_names == ["airport", "origin", "day"]
    vector = found.get({"airport": "JFK", "origin": "LAX", "day": 7, "label": 1.0})
    assert vector.statuses == {
        name: "present" if name in DELAYS_NAMES else "missing" for name in NAMES
    }
    with pytest.raises(PlaneError, match="key 'airport' is of type string"):
        found.get({"airport": 3, "origin": "LAX", "day": 7})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"orgin": "JFK", "day": 7},
            "'delays' is read by the key 'origin' .string., which is not given",
        ),
        ({"origin": "JFK"}, "'tails' is read by the key 'day' .int64., which is not given"),
        ({"origin": "JFK", "day": "7"}, "key 'day' is of type int64, but '7' .str. was given"),
    ],
)
def test_a_wrong_key_is_told_by_name(store, keys, message):
    with pytest.raises(PlaneError, match=message) as raised:
        reader(store).get(keys)
    assert raised.value.hint


def test_projects_and_environments_are_apart(store):
    save_jfk(store, namespace="petshop.prod")
    save_jfk(store, namespace="shop.dev")
    assert set(reader(store).get(JFK).statuses.values()) == {Status.MISSING}


NEWER = ViewLayout(
    "delays",
    "d2",
    Layout(DELAYS.keys, (Field("new_1h", "int64", 0), *DELAYS.fields)),
    DELAYS_VIEW.features,
)


def test_the_version_that_serves_is_read(store):
    both = ServiceLayout("late", NAMESPACE, (DELAYS_VIEW, TAILS_VIEW, NEWER))
    save_jfk(store)
    save(store, NEWER, [{"origin": "JFK", "count_1h": 30, "new_1h": 1}])
    found = reader(store, both, refresh_seconds=0)
    serving = naming.serving_hash(NAMESPACE)

    def count() -> object:
        return found.get(JFK)["delays__count_1h"]

    assert (count(), found.versions) == (3, {"delays": "d1", "tails": "t1"})
    store.set_fields(serving, {b"delays": b"d2"})
    assert (count(), found.versions["delays"], list(found.get(JFK))) == (30, "d2", NAMES)
    store.set_fields(serving, {b"delays": b"d1"})  # rolled back
    assert count() == 3
    assert not found.outdated
    store.set_fields(serving, {b"delays": b"d2", b"tails": b"t1"})
    assert count() == 30
    # Deployed after this reader: it stays with what it reads.
    store.set_fields(serving, {b"delays": b"d3"})
    assert (count(), found.versions, found.outdated) == (30, {"delays": "d2", "tails": "t1"}, True)
    store.set_fields(serving, {b"delays": b"d2"})
    assert (count(), found.outdated) == (30, False)


def test_the_serving_hash_is_looked_up_once_in_a_while(store):
    found = reader(
        store, ServiceLayout("late", NAMESPACE, (DELAYS_VIEW, NEWER)), refresh_seconds=3600
    )
    found.get(JFK)
    store.set_fields(naming.serving_hash(NAMESPACE), {b"delays": b"d2"})
    found.get(JFK)
    assert found.versions == {"delays": "d1"}


def test_a_feature_that_the_serving_version_lacks_is_missing(store):
    wider = msgspec.structs.replace(NEWER, features=("new_1h", "count_1h"))
    save_jfk(store)
    store.set_fields(naming.serving_hash(NAMESPACE), {b"delays": b"d1"})
    vector = reader(store, ServiceLayout("late", NAMESPACE, (wider, DELAYS_VIEW))).get(JFK)
    assert dict(vector) == {"delays__new_1h": 0, "delays__count_1h": 3}
    assert list(vector.statuses.values()) == ["missing", "present"]
    assert list(vector.effective_times.values()) == [None, SINCE]


def test_a_feature_that_is_lacking_is_missing_where_the_row_has_expired(store):
    layout = Layout(
        TAILS_VIEW.layout.keys,
        (Field("new", "string"), *TAILS_VIEW.layout.fields),
        TAILS_VIEW.layout.ttl,
    )
    wider = msgspec.structs.replace(
        TAILS_VIEW, version="t2", layout=layout, features=("new", "tail")
    )
    save_jfk(store)
    store.set_fields(naming.serving_hash(NAMESPACE), {b"tails": b"t1"})
    vector = reader(
        store, ServiceLayout("late", NAMESPACE, (wider, TAILS_VIEW)), now=SINCE + TTL
    ).get(JFK)
    assert vector.statuses == {"tails__new": "missing", "tails__tail": "expired"}
    assert vector.effective_times == {"tails__new": None, "tails__tail": SINCE}


def test_a_feature_that_has_another_type_in_the_serving_version_is_missing(store):
    retyped = ViewLayout(
        "delays", "d2", Layout(DELAYS.keys, (Field("count_1h", "string"), DELAYS.fields[1])), ()
    )
    newest = msgspec.structs.replace(retyped, features=("count_1h", "mean_1h"))
    save_jfk(store)
    store.set_fields(naming.serving_hash(NAMESPACE), {b"delays": b"d1"})
    vectors = reader(store, ServiceLayout("late", NAMESPACE, (newest, DELAYS_VIEW))).get([JFK])
    assert dict(vectors[0]) == {"delays__count_1h": None, "delays__mean_1h": 1.5}
    assert list(vectors[0].statuses.values()) == ["missing", "present"]
    assert vectors.to_arrow().column("delays__count_1h").to_pylist() == [None]


def test_a_feature_without_a_layout_is_refused(store):
    wrong = msgspec.structs.replace(DELAYS_VIEW, features=("count_1h", "count_9h"))
    with pytest.raises(PlaneError, match="'delays' has no count_9h in version d1"):
        reader(store, ServiceLayout("late", NAMESPACE, (wrong,)))


def test_a_foreign_value_is_told(store):
    key = naming.online_prefix(NAMESPACE, "delays", "d1") + b"{JFK}"
    store.write([as_batch([Record(key, msgspec.msgpack.encode([1, 2, "text", 1.5, []]))])])
    with pytest.raises(PermanentError, match="not written in the layout"):
        reader(store).get(JFK)


def test_a_lost_server_is_transient():
    with pytest.raises(TransientError):
        reader(connect(url="redis://127.0.0.1:1")).get(JFK)


def test_a_service_layout_has_one_json_form():
    service = ServiceLayout(
        "late",
        NAMESPACE,
        (DELAYS_VIEW, msgspec.structs.replace(TAILS_VIEW, request_keys={"a": "b"})),
    )
    assert msgspec.json.decode(msgspec.json.encode(service), type=ServiceLayout) == service
