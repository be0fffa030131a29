"""The matching loss of L2T-ww: a batch's constants, the gates, and the error of every channel.

    D_bc = mean over pixels of (U(S) - r(T))^2,   loss_b = sum over pairs and c of W_bc * D_bc
    W_bc = beta * lambda_b * w_bc

S is the source's map, U the resize to the target's size, T the target's map, r the regressor. All
pairs of one target map are computed together, with their channels one after the other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from poc.shared.engine.numerics.resizing import resize_matrices
from poc.shared.spec.methods.l2t_ww import (
    ChannelPair,
    L2TWWOptions,
    group_by_target,
    takes_gram_form,
)
from poc.tf_impl.layers.derivatives import channel_products


class Constants(NamedTuple):
    """Values that are constant during all steps of a batch.

    `pooled`: source tap -> mean over pixels (N, Cs). `resized`: target tap -> source maps at its
    size (N, H, W, C), for the naive form. `products`: pair -> its Gram form's part.
    """

    pooled: Mapping[str, tf.Tensor]
    resized: Mapping[str, tf.Tensor]
    products: Mapping[str, "Products"]


class Products(NamedTuple):
    """Constants of one pair in the Gram form.

    `maps`: (N, P, Cs) source map, at the smaller of the two sizes. `sums`: (N, Cs), sum over pixels
    of the resized map. `squares`: (N, Cs), sum of its squares.
    """

    maps: tf.Tensor
    sums: tf.Tensor
    squares: tf.Tensor


class Gates(NamedTuple):
    """Weights of the matching loss.

    `weights`: target tap -> W (N, C). `pair_weights`: lambda of each pair, (N, pairs).
    `channel_weights`: w of each pair's channels, one pair after the other, (N, all channels).
    """

    weights: Mapping[str, tf.Tensor]
    pair_weights: tf.Tensor
    channel_weights: tf.Tensor


class Matching:
    """The matching loss of a set of pairs.

    Args:
        options: Form of the loss.
        pairs: In the order of the run.
        dtype: Precision of the constants.
        device: Device of the constants.
    """

    def __init__(
        self, options: L2TWWOptions, pairs: Sequence[ChannelPair], *, dtype: str, device: str
    ) -> None:
        self.options, self.pairs = options, pairs
        self.groups = group_by_target(pairs)
        self.is_gram = {
            tap: takes_gram_form(options.matching, group) for tap, group in self.groups.items()
        }
        self.matrices = {}
        for pair in pairs:
            if found := resize_matrices(pair.source_shape, pair.target_shape):
                with tf.device(device):
                    self.matrices[pair.name] = tuple(tf.constant(m, dtype) for m in found)

    def prepare(self, features: Mapping[str, tf.Tensor]) -> Constants:
        """Compute all that depends on the source's maps (N, H, W, Cs) alone."""
        chosen = {pair.name: _choose(features[pair.source], pair) for pair in self.pairs}
        pooled = {pair.source: tf.reduce_mean(chosen[pair.name], (1, 2)) for pair in self.pairs}
        resized: dict[str, tf.Tensor] = {}
        products: dict[str, Products] = {}
        for tap, group in self.groups.items():
            if self.is_gram[tap]:
                products |= {p.name: self._products(p, chosen[p.name]) for p in group}
            else:
                resized[tap] = tf.concat([self._resize(p, chosen[p.name]) for p in group], -1)
        return Constants(pooled, resized, products)

    def gates(self, pooled: Mapping[str, tf.Tensor], meta: Mapping[str, tf.Tensor]) -> Gates:
        """Return the weights W (N, C) of the meta-networks f and g for a pooled source (N, Cs)."""
        weights: dict[str, tf.Tensor] = {}
        pair_weights, channel_weights = {}, {}
        for tap, group in self.groups.items():
            parts = []
            for pair in group:
                factors = self._loss_weights(pair, pooled[pair.source], meta)
                shares = self._channel_weights(pair, pooled[pair.source], meta)
                pair_weights[pair.name], channel_weights[pair.name] = factors, shares
                parts.append(self.options.beta * factors * shares)
            weights[tap] = tf.concat(parts, 1)
        names = [pair.name for pair in self.pairs]
        factors = tf.concat([pair_weights[name] for name in names], 1)
        return Gates(weights, factors, tf.concat([channel_weights[name] for name in names], 1))

    def errors(
        self,
        constants: Constants,
        maps: Mapping[str, tf.Tensor],
        parameters: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Return D of every channel (N, C) by target tap; `maps` are the target's (N, H, W, Ct)."""
        errors = {}
        for tap, group in self.groups.items():
            kernel = tf.concat([parameters[f"{p.regressor}/kernel"] for p in group], 3)
            bias = tf.concat([parameters[f"{p.regressor}/bias"] for p in group], 0)
            if self.is_gram[tap]:
                errors[tap] = self._gram(group, constants, maps[tap], kernel[0, 0], bias)
            else:
                predicted = tf.nn.bias_add(tf.nn.conv2d(maps[tap], kernel, 1, "VALID"), bias)
                errors[tap] = tf.reduce_mean(tf.square(constants.resized[tap] - predicted), (1, 2))
        return errors

    def losses(
        self, weights: Mapping[str, tf.Tensor], errors: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Return the matching loss (N,) of every example, from weights and errors (N, C)."""
        return tf.add_n([tf.reduce_sum(weights[tap] * error, 1) for tap, error in errors.items()])

    def by_pair(
        self, weights: Mapping[str, tf.Tensor], errors: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        """Return the matching loss (pairs,) of every pair, summed over the examples."""
        sums = {}
        for tap, group in self.groups.items():
            channels = tf.reduce_sum(weights[tap] * errors[tap], 0)
            sizes = [pair.num_source_channels for pair in group]
            for pair, share in zip(group, tf.split(channels, sizes), strict=True):
                sums[pair.name] = tf.reduce_sum(share)
        return tf.stack([sums[pair.name] for pair in self.pairs])

    def _channel_weights(
        self, pair: ChannelPair, pooled: tf.Tensor, meta: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        if self.options.channel_weights == "none":
            return tf.ones_like(pooled) / pair.num_source_channels
        prefix = f"meta/{pair.name}/channel"
        return tf.nn.softmax(pooled @ meta[f"{prefix}/kernel"] + meta[f"{prefix}/bias"])

    def _loss_weights(
        self, pair: ChannelPair, pooled: tf.Tensor, meta: Mapping[str, tf.Tensor]
    ) -> tf.Tensor:
        prefix, kind = f"meta/{pair.name}/loss", self.options.loss_weights
        if kind == "none":
            return tf.ones_like(pooled[:, :1])
        if kind == "const":
            # The factor 10 is the authors'.
            return tf.ones_like(pooled[:, :1]) * tf.nn.softplus(10 * meta[f"{prefix}/scale"])
        values = pooled @ meta[f"{prefix}/kernel"] + meta[f"{prefix}/bias"]
        return tf.nn.relu6(values) if kind == "relu6" else tf.nn.relu(values)

    def _resize(self, pair: ChannelPair, maps: tf.Tensor) -> tf.Tensor:
        if pair.name not in self.matrices:
            return maps
        rows, columns = self.matrices[pair.name]
        return _both_axes(rows, maps, columns)

    def _products(self, pair: ChannelPair, maps: tf.Tensor) -> Products:
        if not self._is_at_source(pair):
            resized = _flat(self._resize(pair, maps))
            return Products(
                resized, tf.reduce_sum(resized, 1), tf.reduce_sum(tf.square(resized), 1)
            )
        rows, columns = self.matrices[pair.name]
        of_rows, of_columns = tf.reduce_sum(rows, 0), tf.reduce_sum(columns, 0)
        sums = tf.einsum("h,nhwc,w->nc", of_rows, maps, of_columns)
        rows, columns = (tf.matmul(m, m, transpose_a=True) for m in (rows, columns))
        squares = tf.reduce_sum(_both_axes(rows, maps, columns) * maps, (1, 2))
        return Products(_flat(maps), sums, squares)

    def _is_at_source(self, pair: ChannelPair) -> bool:
        """Return True if the Gram form takes the source's size, because it is the smaller one."""
        source, target = pair.source_shape, pair.target_shape
        return pair.name in self.matrices and source[0] * source[1] < target[0] * target[1]

    def _gram(
        self,
        group: Sequence[ChannelPair],
        constants: Constants,
        maps: tf.Tensor,
        kernel: tf.Tensor,
        bias: tf.Tensor,
    ) -> tf.Tensor:
        """Return D (N, C) by products of maps, without the error of every pixel.

        D = (k'Gk + 2b k's - 2(k'x + b u) + q) / P + b^2, G = TT', s = sum T, x = T U(S)'.
        """
        flat = _flat(maps)
        parts = [constants.products[pair.name] for pair in group]
        # Pairs whose source maps have one size share the target's map at that size.
        adjoint: dict[tuple[int, ...], tf.Tensor] = {}
        cross = []
        for pair, part in zip(group, parts, strict=True):
            left = flat
            if self._is_at_source(pair):
                size = pair.source_shape[:2]
                if size not in adjoint:
                    rows, columns = self.matrices[pair.name]
                    rows, columns = tf.transpose(rows), tf.transpose(columns)
                    adjoint[size] = _flat(_both_axes(rows, maps, columns))
                left = adjoint[size]
            cross.append(tf.matmul(left, part.maps, transpose_a=True))
        gram = channel_products(flat)
        quadratic = tf.reduce_sum(tf.einsum("nij,jc->nic", gram, kernel) * kernel, 1)
        quadratic = quadratic + 2 * bias * (tf.reduce_sum(flat, 1) @ kernel)
        mixed = tf.reduce_sum(tf.concat(cross, 2) * kernel, 1)
        mixed = mixed + bias * tf.concat([part.sums for part in parts], 1)
        squares = tf.concat([part.squares for part in parts], 1)
        return (quadratic - 2 * mixed + squares) / flat.shape[1] + tf.square(bias)


def _choose(maps: tf.Tensor, pair: ChannelPair) -> tf.Tensor:
    if pair.channels is None:
        return maps
    return tf.gather(maps, list(pair.channels), axis=-1)


def _flat(maps: tf.Tensor) -> tf.Tensor:
    """Return maps (N, H, W, C) as (N, H * W, C)."""
    return tf.reshape(maps, (-1, maps.shape[1] * maps.shape[2], maps.shape[3]))


def _both_axes(rows: tf.Tensor, maps: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Return rows @ map @ columns^T of every channel."""
    return tf.einsum("ph,nhwc,qw->npqc", rows, maps, columns)
