"""Making `gymnasium.make("qfix/...")` work without paying for Gymnasium where it is not used.

Registering needs Gymnasium, which takes about a tenth of a second to import; `qfix --help` must not. So
worlds are registered at once where Gymnasium is already there, and otherwise in the moment somebody imports
it.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from qfix.envs.catalogue import CATALOGUE


def register_worlds() -> None:
    """Register every world of the catalogue with Gymnasium. Calling it again changes nothing."""
    import gymnasium

    for row in CATALOGUE:
        if row.id not in gymnasium.registry:
            gymnasium.register(
                row.id,
                entry_point="qfix.envs.make:world_env" if row.finite else row.definition,
                max_episode_steps=row.max_episode_steps,
                kwargs={"world": row.name} if row.finite else {},
            )


def register_worlds_with_gymnasium() -> None:
    """Register now if Gymnasium has been imported, else as soon as it is. Imports nothing itself."""
    if "gymnasium" in sys.modules:
        register_worlds()
    elif not any(isinstance(finder, _GymnasiumFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _GymnasiumFinder())


class _GymnasiumFinder(MetaPathFinder):
    """Steps aside at the first import of Gymnasium, leaving word to register the worlds after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gymnasium":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            spec.loader = _ThenRegister(spec.loader)
        return spec


class _ThenRegister(Loader):
    """Gymnasium's own loader, followed by the registration."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # whoever asks the module for its loader later, say for its data files, gets the real one
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        register_worlds()
