"""Turns the driver's errors into errors of the platform."""

from __future__ import annotations

import re

from redis import exceptions

from connectors.redis.sentinel import NoMaster
from connectors.redis.servers import Servers
from controlplane.errors import PermanentError, PlaneError, TransientError

# Servers before 7 wrap the error of a command that a script called.
_INNER_CODE = re.compile(r" -([A-Z]+) ")
_REFUSED = ("NOAUTH", "WRONGPASS", "NOPERM")
_CLUSTER = ("MOVED", "ASK", "CROSSSLOT")
_PASSING = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "NOSCRIPT",
)


def translated(error: exceptions.RedisError, action: str, servers: Servers) -> PlaneError:
    """Return an error of the platform for one of the driver's.

    Args:
        error: what the driver raised.
        action: what was being done, such as the name of the command.
        servers: where it failed.
    """
    # A server that doesn't know a command repeats its arguments, and AUTH's is the password.
    text = str(error).split(", with args beginning with", maxsplit=1)[0]
    message = f"the online store at {servers.address}: {action}: {text}"
    inner = _INNER_CODE.search(text)
    code = inner[1] if inner else error.status_code or text.split(" ", maxsplit=1)[0]
    if isinstance(error, NoMaster):
        return (PermanentError if error.permanent else TransientError)(message, hint=error.hint)
    # The driver counts refused passwords among lost connections, so these come first.
    if isinstance(error, exceptions.AuthenticationError) or code in _REFUSED:
        hint = (
            "check the user and its password; `plane doctor` shows the permissions (ACL) that"
            " are missing"
        )
    elif "certificate" in text and isinstance(error, exceptions.ConnectionError):
        hint = (
            "TLS: the server's certificate must be signed by an authority in the file"
            " `ca_certificate`, and must name the URL's host; set `certificate` and"
            " `private_key_file` only for a server that requires a client certificate"
        )
    elif code == "OOM":
        hint = (
            "the server's memory is full: raise maxmemory, or remove versions and views that"
            " nobody reads; keep an eviction policy of noeviction or volatile-*, because the"
            " others drop values without an error"
        )
    elif code in _CLUSTER and servers.one_slot:
        hint = "this is one node of a Redis Cluster: set `cluster = true`"
    elif "cluster support disabled" in text:
        hint = "this server is not a node of a Redis Cluster: leave `cluster` out"
    elif (
        isinstance(error, exceptions.ConnectionError | exceptions.TimeoutError)
        or code in _PASSING + _CLUSTER
    ):
        hint = "check that the server runs and can be reached, then try again"
        if "No space left on device" in text:  # MISCONF: it can't write its append-only file
            hint = "free some space on the server's disk"
        return TransientError(message, hint=hint)
    else:
        hint = ""
    return PermanentError(message, hint=hint)
