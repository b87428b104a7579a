"""Import definition files from their current text, without Python's cache of compiled modules.

Python takes a cache for current if the file has the same size and was changed in the same second.
After an edit by a program, or after git checks out another branch, a stale cache can meet both.
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
    """Compiles the file at each import and writes no cache."""

    def get_code(self, fullname: str) -> CodeType | None:
        """Compile the text of the file."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Finds the modules of the given folders."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._finders = {
            folder: FileFinder(folder, (SourceLoader, SOURCE_SUFFIXES)) for folder in folders
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module, as `sys.meta_path` calls it.

        Args:
            name: of the module.
            path: the folders of its package; None for a module at the top.
        """
        for folder in self._finders if path is None else path:
            finder = self._finders.get(folder)
            spec = finder.find_spec(name) if finder else None
            if spec is not None and spec.loader is not None:
                return spec
        return None


@contextmanager
def importable(folders: Sequence[str]) -> Iterator[None]:
    """Make the modules in the folders importable, before others of the same names.

    At the end they are removed from `sys.modules`.
    """
    before, modules, finder = list(sys.path), set(sys.modules), _Finder(folders)
    sys.path[:0] = folders
    sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        sys.path[:] = before
        # Another project in this process may have files of the same names.
        for name in set(sys.modules) - modules:
            origin = getattr(sys.modules[name], "__file__", None)
            if origin and str(Path(origin).parent) in folders:
                del sys.modules[name]
