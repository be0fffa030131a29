"""Texts in a weight file besides its tensors: the model, and the lineage that it computes with.

Files of both lineages of a model have equal names and shapes. With the wrong lineage every tensor
fits, and every output is wrong.
"""

from collections.abc import Mapping
from pathlib import Path

from poc.shared.errors import UsageError
from poc.shared.files.arrays import Arrays, read_arrays_and_metadata
from poc.shared.spec.networks.models import ModelSpec

LINEAGE = "lineage"
HABITS = "habits"


def lineage_of(model: ModelSpec) -> str | None:
    """Return the lineage that a model's options name, or None if it has only one form."""
    named = getattr(model.resolved(), LINEAGE, None)
    return None if named is None else str(named)


def weight_metadata(
    model: ModelSpec, lineage: str | None = None, habits: str = ""
) -> dict[str, str]:
    """Return header texts for a model's weights.

    Args:
        model: The model.
        lineage: Replaces that of the options.
        habits: Native habits of its network, as `of_network` names them; empty: none.
    """
    known = lineage or lineage_of(model)
    texts = {"model": model.name, **({LINEAGE: known} if known else {})}
    return {**texts, **({HABITS: habits} if habits else {})}


def refuse_habits(metadata: Mapping[str, str], path: Path) -> None:
    """Refuse weights of a network with native habits, where one without them is meant.

    Raises:
        UsageError: The header names habits.
    """
    if found := metadata.get(HABITS):
        raise UsageError(
            f"Got {str(path)!r}, weights of a network with the habits {found}. Expected weights "
            "of a network as its architecture states it, since every tensor would fit, but into "
            "another network. Try training that run again with habits=common."
        )


def read_weights_of(model: ModelSpec, path: Path) -> Arrays:
    """Read the canonical `Weights` of a file, if it is of this form of the model.

    Raises:
        UsageError: The file is unreadable, or its weights are of another lineage.
    """
    tensors, metadata = read_arrays_and_metadata(path)
    check_lineage(model, metadata, path)
    return tensors


def check_lineage(model: ModelSpec, metadata: Mapping[str, str], path: Path) -> None:
    """Refuse weights of another lineage; accept a file that names none.

    Raises:
        UsageError: The lineages differ, and it names both; or as `refuse_habits`.
    """
    refuse_habits(metadata, path)
    own, found = lineage_of(model), metadata.get(LINEAGE)
    if own is not None and found is not None and own != found:
        raise UsageError(
            f"Got {str(path)!r}, weights of the lineage {found!r}, for {model.name} with "
            f"lineage={own!r}. Expected the same lineage, since the other one pads and normalises "
            f"differently. Try --set model.lineage={found}."
        )
