"""Runtimes of exported files, as their users have them: ONNX Runtime and the TFLite interpreter.

Both use one thread on the CPU, so that latencies of several files can be compared. No framework is
imported.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from poc.shared.data.sources.base import Pixels
from poc.shared.errors import UsageError
from poc.shared.spec.suggestions import likeliest

from .embedding import KEY, read_attached

# Calls before the clock starts: the first ones allocate memory and choose kernels.
WARM_UPS = 3
# A latency is the median of at least ten calls, and of as many more as fit into a second.
MIN_REPEATS = 10
SECONDS_PER_LATENCY = 1.0


class ExportedModel(Protocol):
    """An exported file, opened by its runtime.

    Attributes:
        runtime: Name and version of the runtime.
        metadata: Text that the file was exported with; empty without.
    """

    runtime: str
    metadata: str

    def logits(self, images: Pixels) -> NDArray[np.float32]:
        """Compute logits (N, num_classes) of images (N, H, W, C) uint8."""


class OnnxModel:
    """An ONNX file in ONNX Runtime."""

    def __init__(self, path: Path) -> None:
        # Imported here, since `poc[export]` is an optional extra.
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        self.runtime = f"onnxruntime {version('onnxruntime')}"
        known = self._session.get_modelmeta().custom_metadata_map
        self.metadata = str(known.get(KEY, ""))

    def logits(self, images: Pixels) -> NDArray[np.float32]:
        """Compute logits (N, num_classes) of images (N, H, W, C) uint8."""
        return np.asarray(self._session.run(None, {"images": images})[0])


class TfliteModel:
    """A TFLite file in its interpreter; with plain kernels if XNNPACK refuses the file."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import OpResolverType

        self.runtime = f"ai-edge-litert {version('ai-edge-litert')}"
        self.metadata = read_attached(path)
        with without_information():
            self._interpreter = self._open(path, OpResolverType.AUTO)
            try:
                self._interpreter.allocate_tensors()
            except RuntimeError:
                # Part of the name, since a latency without XNNPACK is of other kernels.
                self.runtime += " without XNNPACK"
                plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
                self._interpreter = self._open(path, plain)
                self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        # An interpreter starts with the exported shape, a batch of one image.
        self._batch_size = 1

    def logits(self, images: Pixels) -> NDArray[np.float32]:
        """Compute logits (N, num_classes) of images (N, H, W, C) uint8."""
        if len(images) != self._batch_size:
            self._interpreter.resize_tensor_input(self._input, images.shape)
            self._interpreter.allocate_tensors()
            self._batch_size = len(images)
        self._interpreter.set_tensor(self._input, images)
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))

    def _open(self, path: Path, resolver: Any) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        return Interpreter(str(path), num_threads=1, experimental_op_resolver_type=resolver)


@contextmanager
def without_information() -> Iterator[None]:
    """Drop INFO lines that the runtime's C++ prints; print its other lines after the block."""
    # C++ writes to the descriptor itself, past `sys.stderr`, so the descriptor is redirected.
    sys.stderr.flush()
    with TemporaryFile() as written:
        kept = os.dup(2)
        try:
            os.dup2(written.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            written.seek(0)
            for line in written:
                if not line.startswith(b"INFO:"):
                    os.write(2, line)


class Format(NamedTuple):
    """A file format.

    Attributes:
        backend: Framework that writes it.
        open: Opens a file in the runtime.
        runs_with: Module that runs it.
        modules: Modules that write and run it.
    """

    backend: str
    open: Callable[[Path], ExportedModel]
    runs_with: str
    modules: tuple[str, ...]


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "onnx": Format("torch", OnnxModel, "onnxruntime", ("onnx", "onnxruntime", "onnxscript")),
        "tflite": Format("tf", TfliteModel, "ai_edge_litert", ("ai_edge_litert",)),
    }
)
# Relative. A float32 file only sums in another order. float16 and int8 round the values, so no
# bound fits every network: their error is reported instead.
TOLERANCE = 1e-5
PRECISIONS = ("float32", "float16", "int8")


def find_format(name: str) -> Format:
    """Return the row of a format.

    Raises:
        UsageError: There is no such format, or a module that it needs is not installed.
    """
    if name not in FORMATS:
        raise UsageError(
            f"Got the format {name!r}. Expected one of {', '.join(FORMATS)}. Try "
            f"{likeliest(name, FORMATS)}."
        )
    if missing := [module for module in FORMATS[name].modules if find_spec(module) is None]:
        raise UsageError(
            f"Got the format {name!r}, which needs {' and '.join(missing)}, not installed here. "
            "Expected its modules installed. Try pip install 'poc[export]'."
        )
    return FORMATS[name]


def open_file(path: Path) -> ExportedModel:
    """Open an exported file, whose ending is its format.

    Raises:
        UsageError: The runtime is not installed, or cannot read the file.
    """
    name = path.suffix.removeprefix(".")
    form = FORMATS[name]
    if find_spec(form.runs_with) is None:
        package = form.runs_with.replace("_", "-")
        raise UsageError(
            f"Got {str(path)!r}, which {package} runs, not installed here. Expected it installed. "
            f"Try pip install {package}."
        )
    try:
        return form.open(path)
    except Exception as error:  # Each runtime raises errors of its own.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(
            f"Got {str(path)!r}, which its runtime cannot open ({reason}). Expected a file that "
            f"`poc export RUN --format {name}` wrote. Try writing it again."
        ) from None


def measure_latency(model: ExportedModel, images: Pixels, batch_size: int) -> dict[str, float]:
    """Measure one call at a batch size, without the warm-up.

    Args:
        model: Opened file.
        images: (N, H, W, C) uint8; repeated or cut to the batch size.
        batch_size: Images per call.

    Returns:
        `seconds`: median of one call; `calls`: number of calls.
    """
    batch = np.resize(images, (batch_size, *images.shape[1:]))
    for _ in range(WARM_UPS):
        model.logits(batch)
    seconds: list[float] = []
    while len(seconds) < MIN_REPEATS or sum(seconds) < SECONDS_PER_LATENCY:
        started = time.perf_counter()
        model.logits(batch)
        seconds.append(time.perf_counter() - started)
    return {"seconds": float(np.median(seconds)), "calls": len(seconds)}
