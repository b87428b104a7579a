"""The protocols between this package and the systems that a team already runs.

A connector implements one or more of them. It knows statements, rows and keys, but not what they
are for. No protocol has more than 8 methods of its own. Every method raises `TransientError` or
`PermanentError`, never a
driver's own error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from controlplane.errors import PermanentError

if TYPE_CHECKING:
    import pyarrow as pa


Kind = Literal[
    "",
    "create_schema",
    "create_table",
    "create_table_as",
    "create_view",
    "create_function",
    "insert",
    "update",
    "delete",
    "merge",
    "drop_table",
    "select",
    "grant",
    "comment",
]
"""What a statement does; empty where nothing depends on it."""


class Function(msgspec.Struct, frozen=True):
    """A function in Python that a statement makes: quoted name, types of parameters, type of
    results, program.

    The program is a module whose function `handler` takes the parameters in order.
    """

    name: str
    parameters: tuple[str, ...]
    returns: str
    handler: str
    program: str


class Statement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One SQL statement, with its parts as values: nobody needs to take its text apart.

    Attributes:
        name: what logs, progress bars and errors call it.
        sql: its text.
        kind: what it does.
        target: the quoted table or view that it makes or changes, with its alias where it has one.
        query: the query whose rows it stores or returns. A merge calls that `n`.
        condition: of a delete its WHERE, of a merge its ON.
        function: what `create_function` makes.
        variant: which of several ways to do the work it belongs to; empty for the way that always
            works.
        decides: if it changes no row, the statements after it are not run.
    """

    name: str
    sql: str
    kind: Kind = ""
    target: str = ""
    query: str = ""
    condition: str = ""
    function: Function | None = None
    variant: str = ""
    decides: bool = False

    def goes_on(self, count: int) -> bool:
        """Whether the statements after it run, once it has changed so many rows."""
        return count > 0 or not self.decides


class Estimate(NamedTuple):
    """A warehouse's estimate for a query: the rows of its result, and the bytes that it reads.

    None if the warehouse does not estimate it.
    """

    rows: int | None = None
    read_bytes: int | None = None


class Columns(dict[str, str]):
    """The columns of a query or table, in order, and their types.

    Columns are looked up in any case, and listed as the warehouse spells them.
    """

    def __init__(self, columns: Iterable[tuple[str, str]]) -> None:
        super().__init__(columns)
        self._spelled = {folded(name): name for name in self}

    def __contains__(self, name: object) -> bool:
        """Tell whether there is such a column, in any case."""
        return isinstance(name, str) and folded(name) in self._spelled

    def __missing__(self, name: str) -> str:
        """Return the type of a column whose name is in another case."""
        return self[self._spelled[folded(name)]]

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ANN401 - as a dictionary's
        """Return the type of a column, whose name may be in any case."""
        # `dict.get` does not call `__missing__`.
        return super().get(self._spelled.get(folded(name), name), default)


def folded(name: str) -> str:
    """Return a name in small letters and without quotes."""
    return name.strip('"').lower()


