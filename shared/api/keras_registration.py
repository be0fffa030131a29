"""Registration of this package's layers with Keras, so that `.keras` files load without ceremony.

`keras.models.load_model` only knows classes that are registered. Nobody imports `poc.tf_impl` by
hand, and `import poc` must not import a framework. The layers are therefore imported right after
Keras, in whichever order the two are imported.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec

_KERAS, _LAYERS = "keras", "poc.tf_impl.layers"


def watch_keras() -> None:
    """Register the layers now if Keras is imported, otherwise right after its import."""
    if _KERAS in sys.modules:
        _register_layers(sys.modules[_KERAS])
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder())


# No subclass of importlib.abc.MetaPathFinder: that module takes most of the time of `import poc`.
class _KerasFinder:
    """A finder that lets the others find Keras, and adds the registration to its import."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> "ModuleSpec | None":
        if name != _KERAS:
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(name, path, target)) is not None:
                if spec.loader is not None:
                    self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: "Loader") -> None:
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            # Looking for Keras is no import of it: the finder stays until the module is executed.
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register_layers(module)

        # On the loader itself: one in front of it would hide what else importlib asks of it.
        loader.exec_module = execute_and_register  # type: ignore[method-assign]


def _register_layers(keras: ModuleType) -> None:
    """Import the layers, which register themselves, if Keras computes with TensorFlow."""
    # Keras 2 has no such module, and cannot read the files of Keras 3 either.
    config = getattr(keras, "config", None)
    # With another backend the import would bring TensorFlow, which nobody asked for.
    if config is not None and config.backend() == "tensorflow":
        importlib.import_module(_LAYERS)
