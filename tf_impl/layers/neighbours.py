"""A classifier by the nearest of stored vectors, in Keras."""

import tensorflow as tf

from poc.shared.spec.networks.layers.neighbours import TIE

from .declared import Declared

# Length of a vector of zeros, whose cosine with any other is 0.
SMALLEST = 1e-12


class NearestNeighbours(Declared):
    """Votes of the nearest stored vectors: (N, in) -> logits (N, out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_stored: int,
        most_neighbours: int,
        metric: str = "cosine",
        sharpness: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__(dtype=dtype)
        own = {"initializer": "zeros", "trainable": False, "autocast": False}
        self.features = self.add_weight(shape=(num_stored, in_channels), name="features", **own)
        self.rank = self.add_weight(shape=(most_neighbours,), name="rank", **own)
        self.labels = self.add_weight(shape=(num_stored, out_channels), name="labels", **own)
        self.metric, self.sharpness = metric, sharpness

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the log of each class's share of the votes (N, out), in the type of the vectors.

        In mixed precision too: a lower type would tie vectors that are not equal.
        """
        return self.count_votes(*self.compare(tf.cast(inputs, self.features.dtype)))

    def compare(self, vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return similarities (N, stored) of vectors (N, in), and by how much they tie (N, 1)."""
        squares = tf.reduce_sum(vectors * vectors, axis=1, keepdims=True)
        if self.metric == "cosine":
            # Bounded before the root, whose derivative at 0 is infinite.
            lengths = tf.sqrt(tf.maximum(squares, SMALLEST**2))
            similarities = tf.linalg.matmul(vectors / lengths, self.features, transpose_b=True)
            return similarities, tf.fill(tf.shape(lengths), tf.cast(TIE, lengths.dtype))
        own = tf.reduce_sum(self.features * self.features, axis=1)
        products = tf.linalg.matmul(vectors, self.features, transpose_b=True)
        return 2 * products - own, tf.stop_gradient(TIE * squares)

    def count_votes(self, similarities: tf.Tensor, tie: tf.Tensor) -> tf.Tensor:
        """Return logits (N, out) of similarities (N, stored) that tie by (N, 1)."""
        nearest = tf.math.top_k(tf.stop_gradient(similarities), self.rank.shape[0]).values
        first = nearest[:, :1]
        # The nearest one always votes.
        last = tf.minimum(tf.reduce_sum(nearest * self.rank, axis=1, keepdims=True), first)
        votes = tf.cast(similarities >= last - tie, similarities.dtype)
        count = tf.reduce_sum(votes, axis=1, keepdims=True)
        weights = votes * tf.exp(self.sharpness * (similarities - first))
        total = tf.reduce_sum(weights, axis=1, keepdims=True)
        shares = tf.linalg.matmul(weights, self.labels) / total
        return tf.math.log((count * shares + 1 / self.labels.shape[1]) / (count + 1))


KINDS: dict[str, type[Declared]] = {"nearest_neighbours": NearestNeighbours}
