"""`poc weights convert`: files of PyTorch and Keras into canonical safetensors, and back.

PyTorch pickles are opened in the torch worker (tensors only), Keras files in the tf worker (arrays
only: no layer is built, no Lambda is run); safetensors needs neither.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from poc.shared.engine.conversion import (
    CANONICAL,
    choose,
    find_scheme,
    from_canonical,
    to_canonical,
)
from poc.shared.engine.files import Arrays, read_arrays, write_arrays
from poc.shared.engine.weight_check import check_weights
from poc.shared.engine.worker import Worker, WorkerCrashed
from poc.shared.errors import UsageError
from poc.shared.spec.config import load_run
from poc.shared.spec.models import find_model
from poc.shared.spec.published.table import find_schemes
from poc.shared.spec.run import RunSpec

from .counting import parse_input_shape

BACKENDS = {".pth": "torch", ".pt": "torch", ".tar": "torch", ".h5": "tf", ".keras": "tf"}
WRITTEN = (".safetensors", ".pth", ".h5")


def convert_for(
    source: Path,
    target: Path,
    *,
    model: str,
    classes: str,
    assignments: Iterable[str] = (),
    shape: str | None = None,
    origin: str | None = None,
    to: str = CANONICAL,
) -> dict[str, Any]:
    """The command: `convert_file` for a model and options as they are typed."""
    row = find_model(model)
    run = load_run(
        None,
        [f"model.name={model}", f"num_classes={classes}", *assignments],
        method="scratch",
        input_shape=parse_input_shape(shape) if shape else row.example_input,
    )
    return convert_file(source, target, run, source_format=origin, target_format=to)


def convert_file(
    source: Path, target: Path, run: RunSpec, *, source_format: str | None, target_format: str
) -> dict[str, Any]:
    """Read, check every name and shape, rename, transpose, write.

    Args:
        source: `.safetensors`, `.pth`, `.pt`, `.pth.tar`, `.h5` or `.keras`.
        target: `.safetensors`, `.pth` or `.h5`.
        run: Its model, `input_shape` and `num_classes` say what the tensors are.
        source_format: `torch`, `keras`, `canonical` or a scheme's name; none: found by the names.
        target_format: The same.

    Returns:
        What was done: model, formats, numbers of tensors and values.

    Raises:
        UsageError: An unreadable file, an unknown format, or a tensor that is missing, extra or
            misshapen.
    """
    network, schemes = run.network, find_schemes(run.model_spec.name)
    if target.suffix not in WRITTEN:
        raise UsageError(
            f"received the output {str(target)!r}; allowed are {', '.join(WRITTEN)}: name one"
        )
    outgoing = next(iter(choose(schemes, target_format, network.name)), None)
    tensors = read_tensors(source)
    incoming = find_scheme(network, schemes, tensors, source_format)
    if incoming is None:
        weights = tensors
        check_weights(network, weights)
    else:
        weights = to_canonical(network, incoming, tensors)
    result = from_canonical(network, outgoing, weights) if outgoing else weights
    write_tensors(target, result)
    origin, form = (scheme.name if scheme else CANONICAL for scheme in (incoming, outgoing))
    num_values = sum(value.size for value in weights.values())
    return {
        "model": network.name,
        "from": origin,
        "to": form,
        "tensors": len(weights),
        "values": num_values,
        "output": str(target),
        "summary": f"{network.name}, {len(weights)} tensors, {num_values} values, "
        f"{origin} to {form}",
    }


def read_tensors(path: Path) -> Arrays:
    """Every tensor of a file, under the file's own names.

    Raises:
        UsageError: Missing, of an unknown kind, or unreadable.
    """
    if not path.is_file():
        raise UsageError(f"received the weights {str(path)!r}, which is no file; name one")
    if path.suffix == ".safetensors":
        return read_arrays(path)
    if path.suffix not in BACKENDS:
        allowed = ", ".join([".safetensors", *BACKENDS])
        raise UsageError(
            f"received the weights {str(path)!r}; allowed are {allowed}: name such a file"
        )
    with Worker(BACKENDS[path.suffix]) as worker:
        try:
            return dict(worker.call("read_published", path=str(path.resolve())))
        except WorkerCrashed as error:
            # Compiled readers of damaged files may die, or be ended for their time.
            reason = str(error).splitlines()[0]
            raise UsageError(
                f"received the weights {str(path)!r}, at which their reader failed ({reason}); "
                "name a sound file, or write the tensors as safetensors"
            ) from None


def write_tensors(path: Path, tensors: Arrays) -> None:
    """The reverse."""
    if not path.parent.is_dir():
        raise UsageError(
            f"received the output {str(path)!r}, whose folder does not exist; make it first"
        )
    if path.suffix == ".safetensors":
        write_arrays(path, tensors)
        return
    with Worker(BACKENDS[path.suffix]) as worker:
        worker.call("write_published", path=str(path.resolve()), tensors=tensors)
