"""What a step takes of a method's loss: named terms, one value an example."""

from collections.abc import Mapping

from poc.shared.errors import CheckFailed


def check_terms(method: str, shapes: Mapping[str, tuple[int, ...]], num_examples: int) -> None:
    """Refuse loss terms that are not one value an example.

    A scalar, or one value a pair, would be summed all the same, with weights that nobody meant.

    Args:
        method: Whose terms they are.
        shapes: Term -> its shape.
        num_examples: N.

    Raises:
        CheckFailed: There is no term, or one is not (N,).
    """
    if not shapes:
        raise CheckFailed(f"the method {method} gave no loss term; expected is one at least")
    for name, shape in shapes.items():
        if shape != (num_examples,):
            raise CheckFailed(
                f"the method {method} gave the loss term {name!r} with the shape {shape}; expected "
                f"is ({num_examples},), one value an example: give a loss over the whole batch as "
                "shares, whose mean it is"
            )
