"""Imports of definition files as they are now: Python's own cache of compiled modules may be of an
earlier text.

Python takes such a cache for current if the file has the same size and was changed in the same
second: an edit by a program, or another branch that git checks out, can be both.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import (
    SOURCE_SUFFIXES,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path
from types import CodeType, ModuleType


class SourceLoader(SourceFileLoader):
    """Compiles the file at each import, and leaves no cache."""

    def get_code(self, fullname: str) -> CodeType | None:
        """The compiled text of the file."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Finds modules that lie in some folders."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._finders = {
            folder: FileFinder(folder, (SourceLoader, SOURCE_SUFFIXES)) for folder in folders
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What `sys.meta_path` asks for.

        `path` are the folders of the package that the module is of.
        """
        for folder in self._finders if path is None else path:
            finder = self._finders.get(folder)
            spec = finder.find_spec(name) if finder else None
            if spec is not None and spec.loader is not None:
                return spec
        return None


@contextmanager
def importable(folders: Sequence[str]) -> Iterator[None]:
    """Modules in the folders can be imported, before others of the same names.

    In the end they are forgotten.
    """
    before, modules, finder = list(sys.path), set(sys.modules), _Finder(folders)
    sys.path[:0] = folders
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = before
        for name in set(sys.modules) - modules:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and str(Path(origin).parent) in folders:
                del sys.modules[name]