def check_names(columns: Iterable[str]) -> None:
    """Check that no two columns of a query have names that are equal or differ only in case.

    Raises:
        PermanentError: two columns have; the message names them.
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
        """Run statements in order.

        After one that `decides` and changed no row, none is run; if `atomic`, none takes effect.

        Args:
            statements: to run.
            tag: names the work in the warehouse's own query log.
            atomic: all statements take effect, or none.

        Returns:
            The number of rows that each statement changed; -1 if the warehouse does not say. There
            are no numbers for statements that were not run.
        """

    def fetch(self, sql: str, *, tag: str = "") -> Iterator[pa.RecordBatch]:
        """Stream a query's rows as Arrow batches.

        All batches come from one snapshot of the data.
        """

    def columns(self, tables: Sequence[str]) -> Mapping[str, Mapping[str, str] | None]:
        """Return the columns of tables (`schema.name`), in order, with their types.

        Types are canonical (see `types`); a type that has no canonical form is spelled as the
        warehouse does. A missing table is None.
        """

    def describe_all(self, queries: Sequence[str]) -> list[Mapping[str, str] | PermanentError]:
        """Describe queries without running them, in few round trips.

        Returns:
            For each query its columns and their types, spelled as in `columns`; or the error that
            makes it invalid, such as two columns of one name (see `check_names`).
        """

    def explain(self, queries: Sequence[str]) -> list[Estimate | PermanentError]:
        """Estimate queries without running them; an invalid query yields its error."""

    def info(self) -> Mapping[str, str]:
        """Return what `plane doctor` shows: version, address, user; no secrets."""

    def cancel(self) -> None:
        """Cancel the running statement; safe to call from another thread or a signal handler."""

    def close(self) -> None:
        """End the session and free its resources."""


def described(warehouse: Warehouse, sql: str) -> Mapping[str, str]:
    """Return the columns and types of one query, which is not run.

    Raises:
        PermanentError: it is invalid.
    """
    [columns] = warehouse.describe_all([sql])
    if isinstance(columns, Exception):
        raise columns
    return columns


class Calculator(Protocol):
    """A prepared query over rows in memory, which several threads may run at once."""

    def compute(self, columns: Sequence[Sequence[Any]]) -> list[tuple[Any, ...]]:
        """Run the query and return its rows, in order.

        Args:
            columns: of the rows that it runs over: its parameters, which are lists. Values are as
                in `codec`: timestamps in UTC, decimals as `Decimal`.
        """

    def close(self) -> None:
        """Free its resources."""


@dataclass
class WriteCount:
    """The result of a write: records that were stored, and those not, as a newer value exists."""

    written: int = 0
    kept_newer: int = 0


@dataclass(frozen=True)
class StoreInfo:
    """A store's state, for `plane doctor` and the preflight.

    Attributes:
        version: of the server.
        eviction_policy: what the server does when its memory is full.
        used_memory: in bytes.
        max_memory: in bytes; 0: no limit.
        evicted_keys: since the server started.
        epoch: changes if a server restarts or fails over: then the last writes that it acknowledged
            may be lost.
        spread: whether keys are spread over several servers: one may have lost writes that are
            older than those that another kept.
        details: further values to show.
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
    """The rights that a store's user lacks.

    Attributes:
        user: its name on the server.
        missing: the server's rules that would grant them, such as `+evalsha` or `~shop.local:*`.
        unknown: commands that the server lacks, or has under another name.
    """

    user: str
    missing: Sequence[str] = ()
    unknown: Sequence[str] = ()


@runtime_checkable
class RightsProbe(Protocol):
    """An optional protocol of a store whose users have rights."""

    def rights(self, prefix: bytes) -> Rights:
        """Check, without a change, the right to all needed commands on keys with this prefix."""


class HashStore(Protocol):
    """Small hashes, which hold what an online store keeps next to values; see `online.records`."""

    def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """Return all fields of a small hash; empty if there is no such hash."""

    def set_fields(
        self,
        name: bytes,
        fields: Mapping[bytes, bytes],
        expected: Mapping[bytes, bytes | None] | None = None,
    ) -> bool:
        """Set fields of a small hash, atomically.

        Args:
            name: of the hash.
            fields: to set.
            expected: fields that must have these values (None: must not exist); otherwise nothing
                is set.

        Returns:
            Whether the fields were set.
        """


class OnlineStore(HashStore, Protocol):
    """A key-value store that models read from."""

    def write(self, batches: Iterable[pa.RecordBatch]) -> WriteCount:
        """Store every record unless its key holds a value with a newer write version (see `codec`).

        A batch has the columns `key` and `value` (binary) and `expires_ms` (int64: the wall-clock
        expiry in milliseconds since the epoch, null where there is none); see
        `codec.batch.RECORDS`. Only a few batches are in memory at a time.
        """

    def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the values of keys, in order, in one round trip; None if a key does not exist."""

    def expiries(self, keys: Sequence[bytes]) -> list[int | None]:
        """Return when keys expire, in milliseconds since the epoch, rounded to seconds.

        None: the key never expires, or does not exist.
        """

    def keys(self, prefix: bytes) -> Iterator[list[bytes]]:
        """Yield all keys that begin with `prefix`, in batches.

        A key that exists during the whole iteration is yielded at least once.
        """

    def remove(self, keys: Sequence[bytes]) -> int:
        """Remove keys of any type; return how many existed."""

    def info(self) -> StoreInfo:
        """Return the state of the store."""

    def close(self) -> None:
        """Close the connections."""


class AsyncOnlineStore(Protocol):
    """The same store inside one event loop, for reads alone."""

    async def read(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """See `OnlineStore.read`; concurrent reads share a round trip."""

    async def get_fields(self, name: bytes) -> dict[bytes, bytes]:
        """See `HashStore.get_fields`."""

    async def answering(self, seconds: float) -> dict[str, bool]:
        """Tell by address whether each server with keys answers within `seconds`.

        Raises:
            PlaneError: the list of servers is not known.
        """

    async def close(self) -> None:
        """Close the connection."""
