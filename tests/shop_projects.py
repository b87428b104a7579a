"""Fixtures that make the projects of `tests.shop`.

Their online values are kept apart by the projects' names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.shop import Shop

_NUMBERS = count(1)


@pytest.fixture
def make(tmp_path: Path, valkey_url: str) -> Iterator[Callable[..., Shop]]:
    """Makes projects in folders of their own; options as of `Shop`.

    Commands that still run at the end are killed.
    """
    made: list[Shop] = []

    def call(**options: Any) -> Shop:
        name = f"shop{next(_NUMBERS)}"
        made.append(Shop(tmp_path / name, options.pop("online", valkey_url), name=name, **options))
        return made[-1]

    yield call
    for child in (child for one in made for child in one.children):
        child.kill()
        child.join()


@pytest.fixture
def shop(make: Callable[..., Shop]) -> Shop:
    """A project in which nothing is deployed yet."""
    return make()
