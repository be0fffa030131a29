"""Decay of the product of two factors in place of each factor, in TensorFlow.

Half the squared Frobenius norm of W = s A B has the gradients s^2 A (B B^T) and s^2 (A^T A) B
(Khodak et al., ICLR 2021, arXiv 2105.01029). The products in brackets are (r, r), so W is never
formed.
"""

from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from poc.shared.spec.networks.products import Product


class FrobeniusDecay:
    """The gradient of coefficient / 2 * ||s A B||^2, added up over all pairs of factors.

    Args:
        products: The pairs, by the names of their variables.
        variables: Name -> variable of every parameter: A is (…, r), B is (…, r, F).
        coefficient: Factor of the gradient.
    """

    def __init__(
        self,
        products: Sequence[Product],
        variables: Mapping[str, keras.Variable],
        *,
        coefficient: float,
    ) -> None:
        self.products, self.variables, self.coefficient = products, variables, coefficient

    def add(self, gradients: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Return the gradients (…) by name, those of trained factors with their decay's added."""
        found = dict(gradients)
        for product in self.products:
            first, second = (
                tf.convert_to_tensor(self.variables[name])
                for name in (product.first, product.second)
            )
            scale = self.coefficient * product.scale**2
            if product.first in gradients:
                # (…, r, r), added up over the positions of a horizontal kernel.
                squares = tf.linalg.matmul(second, second, transpose_b=True)
                inner = tf.reduce_sum(squares, range(squares.shape.rank - 2))
                found[product.first] += scale * tf.tensordot(first, inner, 1)
            if product.second in gradients:
                rows = tf.reshape(first, (-1, first.shape[-1]))
                inner = tf.linalg.matmul(rows, rows, transpose_a=True)
                found[product.second] += scale * tf.linalg.matmul(inner, second)
        return found
