"""A contract as a Python module: dictionaries with types, and a thin class over `FeatureClient`."""

from __future__ import annotations

from controlplane.base import template
from controlplane.base.types import is_list, item_type
from controlplane.serving.contracts.contract import Contract

_SCALARS = {
    "bool": "bool",
    "int64": "int",
    "float64": "float",
    "string": "str",
    "binary": "bytes",
    "date": "date",
    "timestamp": "datetime",
}


def python_client(found: Contract) -> str:
    """The text of the module."""
    keys = [_field(name, f"{_type(kind)} | None") for name, kind in found.keys]
    request = [
        _field(
            one.name, f"NotRequired[{_type(one.type)} | None]" if one.nullable else _type(one.type)
        )
        for one in found.request
    ]
    features = [
        _field(one.name, f"{_type(one.type)} | None", one.description) for one in found.features
    ]
    types = {"Keys": keys, "Request": request, "Features": features}
    kinds = " ".join(found.types)
    context = {
        "service": found.service,
        "version": found.version,
        "title": found.title,
        "request": bool(request),
        "nullable": any(one.nullable for one in found.request),
        "dates": [
            python
            for kind, python in (("date", "date"), ("timestamp", "datetime"))
            if kind in kinds
        ],
        "decimals": "decimal(" in kinds,
        "types": [
            {"name": f"{found.title}{part}", "fields": fields}
            for part, fields in types.items()
            if fields
        ],
    }
    return template.render("schemas/client.py.j2", {"s": context})


def _field(name: str, kind: str, comment: str = "") -> dict[str, str]:
    return {"name": name, "type": kind, "comment": comment}


def _type(kind: str) -> str:
    if is_list(kind):
        return f"list[{_type(item_type(kind))} | None]"
    return _SCALARS.get(kind, "Decimal")
