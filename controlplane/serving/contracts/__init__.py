"""The contract of a feature service, for its callers, and its text in several schema languages.

The texts are JSON Schema, Protocol Buffers, Arrow and a typed Python module. They follow from the
contract alone. No I/O is done here.
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
"""The schema languages of contracts."""


def text(service_contract: Contract, language: str) -> str:
    """Return a contract as readable text in one of `FORMATS`.

    Raises:
        PlaneError: there is no such language.
    """
    match language:
        case "json-schema":
            encoded = msgspec.json.encode(json_schema(service_contract))
            return msgspec.json.format(encoded, indent=2).decode() + "\n"
        case "arrow":
            return arrow_schema.text(service_contract.columns, service_contract.metadata)
        case "proto":
            return proto(service_contract)
        case "python":
            return python_client(service_contract)
        case _:
            raise PlaneError(
                f"there is no schema format {language!r}", hint=f"choose from: {', '.join(FORMATS)}"
            )


def content(service_contract: Contract, language: str) -> bytes:
    """Return a contract's file: its text, or for Arrow an IPC file with the schema and no rows.

    Raises:
        PlaneError: there is no such language.
    """
    if language == "arrow":
        return arrow_schema.file(service_contract.columns, service_contract.metadata)
    return text(service_contract, language).encode()
