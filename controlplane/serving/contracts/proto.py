"""Protocol Buffers (proto3) of a contract.

Decimals are strings of their digits and dates strings in ISO 8601, since neither has a type of its
own. Lists are messages, so that a list and its items may be null.
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


def proto(found: Contract) -> str:
    """The text of a .proto file."""
    lists: dict[str, _Message] = {}
    title, about = found.title, f"of feature service {found.service}"
    messages = [
        _Message(
            f"{title}Keys",
            f"Which entity the features {about} are read of.",
            _fields(found.keys, lists),
        ),
        _Message(
            f"{title}Request",
            f"What callers {about} give beside the keys.",
            _fields(((one.name, one.type) for one in found.request), lists),
        ),
        _Message(
            f"{title}Features",
            found.description or f"The features {about}.",
            [_field(one.name, one.type, one.description, lists) for one in found.features],
        ),
    ]
    context = {
        "service": found.service,
        "version": found.version,
        "package": f"controlplane.{found.service.lower()}.v{found.version}",
        "timestamps": any("timestamp" in kind for kind in found.types),
        "messages": [one for one in messages if one.fields] + list(lists.values()),
    }
    return template.render("schemas/service.proto.j2", {"s": context})


def _fields(columns: Iterable[tuple[str, str]], lists: dict[str, _Message]) -> list[_Field]:
    return [_field(name, kind, "", lists) for name, kind in columns]


def _field(name: str, kind: str, said: str, lists: dict[str, _Message]) -> _Field:
    form = kind if is_decimal(kind) else _COMMENTS.get(kind, "")
    return _Field(
        name, _type(kind, lists), comment=": ".join(part for part in (said, form) if part)
    )


def _type(kind: str, lists: dict[str, _Message]) -> str:
    if not is_list(kind):
        return _SCALARS.get(kind, "string")
    item = item_type(kind)
    name, held = _list_name(item), _type(item, lists)
    if name not in lists:
        one = f"{name}Item"
        lists[one] = _Message(one, "An item of a list, or null.", [_Field("value", held)])
        lists[name] = _Message(name, f"A list of {item}.", [_Field("items", one, "repeated")])
    return name


def _list_name(item: str) -> str:
    if is_list(item):
        return f"{_list_name(item_type(item))}List"
    return f"{_ITEMS.get(item, 'Decimal' if is_decimal(item) else item.capitalize())}List"
