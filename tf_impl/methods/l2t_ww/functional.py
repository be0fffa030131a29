"""A declared network as a pure function of its parameters and running statistics."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import keras
import tensorflow as tf

from poc.tf_impl.layers.derivatives import efficient_second_order
from poc.tf_impl.models import Model
from poc.tf_impl.weights import named_variables


class Pass(NamedTuple):
    """Results of a forward pass: outputs (N, …) by node, and running statistics (C,) after it."""

    values: Mapping[str, tf.Tensor]
    statistics: Mapping[str, tf.Tensor]


class PureForward:
    """Training-mode forward passes of a model with given values; the model itself is not changed.

    Args:
        model: Any declared network.
        is_efficient: Take the second derivatives of convolution and batch norm from `derivatives`
            and `batch_norm`, not from the framework.
    """

    def __init__(self, model: Model, *, is_efficient: bool = True) -> None:
        self.model, self.is_efficient = model, is_efficient
        self._variables = named_variables(model)

    def __call__(
        self,
        parameters: Mapping[str, tf.Tensor],
        statistics: Mapping[str, tf.Tensor],
        images: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        wanted: Sequence[str],
        *,
        linear_only: bool = False,
    ) -> Pass:
        """Run one forward pass.

        Args:
            parameters: Canonical name -> value of every trainable parameter; others are ignored.
            statistics: Canonical name -> running statistic (C,).
            images: A batch (N, H, W, C).
            noise: Masks (N, …) of the random layers.
            wanted: Nodes whose outputs are returned.
            linear_only: See `batch_norm.batch_norm`.
        """
        # Keras reads the given values instead of the variables, and keeps new ones in the scope.
        given = {n: v for n, v in {**parameters, **statistics}.items() if n in self._variables}
        pairs = [(self._variables[name], value) for name, value in given.items()]
        mode = efficient_second_order(linear_only=linear_only) if self.is_efficient else None
        with mode or nullcontext(), keras.StatelessScope(state_mapping=pairs) as scope:
            values = self.model.values(images, list(wanted), noise, training=True)
            after = {name: scope.get_current_value(self._variables[name]) for name in statistics}
        return Pass(values, after)
