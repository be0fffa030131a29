"""Parameters that the run's weight decay reaches."""

from collections.abc import Collection, Sequence

from .optimizers import OptimizerSpec

# Ends of canonical names: a scale or a shift of channels.
NORMS_AND_BIASES = ("gamma", "beta", "bias")


def are_decayed(
    optimizer: OptimizerSpec, names: Sequence[str], factors: Collection[str] = ()
) -> list[bool]:
    """Say for each parameter if `optimizer.weight_decay` reaches it.

    A decay that a layer asks for itself is part of the layer, and not meant here.

    Args:
        optimizer: The run's optimiser.
        names: Canonical names of the trained parameters.
        factors: Names of the kernels whose product has a decay of its own, if the run has one.
    """
    exempt = NORMS_AND_BIASES if optimizer.decay_exempt == "norms_and_biases" else ()
    product = frozenset(factors) if optimizer.frobenius_decay is not None else frozenset()
    return [name.rpartition("/")[2] not in exempt and name not in product for name in names]
