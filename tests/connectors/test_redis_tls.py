"""The Redis connector over TLS: own authorities, clients' certificates, and errors that say what to
do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from connectors.redis import async_store as redis_async
from connectors.redis.store import connect
from controlplane.errors import PermanentError, PlaneError, SettingsError
from tests.codec.rows import Record, as_batch, value
from tests.connectors.tls import Authority, authority, issued, secured

COUNT = 5_000


class Secured(NamedTuple):
    """A server behind TLS, and one that also asks for a client's certificate."""

    port: int
    asking: int
    ours: Authority
    other: Authority
    client: tuple[Path, Path]


@pytest.fixture(scope="module")
def tls(valkey_url, tmp_path_factory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("tls")
    ours, other = authority(folder, "ours"), authority(folder, "other")
    plain, server = int(valkey_url.rpartition(":")[2]), issued(ours, "server")
    with secured(plain, *server) as port, secured(plain, *server, clients=ours.file) as asking:
        yield Secured(port, asking, ours, other, issued(ours, "client"))


def batch(version: int):
    return as_batch(Record(b"k:{%d}" % n, value(version, n)) for n in range(COUNT))


def test_values_are_written_and_read_over_tls(tls, raw):
    store = connect(url=f"rediss://127.0.0.1:{tls.port}", ca_certificate=str(tls.ours.file))
    assert store.write([batch(1), batch(2)]).written == 2 * COUNT

    def batches():
        yield batch(3)
        raw.client_kill_filter(_type="normal", skipme=True)
        yield batch(4)

    assert store.write(batches()).written == 2 * COUNT
    assert store.read([b"k:{%d}" % n for n in range(COUNT)]) == [value(4, n) for n in range(COUNT)]
    store.close()


def test_a_server_that_nobody_known_vouches_for_is_refused(tls):
    unknown = connect(url=f"rediss://127.0.0.1:{tls.port}")
    another = connect(url=f"rediss://127.0.0.1:{tls.port}", ca_certificate=str(tls.other.file))
    misnamed = connect(url=f"rediss://localhost:{tls.port}", ca_certificate=str(tls.ours.file))
    for act in (
        unknown.info,
        lambda: another.write([batch(1)]),
        lambda: misnamed.write([batch(1)]),
    ):
        with pytest.raises(PermanentError, match="certificate verify failed") as raised:
            act()
        assert "ca_certificate" in raised.value.hint
    for store in (unknown, another, misnamed):
        store.close()


def test_a_client_shows_its_certificate(tls):
    url, ours = f"rediss://127.0.0.1:{tls.asking}", str(tls.ours.file)
    certificate, key = map(str, tls.client)
    store = connect(url=url, ca_certificate=ours, certificate=certificate, private_key_file=key)
    assert store.info().version
    store.close()
    without = connect(url=url, ca_certificate=ours, patience_seconds=0.1)
    with pytest.raises(PlaneError):
        without.write([batch(1)])
    without.close()


def test_options_that_can_not_be_meant_are_told(tls):
    with pytest.raises(SettingsError, match=r"ca_certificate: there is no file none\.pem"):
        connect(url="rediss://localhost", ca_certificate="none.pem")
    with pytest.raises(SettingsError, match="its URL is not one for TLS"):
        connect(url="redis://localhost", certificate=str(tls.client[0]))


def test_an_event_loop_reads_over_tls_too(tls, raw):
    url, ours = f"rediss://127.0.0.1:{tls.asking}", str(tls.ours.file)
    certificate, key = map(str, tls.client)
    raw.set("k:{1}", b"one")

    async def read(**files: Any) -> list[list[bytes | None]]:
        store = redis_async.connect(url=url, **files)
        try:
            return await asyncio.gather(*(store.read([b"k:{1}", b"none"]) for _ in range(20)))
        finally:
            await store.close()

    assert (
        asyncio.run(read(ca_certificate=ours, certificate=certificate, private_key_file=key))
        == [[b"one", None]] * 20
    )
    with pytest.raises(PermanentError, match="certificate verify failed") as raised:
        asyncio.run(read(ca_certificate=str(tls.other.file)))
    assert "ca_certificate" in raised.value.hint
