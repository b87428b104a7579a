"""URLs of the online store: what the driver would misread is refused, and no password is
repeated."""

from __future__ import annotations

import pytest

from connectors.redis.sentinel import Sentinels
from connectors.redis.store import connect
from controlplane.errors import PermanentError, PlaneError, SettingsError, TransientError

REFUSED_OPTIONS = {
    "redis://h/0?decode_responses=True": ("decode_responses", "remove it"),
    "rediss://h/0?ssl_cert_reqs=none": ("ssl_cert_reqs", "certificate is always checked"),
    "rediss://h/0?ssl_ca_certs=ca.pem": ("ssl_ca_certs", "set `ca_certificate` of `online`"),
    "redis://h?socket_timeout=1": ("socket_timeout", "set `timeout_seconds` of `online`"),
    "redis://h?protocol=3&db=1": ("protocol", "remove it"),
    "redis://h?password=top-secret": ("password", "set `password` of `online`"),
    "unix:///run/redis.sock?encoding=latin-1": ("encoding", "remove it"),
    "redis://h?nonsense": ("nonsense", "remove it"),
}


@pytest.mark.parametrize("url", REFUSED_OPTIONS)
def test_b1_an_option_in_the_url_is_refused_with_the_settings_that_exist(url):
    name, remedy = REFUSED_OPTIONS[url]
    with pytest.raises(SettingsError) as raised:
        connect(url=url)
    assert (
        raised.value.message
        == f"the URL of the online store has the option {name!r}, which is not supported"
    )
    assert raised.value.hint.startswith(remedy) or remedy in raised.value.hint
    assert "url, username, password, sentinels, sentinel_username" in raised.value.hint
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h/shop",
        "redis://h/0/1",
        "redis://h/-1",
        "redis://h?db=shop",
        "redis://h/ 1",
        "redis://h/?db=",
    ],
)
def test_b1_a_database_is_a_number(url):
    for options in ({}, {"cluster": True}, {"sentinels": ["localhost:1"]}):
        with pytest.raises(SettingsError, match="names a database that is not a number"):
            connect(url=url, **options)


def test_b1_a_database_is_named_once():
    with pytest.raises(SettingsError, match="more than once"):
        connect(url="redis://h/1?db=2")


@pytest.mark.parametrize("mark", ["@", "/", "#", "?", ":", "[", "%", "@/", "#@", "?a=b@", "/@h:1/"])
@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix"])
def test_c6_a_password_that_is_not_escaped_is_not_shown(scheme, mark):
    url = f"{scheme}://me:12{mark}top-secret@127.0.0.1:1/0"
    with pytest.raises(PlaneError) as raised:
        connect(url=url, timeout_seconds=0.1).read([b"k"])
    assert isinstance(raised.value, TransientError | PermanentError) or "%40" in raised.value.hint
    assert "secret" not in str(raised.value)
    assert "12" not in str(raised.value).replace("127.0.0.1", "")


def test_b1_a_url_that_is_right_still_works(valkey_url, raw):
    for url in (valkey_url, f"{valkey_url}/", f"{valkey_url}/0", f"{valkey_url}?db=0"):
        store = connect(url=url)
        assert store.read([b"none"]) == [None]
        store.close()


@pytest.mark.parametrize("host", ["a..b", "a" * 64, "é" * 64])
def test_b1_a_host_that_cannot_be_looked_up_is_refused(host):
    """Case B1: Python's own encoding of host names failed with a UnicodeError."""
    with pytest.raises(SettingsError, match="is not a Redis URL"):
        connect(url=f"redis://{host}:1/0")


@pytest.mark.parametrize(
    "address", ["", "h:x", "h:0", "h:65536", "h:", "a..b:1", "[::1", "::1]:2", "a" * 64, "[h:1"]
)
def test_b2_an_address_of_a_sentinel_that_is_none_is_named(address):
    """Case B2: the error was that the URL is no URL, or a UnicodeError."""
    with pytest.raises(SettingsError, match="in `sentinels` is not an address") as raised:
        connect(url="redis://master/0", sentinels=["h:1", address])
    assert raised.value.message.startswith(repr(address))
    assert "host:port" in raised.value.hint


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("h", "h:26379"),
        ("h:1", "h:1"),
        ("[::1]:2", "::1:2"),
        ("[::1]", "::1:26379"),
        ("fe80::1", "fe80::1:26379"),
    ],
)
def test_b2_forms_of_an_address_of_a_sentinel(address, place):
    (found,) = Sentinels([address]).addresses()
    assert f"{found[0]}:{found[1]}" == place


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout_seconds", 0),
        ("timeout_seconds", float("nan")),
        ("timeout_seconds", 1e300),
        ("patience_seconds", -1),
        ("max_rows_per_second", 0),
    ],
)
def test_b2_a_number_that_means_nothing_is_refused(name, value):
    with pytest.raises(SettingsError, match=f"the online store's {name} is"):
        connect(url="redis://127.0.0.1:1/0", **{name: value})


@pytest.mark.parametrize(
    "url", ["localhost:6379", "http://:top-secret@x", "redis://:top-secret@x:port", ""]
)
def test_what_is_no_url_is_told_without_its_password(url):
    with pytest.raises(SettingsError, match="not a Redis URL") as raised:
        connect(url=url)
    assert "secret" not in str(raised.value)
