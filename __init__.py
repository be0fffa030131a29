"""Image-classification methods in TensorFlow and in PyTorch, from Python.

    import poc

    result = poc.run(method="lightlayers", backend="torch", data="folder:photos", epochs=5)
    table = poc.predict(result.folder, ["a.jpg", "b.jpg"])
    model = poc.load_model(result.folder)

`import poc` loads neither a framework nor NumPy: each name below loads what it needs at its first
use, and a framework comes into this process with a native model only.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from poc.shared.api.keras_registration import watch_keras

if TYPE_CHECKING:
    from poc.shared.api.explanations import explain
    from poc.shared.api.models import build_model, load_model
    from poc.shared.api.predictions import predict, prepare_images
    from poc.shared.api.results import Comparison, RunResult
    from poc.shared.api.runs import read_runs
    from poc.shared.api.training import compare, run
    from poc.shared.errors import CheckFailed, Interrupted, UsageError

__all__ = [
    "CheckFailed",
    "Comparison",
    "Interrupted",
    "RunResult",
    "UsageError",
    "build_model",
    "compare",
    "explain",
    "load_model",
    "predict",
    "prepare_images",
    "read_runs",
    "run",
]

# Module below poc.shared -> the public names in it.
_PLACES = {
    "errors": ("CheckFailed", "Interrupted", "UsageError"),
    "api.explanations": ("explain",),
    "api.models": ("build_model", "load_model"),
    "api.predictions": ("predict", "prepare_images"),
    "api.results": ("Comparison", "RunResult"),
    "api.runs": ("read_runs",),
    "api.training": ("compare", "run"),
}


def __getattr__(name: str) -> object:
    """Import the module of a public name at the name's first use."""
    for place, names in _PLACES.items():
        if name in names:
            found: object = getattr(import_module(f"poc.shared.{place}"), name)
            # From here on Python finds it without this function.
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return the public names, also those that were not used yet."""
    return sorted({*globals(), *__all__})


# Keras must know the layers of a saved model, whichever of the two packages is imported first.
watch_keras()
