"""The protocols between this package and the systems that a team already runs.

A connector implements one of them with at most 9 methods. It knows statements, rows and keys; it
does not know what they are for. Every method raises `TransientError` or `PermanentError`, never a
driver's own error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from controlplane.errors import PermanentError

if TYPE_CHECKING:
    import pyarrow as pa


class Statement(NamedTuple):
    """One SQL statement and the name that logs, progress bars and errors call it by."""

    name: str
    sql: str


class Estimate(NamedTuple):
    """What a warehouse expects of a query before it runs: the rows of its result, and the bytes
    that it reads; None where it doesn't say."""

    rows: int | None = None
    read_bytes: int | None = None


class Columns(dict[str, str]):
    """A query's or table's columns in order, and their types, where names that differ in case alone
    are one name.

    Columns are looked up in any case, and listed as the warehouse spells them.
    """

    def __init__(self, columns: Iterable[tuple[str, str]]) -> None:
        super().__init__(columns)
        self._spelled = {folded(name): name for name in self}

    def __contains__(self, name: object) -> bool:
        """Whether there is such a column, in any case."""
        return isinstance(name, str) and folded(name) in self._spelled

    def __missing__(self, name: str) -> str:
        """The type of a column that is asked for in another case."""
        return self[self._spelled[folded(name)]]

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as a dictionary's
        """The type of a column, asked for in any case."""
        return super().get(self._spelled.get(folded(name), name), default)


def folded(name: str) -> str:
    """Return a name in small letters and without the quotes that a user may give."""
    return name.strip('"').lower()


def check_names(columns: Iterable[str]) -> None:
    """Check that no two columns of a query have the same name, or names that differ in case alone.

    Raises:
        PermanentError: two have; the message names them.
    """
    known: dict[str, str] = {}
    for name in columns:
        plain = folded(name)
        if plain in known:
            text = f"two of its columns have one name: {known[plain]!r} and {name!r}"
            raise PermanentError(
                text, hint=f"rename one of them in the query, as in: ... AS other_{plain}"
            )
        known[plain] = name


class Warehouse(Protocol):
    """A SQL warehouse, through one open session."""

    dialect: str

    def execute(
        self, statements: Sequence[Statement], *, tag: str = "", atomic: bool = False
    ) -> list[int]:
        """Run `statements` in order and return the rows each one changed (-1 where the warehouse
        doesn't tell).

        `tag` names the work in the warehouse's own query log. With `atomic`, all of them take
        effect or none.
        """

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """Stream a query's rows as Arrow batches.

        All batches come from one snapshot of the data.
        """

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """For each table (`schema.name`), its columns in order and their types in the spelling of
        `types`; a type that has no such spelling is given in the warehouse's own words; a missing
        table is None."""

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """Check queries without running them, in few round trips: for each its columns and their
        types, spelled as in `columns`, or what is wrong with it; two columns of one name are (see
        `check_names`)."""

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """Have queries planned without running them: for each what it would read and give, or what
        is wrong with it."""

    def info(self) -> Mapping[str, str]:
        """What `plane doctor` shows: the product's version, the place, the user; no secret."""

    def cancel(self) -> None:
        """Stop what runs now; safe to call from another thread or a signal handler."""

    def close(self) -> None:
        """End the session and free what it holds."""


def described(warehouse: Warehouse, sql: str) -> Mapping[str, str]:
    """The columns and types of one query, which is not run.

    Raises:
        PermanentError: it is wrong.
    """
    [columns] = warehouse.describe_all([sql])
    if isinstance(columns, Exception):
        raise columns
    return columns


class Calculator(Protocol):
    """One query over rows that are in memory, ready to be run many times, by several threads at
    once."""

    def compute(self, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """The query's rows, in order.

        Its parameters are lists: the columns of the rows that it runs over.

        Values are as in `codec`: timestamps in UTC, decimals as `Decimal`.
        """

    def close(self) -> None:
        """Free what it holds."""


@dataclass
class WriteCount:
    """What became of the records of a write: stored, or kept out by a newer value that was there
    already."""

    written: int = 0
    kept_newer: int = 0


@dataclass(frozen=True)
class StoreInfo:
    """What `plane doctor` and the preflight look at.

    Sizes in bytes, `max_memory` 0 where there is no limit.

    `epoch` is another one when a server has started anew or failed over: it may have lost the last
    of what it had acknowledged. Where values are `spread` over servers, one may have lost some that
    are older than what another kept.
    """

    version: str
    eviction_policy: str
    used_memory: int
    max_memory: int
    evicted_keys: int
    epoch: str = ""
    spread: bool = False
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Rights:
    """What the user of a store lacks.

    Attributes:
        user: its name on the server.
        missing: the server's own rules that would grant it, such as `+evalsha` or `~shop.local:*`.
        unknown: commands that the server does not have, or has under another name.
    """

    user: str
    missing: Sequence[str] = ()
    unknown: Sequence[str] = ()


@runtime_checkable
class RightsProbe(Protocol):
    """What a store may offer besides `OnlineStore`, where its users have rights."""

    def rights(self, prefix: bytes) -> Rights:
        """Try, without a change, every command that is needed on keys that begin with `prefix`."""


class OnlineStore(Protocol):
    """A key-value store that models read from."""

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """Store every record unless its key holds a value with a newer write version (see `codec`).

        A batch has the columns `key` and `value` (binary) and `expires_ms` (int64: the wall-clock
        expiry in milliseconds since the epoch, null where there is none); see
        `codec.batch.RECORDS`. Only a few batches are in memory at a time.
        """

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values under `keys`, in order, in one round trip; None where there is none."""

    def expiries(self, keys: Sequence[bytes]) -> list[int | None]:
        """When each key expires, in milliseconds since the epoch and to the second.

        None: never, or it is not there.
        """

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """All keys that begin with `prefix`, some at a time.

        One that is there all the while comes at least once.
        """

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove `keys` whatever they hold; returns how many there were."""

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """All fields of a small hash; empty where there is none."""

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        """Set fields of a small hash, all at once; but only if these fields hold what is expected,
        None: are not there. Returns whether they did. Nobody else's change comes between the look
        and the setting."""

    def info(self) -> StoreInfo:
        """Version, eviction policy, memory."""

    def close(self) -> None:
        """Give the connections back."""


class AsyncOnlineStore(Protocol):
    """The same store inside one event loop, for reads alone."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`; what is asked for at the same moment shares a round trip."""

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `OnlineStore.get_fields`."""

    async def answering(self, seconds: float) -> dict[str, bool]:
        """Whether each server that has keys of its own answers within some seconds, by its address.

        Raises:
            PlaneError: it is not known which servers there are.
        """

    async def close(self) -> None:
        """Close the connection."""
