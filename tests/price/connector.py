"""A connector: an online store in a dictionary of the process."""

from __future__ import annotations

from tests.price.toy import Imports, Insert, NewFile, Tests, Toy, Types, Use

TOY = Toy(
    "connectors/memory",
    "a connector",
    [
        NewFile(
            "connectors/memory/__init__.py",
            '''"""An online store in the memory of one process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from controlplane.base.ports import OnlineStore, StoreInfo, WriteCount
from controlplane.codec import write_version_of

if TYPE_CHECKING:
    import pyarrow as pa

_SHELVES: dict[str, MemoryStore] = {}


def connect(*, shelf: str) -> OnlineStore:
    """Open the store with this name; every caller in the process gets the same one."""
    return _SHELVES.setdefault(shelf, MemoryStore())


class MemoryStore:
    """Implements `controlplane.base.ports.OnlineStore`; nothing is removed when it expires."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._expiries: dict[bytes, int | None] = {}
        self._hashes: dict[bytes, dict[bytes, bytes]] = {}

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `HashStore.get_fields`."""
        return dict(self._hashes.get(name, {}))

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        """See `HashStore.set_fields`."""
        actual = self._hashes.setdefault(name, {})
        if any(actual.get(field) != value for field, value in (expected or {}).items()):
            return False
        actual.update(fields)
        return True

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """See `OnlineStore.write`."""
        written = kept = 0
        for batch in batches:
            for record in batch.to_pylist():
                key, value = record["key"], record["value"]
                old = self._values.get(key)
                if old is not None and write_version_of(old) > write_version_of(value):
                    kept += 1
                    continue
                self._values[key], self._expiries[key] = value, record["expires_ms"]
                written += 1
        return WriteCount(written, kept)

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`."""
        return [self._values.get(key) for key in keys]

    def expiries(self, keys: Sequence[bytes]) -> list[int | None]:
        """See `OnlineStore.expiries`."""
        return [self._expiries.get(key) for key in keys]

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """See `OnlineStore.keys`."""
        yield [key for key in (*self._values, *self._hashes) if key.startswith(prefix)]

    def remove(self, keys: Sequence[bytes]) -> int:
        """See `OnlineStore.remove`."""
        stores: Sequence[dict[bytes, bytes] | dict[bytes, dict[bytes, bytes]]]
        stores = (self._values, self._hashes)
        return sum(store.pop(key, None) is not None for store in stores for key in keys)

    def info(self) -> StoreInfo:
        """See `OnlineStore.info`."""
        return StoreInfo("1", "noeviction", used_memory=0, max_memory=0, evicted_keys=0)

    def close(self) -> None:
        """Keep the values for the next caller."""
''',
        ),
        Insert(
            "pyproject.toml",
            after='databricks = "connectors.databricks:connect"\n',
            text='memory = "connectors.memory:connect"\n',
        ),
    ],
    [
        Tests(["tests/project/test_options.py"]),
        Types(["connectors"]),
        Imports(),
        Use(
            "tests/project/test_memory.py",
            '''"""A project syncs to the store and reads from it."""

from controlplane import ControlPlane
from tests.shop import Shop


def test_values_are_served(tmp_path) -> None:
    shop = Shop(tmp_path / "shop", None, name="memorable")
    online = 'online = { kind = "memory", shelf = "toys" }'
    shop.resettle(('state = "sqlite', f'{online}\\nstate = "sqlite'))
    with ControlPlane(shop.folder) as plane:
        plane.deploy()
        plane.run()
        values = plane.get("shop", {"user_id": 1})
        assert values["spend__amount_sum_2d"] == 30
        assert [view.mismatches for view in plane.verify(cases=20, seed=7).views] == [[]]
''',
        ),
    ],
)
