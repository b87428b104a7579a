"""Protocol Buffers (proto3) of a contract.

Protocol Buffers have no decimals and no dates: decimals are strings of their digits, and dates
strings in ISO 8601. Lists are messages, so that a list and its items may be null.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controlplane.base import template
from controlplane.base.types import is_decimal, is_list, item_type
from controlplane.serving.contracts.contract import Contract

_SCALARS = {
    "bool": "bool",
    "int64": "int64",
    "float64": "double",
    "string": "string",
    "binary": "bytes",
    "date": "string",
    "timestamp": "google.protobuf.Timestamp",
}
_ITEMS = {"date": "Date", "timestamp": "Timestamp"}
_COMMENTS = {"date": "ISO 8601"}


@dataclass(frozen=True)
class _Field:
    name: str
    type: str
    label: str = "optional"
    comment: str = ""


@dataclass(frozen=True)
class _Message:
    name: str
    comment: str
    fields: list[_Field] = field(default_factory=list)


def proto(contract: Contract) -> str:
    """Return the text of a .proto file."""
    lists: dict[str, _Message] = {}
    title, about = contract.title, f"of feature service {contract.service}"
    messages = [
        _Message(
            f"{title}Keys",
            f"The keys of the entity whose features {about} are read.",
            _fields(contract.keys, lists),
        ),
        _Message(
            f"{title}Request",
            f"What callers {about} pass in addition to the keys.",
            _fields(((field.name, field.type) for field in contract.request), lists),
        ),
        _Message(
            f"{title}Features",
            contract.description or f"The features {about}.",
            [_field(f.name, f.type, f.description, lists) for f in contract.features],
        ),
    ]
    context = {
        "service": contract.service,
        "version": contract.version,
        # The version is a part of the package: a change of the contract renumbers the fields.
        "package": f"controlplane.{contract.service.lower()}.v{contract.version}",
        "timestamps": any("timestamp" in column_type for column_type in contract.types),
        # A service without request fields has no message for them.
        "messages": [message for message in messages if message.fields] + list(lists.values()),
    }
    return template.render("schemas/service.proto.j2", {"s": context})


def _fields(columns: Iterable[tuple[str, str]], lists: dict[str, _Message]) -> list[_Field]:
    return [_field(name, value_type, "", lists) for name, value_type in columns]


def _field(name: str, value_type: str, description: str, lists: dict[str, _Message]) -> _Field:
    form = value_type if is_decimal(value_type) else _COMMENTS.get(value_type, "")
    return _Field(
        name,
        _type(value_type, lists),
        comment=": ".join(part for part in (description, form) if part),
    )


def _type(value_type: str, lists: dict[str, _Message]) -> str:
    if not is_list(value_type):
        return _SCALARS.get(value_type, "string")
    # `repeated` can be neither null nor have null items. A message can, in both places.
    item = item_type(value_type)
    name, held = _list_name(item), _type(item, lists)
    if name not in lists:
        item_message = f"{name}Item"
        lists[item_message] = _Message(
            item_message, "An item of a list, or null.", [_Field("value", held)]
        )
        lists[name] = _Message(
            name, f"A list of {item}.", [_Field("items", item_message, "repeated")]
        )
    return name


def _list_name(item: str) -> str:
    if is_list(item):
        return f"{_list_name(item_type(item))}List"
    return f"{_ITEMS.get(item, 'Decimal' if is_decimal(item) else item.capitalize())}List"
