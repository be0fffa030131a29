"""Check that a run has the factors whose product is to decay."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.products import find_products
from poc.shared.spec.resolved import ResolvedRun


def check_decay(run: ResolvedRun) -> None:
    """Refuse a decay of products for a network without any.

    Raises:
        UsageError: No two kernels of the network act as one.
    """
    decay, model = run.spec.optimizer.frobenius_decay, run.spec.model_spec
    if decay is None or find_products(run.network, model.factors):
        return
    raise UsageError(
        f"Got optimizer.frobenius_decay={decay:g} for {model.name}, none of whose layers is a "
        "product of two factors. Expected model.factors, or a light dense layer. Try "
        f"optimizer.weight_decay={decay:g}, or `poc weights factorize` for a trained run."
    )
