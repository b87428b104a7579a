"""What a feature service takes and gives, for those who call it: its contract, and that in the
languages of others.

JSON Schema, Protocol Buffers, Arrow and a typed Python module are texts that follow from a contract
alone. No I/O is done here.
"""

from __future__ import annotations

import msgspec

from controlplane.codec import arrow_schema
from controlplane.errors import PlaneError
from controlplane.serving.contracts.contract import Contract, Feature, contract
from controlplane.serving.contracts.json_schema import json_schema
from controlplane.serving.contracts.proto import proto
from controlplane.serving.contracts.python_client import python_client

__all__ = ["FORMATS", "Contract", "Feature", "content", "contract", "text"]
FORMATS = ("json-schema", "arrow", "proto", "python")
"""The languages that a contract can be told in."""


def text(found: Contract, language: str) -> str:
    """A contract as people read it in one of `FORMATS`.

    Raises:
        PlaneError: there is no such language.
    """
    match language:
        case "json-schema":
            return (
                msgspec.json.format(msgspec.json.encode(json_schema(found)), indent=2).decode()
                + "\n"
            )
        case "arrow":
            return arrow_schema.text(found.columns, found.metadata)
        case "proto":
            return proto(found)
        case "python":
            return python_client(found)
        case _:
            raise PlaneError(
                f"there is no schema format {language!r}", hint=f"choose from: {', '.join(FORMATS)}"
            )


def content(found: Contract, language: str) -> bytes:
    """The file of a contract: its text, but for Arrow, whose file is an IPC file of this schema
    without rows.

    Raises:
        PlaneError: there is no such language.
    """
    if language == "arrow":
        return arrow_schema.file(found.columns, found.metadata)
    return text(found, language).encode()
