"""Has gevent choose riata's loop, when and if the program imports gevent."""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_CONFIG = "gevent._config"
_LOOP = "riata.gevent.Loop"


def choose_when_imported() -> None:
    """Make riata's loop gevent's default.

    What GEVENT_LOOP and `gevent.config.loop` say still holds.
    """
    config = sys.modules.get(_CONFIG)
    if config is not None:
        _choose(config)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _choose(config: ModuleType) -> None:
    config.Loop.default = [_LOOP]


class _Finder(importlib.abc.MetaPathFinder):
    """Waits for gevent's configuration to be imported, and then is gone."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _CONFIG:
            return None
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(importlib.abc.Loader):
    """Loads gevent's configuration as the loader in its charge does, and changes the default."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        _choose(module)
