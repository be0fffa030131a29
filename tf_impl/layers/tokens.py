"""Layers of tokens (N, T, C) in Keras: maps as tokens, learned ones, tokens as vectors."""

import tensorflow as tf

from .basic import _create
from .declared import Declared


class ToTokens(Declared):
    """Maps as tokens, row by row: (N, H, W, C) -> (N, H * W, C)."""

    def __init__(self, *, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn maps (N, H, W, C) into tokens (N, H * W, C)."""
        height, width, channels = inputs.shape[1:]
        return tf.reshape(inputs, (-1, height * width, channels))


class ToMap(Declared):
    """Tokens after the first `skipped` ones as maps: (N, T, C) -> (N, H, W, C)."""

    def __init__(
        self, height: int, width: int, *, skipped: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__(dtype=dtype)
        self.height, self.width, self.skipped = height, width, skipped

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Turn tokens (N, T, C) into maps (N, H, W, C)."""
        shape = (-1, self.height, self.width, inputs.shape[-1])
        return tf.reshape(inputs[:, self.skipped :], shape)


class _Learned(Declared):
    def __init__(self, channels: int, count: int, dtype: str) -> None:
        super().__init__(dtype=dtype)
        self.embedding = _create(self, "embedding", (count, channels))


class LearnedTokens(_Learned):
    """Learned tokens after the first `place` ones: (N, T, C) -> (N, T + count, C)."""

    def __init__(
        self, channels: int, *, count: int = 1, place: int = 0, dtype: str = "float32"
    ) -> None:
        super().__init__(channels, count, dtype)
        self.place = place

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Put the learned tokens (count, C) between those of (N, T, C)."""
        values = tf.cast(self.embedding, inputs.dtype)
        learned = tf.broadcast_to(values, [tf.shape(inputs)[0], *values.shape])
        parts = inputs[:, : self.place], learned, inputs[:, self.place :]
        return tf.concat(parts[0 if self.place else 1 :], axis=1)


class PositionEmbedding(_Learned):
    """A learned vector for each position, added to tokens (N, T, C)."""

    def __init__(self, channels: int, *, count: int, dtype: str = "float32") -> None:
        super().__init__(channels, count, dtype)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Add the embedding (T, C) to tokens (N, T, C)."""
        return inputs + tf.cast(self.embedding, inputs.dtype)


class TakeToken(Declared):
    """One token as a vector: (N, T, C) -> (N, C)."""

    def __init__(self, *, place: int = 0, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.place = place

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Take the token at `place` of (N, T, C)."""
        return inputs[:, self.place]


class MeanTokens(Declared):
    """Mean over the tokens after the first `skipped` ones: (N, T, C) -> (N, C)."""

    def __init__(self, *, skipped: int = 0, dtype: str = "float32") -> None:
        super().__init__(dtype=dtype)
        self.skipped = skipped

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Average the tokens of (N, T, C) without the first ones."""
        return tf.reduce_mean(inputs[:, self.skipped :], axis=1)


KINDS: dict[str, type[Declared]] = {
    "to_tokens": ToTokens,
    "to_map": ToMap,
    "learned_tokens": LearnedTokens,
    "position_embedding": PositionEmbedding,
    "take_token": TakeToken,
    "mean_tokens": MeanTokens,
}
