"""The order of views that read other views: each comes after those that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter


def order(upstream: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the names in dependency order; independent names keep the order of `upstream`.

    Raises:
        CycleError: its second argument is the cycle, with the first name repeated at the end.
    """
    position = {name: index for index, name in enumerate(upstream)}
    sorter = TopologicalSorter(
        {name: [u for u in ups if u in position] for name, ups in upstream.items()}
    )
    # Not `static_order`: it does not keep the order of independent names.
    sorter.prepare()
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready(), key=position.__getitem__)
        ordered.extend(ready)
        sorter.done(*ready)
    return ordered


__all__ = ["CycleError", "order"]
