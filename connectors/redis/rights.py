"""Tries which commands a user of a Redis server may run on a project's keys, without a change.

`ACL DRYRUN` is not used: only an administrator may run it, and servers before 7 don't have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis
from redis import exceptions

from controlplane.base.ports import Rights

_COMMAND = re.compile(r"run the '([\w|]+)' command")
_NO_SUCH_SCRIPT = "0" * 40

# A server checks rights after it counts the arguments, and before it looks at a key or at the
# arguments' meaning. So it refuses each of these to a user without the right, and none of them
# changes anything for other users.
_TRIALS: Mapping[str, tuple[Any, ...]] = {
    "info": ("INFO", "server"),
    "hgetall": ("HGETALL", "{key}"),
    "hget": ("HGET", "{key}", "field"),
    "hexists": ("HEXISTS", "{key}", "field"),
    "hset": ("HSET", "{key}", "field", "value", "field without a value"),
    "mget": ("MGET", "{key}"),
    "set": ("SET", "{key}", "value", "XX"),
    "time": ("TIME",),
    "pttl": ("PTTL", "{key}"),
    "eval": ("EVAL", "return 1", 1, "{key}"),
    "evalsha": ("EVALSHA", _NO_SUCH_SCRIPT, 1, "{key}"),
    "script|load": ("SCRIPT LOAD", "return 1"),
    "scan": ("SCAN", 0, "MATCH", "{key}", "COUNT", 1),
    "unlink": ("UNLINK", "{key}"),
}


def rights(masters: Iterable[redis.Redis], prefix: bytes) -> Rights:
    """Try every command on a key that does not exist.

    Args:
        masters: a client of each server; the user is the same on all.
        prefix: the bytes that the project's keys begin with.
    """
    user = "default"
    missing: dict[str, None] = {}
    unknown: dict[str, None] = {}
    for master in masters:
        user = str(master.connection_pool.connection_kwargs.get("username") or user)
        for name, words in _TRIALS.items():
            match _refusal(
                master, [prefix + b"plane_doctor" if word == "{key}" else word for word in words]
            ):
                case "key":
                    missing[f"~{prefix.decode()}*"] = None
                case "unknown":
                    unknown[name] = None
                case "command":
                    missing[f"+{name}"] = None
                case other if other:
                    missing[f"+{other}"] = None
    return Rights(user, tuple(missing), tuple(unknown))


def _refusal(master: redis.Redis, words: Sequence[Any]) -> str:
    """Return why a command is refused.

    Returns:
        `key`, `command` or `unknown`; the name of another command without which this one can't be
        sent, such as `select`; or an empty text if it is not refused.

    Raises:
        RedisError: the server can't be asked.
    """
    try:
        master.execute_command(*words)  # type: ignore[no-untyped-call]
    except exceptions.NoPermissionError as error:
        match = _COMMAND.search(str(error))
        if match is None:
            return "key"
        named, tried = match[1].lower(), str(words[0]).lower().replace(" ", "|")
        return "command" if tried.startswith(named) else named
    except exceptions.AuthenticationError:
        raise
    except exceptions.ResponseError as error:
        return "unknown" if "unknown command" in str(error).lower() else ""
    return ""
