"""A framework in the caller's own process, which only a native model needs."""

import os
import sys
import warnings
from importlib.util import find_spec

from poc.shared.engine.backend import Backend, load
from poc.shared.errors import UsageError

# `load_framework`, `build_native`, a public call, the caller's line: a warning names the last.
STACK_LEVEL = 4


def load_framework(backend: str) -> Backend:
    """Import a backend into this process.

    On a CPU both frameworks can be in one process, but a first import of torchvision after
    TensorFlow ends Python without a message (seen with TensorFlow 2.21 and torchvision 0.29).
    Nothing here imports torchvision, but the caller may: hence the warning.

    Args:
        backend: `tf` or `torch`.

    Raises:
        UsageError: The name is unknown, the framework is not installed, or Keras is set to another
            backend than TensorFlow.

    Warns:
        RuntimeWarning: Both frameworks are in this process, and torchvision is not.
    """
    keras = os.environ.get("KERAS_BACKEND", "tensorflow")
    if backend == "tf" and keras != "tensorflow":
        raise UsageError(
            f"Got KERAS_BACKEND={keras!r} with backend='tf'. Expected Keras over TensorFlow. Try "
            "removing that environment variable before Keras is imported."
        )
    loaded = load(backend)
    if is_dangerous():
        warnings.warn(
            "TensorFlow and PyTorch are now in one process. Importing torchvision from here on "
            "would end Python: import it before the first TensorFlow model, or use a process per "
            "framework.",
            RuntimeWarning,
            stacklevel=STACK_LEVEL,
        )
    return loaded


def is_dangerous() -> bool:
    """Say if this process holds both frameworks and could still import torchvision."""
    has_both = {"tensorflow", "torch"} <= sys.modules.keys()
    return has_both and "torchvision" not in sys.modules and find_spec("torchvision") is not None
