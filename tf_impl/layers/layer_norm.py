"""Layer norm and LayerScale in Keras: over the channels, at each position by itself.

Maps are (N, H, W, C), tokens (N, T, C) and vectors (N, C).
"""

from typing import Any

import tensorflow as tf

from .basic import _create
from .declared import Declared


class LayerNorm(Declared):
    """Layer normalisation of the channels of maps, tokens or vectors."""

    # Not `keras.layers.LayerNormalization`: it takes the mean in the variance for a constant, and
    # its second derivative is silently wrong. TensorFlow has no fused operation.

    def __init__(self, channels: int, *, epsilon: float, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.gamma = _create(self, "gamma", (channels,))
        self.beta = _create(self, "beta", (channels,))
        self.epsilon = epsilon

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalise (N, H, W, C), (N, T, C) or (N, C) over C, scale and shift."""
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        # In mixed precision the sums are taken in the type of the weights.
        outputs = _normalise(tf.cast(inputs, gamma.dtype), gamma, beta, self.epsilon)
        return tf.cast(outputs, inputs.dtype)


class LayerScale(Declared):
    """One learned factor per channel of maps, tokens or vectors."""

    def __init__(self, channels: int, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.gamma = _create(self, "gamma", (channels,))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Multiply the channels of (N, H, W, C), (N, T, C) or (N, C) by gamma (C,)."""
        gamma = tf.convert_to_tensor(self.gamma)
        # The gradient of gamma is a sum, which a lower type rounds after each addition.
        return tf.cast(tf.cast(inputs, gamma.dtype) * gamma, inputs.dtype)


def _normalise(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Normalise (N, …, C) over C; the gradient reads the normalised inputs once more."""

    @tf.custom_gradient
    def forward(inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        normalised, inverse = _standardise(inputs, epsilon)

        def backward(upstream: tf.Tensor) -> Any:
            return _gradient(upstream, inputs, gamma, (normalised, inverse), epsilon)

        return normalised * gamma + beta, backward

    return forward(inputs, gamma, beta)


def _standardise(inputs: tf.Tensor, epsilon: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Return (inputs - mean) / deviation (N, …, C), and 1 / deviation (N, …, 1)."""
    centred = inputs - tf.reduce_mean(inputs, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon)
    return centred * inverse, inverse


def _gradient(
    upstream: tf.Tensor, inputs: tf.Tensor, gamma: tf.Tensor, kept: Any, epsilon: float
) -> Any:
    """Return the gradients of inputs (N, …, C), gamma (C,) and beta (C,)."""

    @tf.custom_gradient
    def forward(upstream: tf.Tensor, inputs: tf.Tensor, gamma: tf.Tensor) -> Any:
        def backward(*above: tf.Tensor) -> Any:
            # A tape takes the values of the first pass for constants. The formula is computed again
            # from the inputs, so that its own derivative is exact.
            values = (upstream, inputs, gamma)
            with tf.GradientTape() as tape:
                tape.watch(values)
                found = _formula(upstream, gamma, *_standardise(inputs, epsilon))
            return tape.gradient(found, values, output_gradients=above)

        return _formula(upstream, gamma, *kept), backward

    return forward(upstream, inputs, gamma)


def _formula(
    upstream: tf.Tensor, gamma: tf.Tensor, normalised: tf.Tensor, inverse: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return r * (g - mean(g) - z * mean(g * z)), sum(u * z) and sum(u); g is u * gamma."""
    scaled, axes = upstream * gamma, tuple(range(upstream.shape.rank - 1))
    along = tf.reduce_mean(scaled * normalised, -1, keepdims=True)
    to_inputs = scaled - tf.reduce_mean(scaled, -1, keepdims=True) - normalised * along
    to_gamma = tf.reduce_sum(upstream * normalised, axes)
    return to_inputs * inverse, to_gamma, tf.reduce_sum(upstream, axes)


KINDS: dict[str, type[Declared]] = {
    "layer_norm": LayerNorm,
    "layer_scale": LayerScale,
}
