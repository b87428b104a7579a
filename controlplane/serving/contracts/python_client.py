"""The Python module of a contract: typed dictionaries, and a thin class over `FeatureClient`."""

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


def python_client(contract: Contract) -> str:
    """Return the text of the module."""
    keys = [_field(name, f"{_type(key_type)} | None") for name, key_type in contract.keys]
    # A field that may be null may also be left out.
    request = [
        _field(
            field.name,
            f"NotRequired[{_type(field.type)} | None]" if field.nullable else _type(field.type),
        )
        for field in contract.request
    ]
    features = [
        _field(feature.name, f"{_type(feature.type)} | None", feature.description)
        for feature in contract.features
    ]
    types = {"Keys": keys, "Request": request, "Features": features}
    type_names = " ".join(contract.types)
    context = {
        "service": contract.service,
        "version": contract.version,
        "title": contract.title,
        "request": bool(request),
        "nullable": any(field.nullable for field in contract.request),
        "dates": [
            python
            for key_type, python in (("date", "date"), ("timestamp", "datetime"))
            if key_type in type_names
        ],
        "decimals": "decimal(" in type_names,
        "types": [
            {"name": f"{contract.title}{part}", "fields": fields}
            for part, fields in types.items()
            if fields
        ],
    }
    return template.render("schemas/client.py.j2", {"s": context})


def _field(name: str, annotation: str, comment: str = "") -> dict[str, str]:
    return {"name": name, "type": annotation, "comment": comment}


def _type(value_type: str) -> str:
    if is_list(value_type):
        return f"list[{_type(item_type(value_type))} | None]"
    return _SCALARS.get(value_type, "Decimal")
