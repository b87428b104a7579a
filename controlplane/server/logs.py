"""Logs as JSON lines, for programs that collect them.

They hold names, counts and times, but never values of features or keys.
"""

from __future__ import annotations

import logging
import traceback
from datetime import UTC, datetime
from typing import Any

import msgspec

from controlplane.base.types import ascii_json

LOGGER = logging.getLogger("controlplane.server")
CONFIG: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "controlplane.server.logs.JsonFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {
        "controlplane.server": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        # uvicorn's protocol logs each connection that isn't HTTP, and each request for an upgrade.
        # A client could fill the log that way, so these are only counted.
        "controlplane.server.http": {"level": "ERROR"},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}
"""The argument of `logging.config.dictConfig`."""


def say(event: str, level: int = logging.INFO, **facts: object) -> None:
    """Log one line: an event, and facts about it."""
    LOGGER.log(level, event, extra={"facts": facts})


class JsonFormatter(logging.Formatter):
    """Formats a record as a line of JSON.

    An exception is logged with its type and its frames, without its text, which may hold values.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "process": record.process,
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = record.exc_info[0].__name__
            frames = traceback.extract_tb(record.exc_info[2])
            line["places"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        # Standard error may have any encoding, and its own way to escape is not JSON.
        return ascii_json(msgspec.json.encode(line, enc_hook=str).decode())
