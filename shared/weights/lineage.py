"""What a weight file says beside its tensors: the model, and the lineage that it computes with.

Files of both lineages of a model have equal names and shapes. Under the wrong one every tensor is
taken, and each output is wrong.
"""

from collections.abc import Mapping
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, read_arrays_and_metadata
from poc.shared.spec.networks.models import ModelSpec

LINEAGE = "lineage"


def lineage_of(model: ModelSpec) -> str | None:
    """The lineage that a model's options name; none: it has but one form."""
    named = getattr(model.resolved(), LINEAGE, None)
    return None if named is None else str(named)


def weight_metadata(model: ModelSpec, lineage: str | None = None) -> dict[str, str]:
    """Texts for the header of a model's weights; `lineage` where it is not the options' own."""
    known = lineage or lineage_of(model)
    return {"model": model.name, **({LINEAGE: known} if known else {})}


def read_weights_of(model: ModelSpec, path: Path) -> Arrays:
    """Tensors of a canonical file, if they belong to this form of the model.

    Raises:
        UsageError: Unreadable, or of another lineage.
    """
    tensors, metadata = read_arrays_and_metadata(path)
    check_lineage(model, metadata, path)
    return tensors


def check_lineage(model: ModelSpec, metadata: Mapping[str, str], path: Path) -> None:
    """Refuse weights of another lineage; a file that names none is taken.

    Raises:
        UsageError: Names both.
    """
    own, found = lineage_of(model), metadata.get(LINEAGE)
    if own is not None and found is not None and own != found:
        raise UsageError(
            f"received {str(path)!r}, weights of the lineage {found!r}, for {model.name} with "
            f"lineage={own!r}, which pads and normalises otherwise: set model.lineage={found}"
        )
