"""Check of a method's loss terms: each has one value per example."""

from collections.abc import Mapping

from poc.shared.errors import CheckFailed


def check_terms(method: str, shapes: Mapping[str, tuple[int, ...]], num_examples: int) -> None:
    """Refuse loss terms that do not have one value per example.

    A scalar, or one value per pair, would be summed as well, with weights that nobody meant.

    Args:
        method: Name of the method, for the message.
        shapes: Name of a term -> its shape, which must be (N,).
        num_examples: N, the number of examples in the batch.

    Raises:
        CheckFailed: There is no term, or a term is not (N,).
    """
    if not shapes:
        raise CheckFailed(
            f"Got no loss term from the method {method}. Expected at least one. Try returning one."
        )
    for name, shape in shapes.items():
        if shape != (num_examples,):
            raise CheckFailed(
                f"Got from the method {method} the loss term {name!r} with the shape {shape}. "
                f"Expected ({num_examples},), one value per example. Try giving a loss over the "
                "entire batch as shares, whose mean it is."
            )
