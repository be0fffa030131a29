"""The matching loss of L2T-ww: a batch's constants, the gates, and the error of every channel.

    D_bc = mean over pixels of (U(S) - r(T))^2,   loss_b = sum over pairs and c of W_bc * D_bc
    W_bc = beta * lambda_b * w_bc

S is the source's map, U the resize to the target's size, T the target's map, r the regressor. All
pairs of one target map are computed together, with their channels one after the other.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch.nn import functional as F

from poc.shared.engine.numerics.resizing import resize_matrices
from poc.shared.spec.methods.l2t_ww import (
    ChannelPair,
    L2TWWOptions,
    group_by_target,
    takes_gram_form,
)
from poc.torch_impl.layers.derivatives import channel_products


class Constants(NamedTuple):
    """Values that are constant during all steps of a batch.

    `pooled`: source tap -> mean over pixels (N, Cs). `resized`: target tap -> source maps at its
    size (N, C, H, W), for the naive form. `products`: pair -> its Gram form's part.
    """

    pooled: Mapping[str, torch.Tensor]
    resized: Mapping[str, torch.Tensor]
    products: Mapping[str, "Products"]


class Products(NamedTuple):
    """Constants of one pair in the Gram form.

    `maps`: (N, Cs, P) source map, at the smaller of the two sizes. `sums`: (N, Cs), sum over pixels
    of the resized map. `squares`: (N, Cs), sum of its squares.
    """

    maps: torch.Tensor
    sums: torch.Tensor
    squares: torch.Tensor


class Gates(NamedTuple):
    """Weights of the matching loss.

    `weights`: target tap -> W (N, C). `pair_weights`: lambda of each pair, (N, pairs).
    `channel_weights`: w of each pair's channels, one pair after the other, (N, all channels).
    """

    weights: Mapping[str, torch.Tensor]
    pair_weights: torch.Tensor
    channel_weights: torch.Tensor


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
                self.matrices[pair.name] = tuple(
                    torch.from_numpy(matrix).to(device, getattr(torch, dtype)) for matrix in found
                )

    def prepare(self, features: Mapping[str, torch.Tensor]) -> Constants:
        """Compute all that depends on the source's maps (N, Cs, H, W) alone."""
        chosen = {pair.name: _choose(features[pair.source], pair) for pair in self.pairs}
        pooled = {pair.source: chosen[pair.name].mean((2, 3)) for pair in self.pairs}
        resized: dict[str, torch.Tensor] = {}
        products: dict[str, Products] = {}
        for tap, group in self.groups.items():
            if self.is_gram[tap]:
                products |= {p.name: self._products(p, chosen[p.name]) for p in group}
            else:
                resized[tap] = torch.cat([self._resize(p, chosen[p.name]) for p in group], 1)
        return Constants(pooled, resized, products)

    def gates(self, pooled: Mapping[str, torch.Tensor], meta: Mapping[str, torch.Tensor]) -> Gates:
        """Return the weights W (N, C) of the meta-networks f and g for a pooled source (N, Cs)."""
        weights: dict[str, torch.Tensor] = {}
        pair_weights, channel_weights = {}, {}
        for tap, group in self.groups.items():
            parts = []
            for pair in group:
                factors = self._loss_weights(pair, pooled[pair.source], meta)
                shares = self._channel_weights(pair, pooled[pair.source], meta)
                pair_weights[pair.name], channel_weights[pair.name] = factors, shares
                parts.append(self.options.beta * factors * shares)
            weights[tap] = torch.cat(parts, 1)
        names = [pair.name for pair in self.pairs]
        factors = torch.cat([pair_weights[name] for name in names], 1)
        return Gates(weights, factors, torch.cat([channel_weights[name] for name in names], 1))

    def errors(
        self,
        constants: Constants,
        maps: Mapping[str, torch.Tensor],
        parameters: Mapping[str, torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Return D of every channel (N, C) by target tap; `maps` are the target's (N, Ct, H, W)."""
        errors = {}
        for tap, group in self.groups.items():
            kernel = torch.cat([parameters[f"{p.regressor}/kernel"] for p in group])
            bias = torch.cat([parameters[f"{p.regressor}/bias"] for p in group])
            if self.is_gram[tap]:
                errors[tap] = self._gram(group, constants, maps[tap], kernel.flatten(1).t(), bias)
            else:
                predicted = F.conv2d(maps[tap], kernel, bias)
                errors[tap] = (constants.resized[tap] - predicted).square().mean((2, 3))
        return errors

    def losses(
        self, weights: Mapping[str, torch.Tensor], errors: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the matching loss (N,) of every example, from weights and errors (N, C)."""
        parts = [(weights[tap] * error).sum(1) for tap, error in errors.items()]
        return torch.stack(parts).sum(0)

    def by_pair(
        self, weights: Mapping[str, torch.Tensor], errors: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        """Return the matching loss (pairs,) of every pair, summed over the examples."""
        sums = {}
        for tap, group in self.groups.items():
            channels = (weights[tap] * errors[tap]).sum(0)
            sizes = [pair.num_source_channels for pair in group]
            for pair, share in zip(group, channels.split(sizes), strict=True):
                sums[pair.name] = share.sum()
        return torch.stack([sums[pair.name] for pair in self.pairs])

    def _channel_weights(
        self, pair: ChannelPair, pooled: torch.Tensor, meta: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        if self.options.channel_weights == "none":
            return torch.full_like(pooled, 1 / pair.num_source_channels)
        prefix = f"meta/{pair.name}/channel"
        return (pooled @ meta[f"{prefix}/kernel"] + meta[f"{prefix}/bias"]).softmax(1)

    def _loss_weights(
        self, pair: ChannelPair, pooled: torch.Tensor, meta: Mapping[str, torch.Tensor]
    ) -> torch.Tensor:
        prefix, kind = f"meta/{pair.name}/loss", self.options.loss_weights
        if kind == "none":
            return torch.ones_like(pooled[:, :1])
        if kind == "const":
            # The factor 10 is the authors'.
            return F.softplus(10 * meta[f"{prefix}/scale"]).expand(len(pooled), 1)
        values = pooled @ meta[f"{prefix}/kernel"] + meta[f"{prefix}/bias"]
        return F.relu6(values) if kind == "relu6" else F.relu(values)

    def _resize(self, pair: ChannelPair, maps: torch.Tensor) -> torch.Tensor:
        if pair.name not in self.matrices:
            return maps
        rows, columns = self.matrices[pair.name]
        return _both_axes(rows, maps, columns)

    def _products(self, pair: ChannelPair, maps: torch.Tensor) -> Products:
        if not self._is_at_source(pair):
            resized = self._resize(pair, maps).flatten(2)
            return Products(resized, resized.sum(2), resized.square().sum(2))
        rows, columns = self.matrices[pair.name]
        sums = (rows.sum(0)[:, None] * maps * columns.sum(0)).sum((2, 3))
        both = _both_axes(rows.t() @ rows, maps, columns.t() @ columns)
        squares = (both * maps).sum((2, 3))
        return Products(maps.flatten(2), sums, squares)

    def _is_at_source(self, pair: ChannelPair) -> bool:
        """Return True if the Gram form takes the source's size, because it is the smaller one."""
        source, target = pair.source_shape, pair.target_shape
        return pair.name in self.matrices and source[0] * source[1] < target[0] * target[1]

    def _gram(
        self,
        group: Sequence[ChannelPair],
        constants: Constants,
        maps: torch.Tensor,
        kernel: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        """Return D (N, C) by products of maps, without the error of every pixel.

        D = (k'Gk + 2b k's - 2(k'x + b u) + q) / P + b^2, G = TT', s = sum T, x = T U(S)'.
        """
        flat = maps.flatten(2)
        parts = [constants.products[pair.name] for pair in group]
        # Pairs whose source maps have one size share the target's map at that size.
        adjoint: dict[tuple[int, ...], torch.Tensor] = {}
        cross = []
        for pair, part in zip(group, parts, strict=True):
            left = flat
            if self._is_at_source(pair):
                size = pair.source_shape[:2]
                if size not in adjoint:
                    rows, columns = self.matrices[pair.name]
                    adjoint[size] = _both_axes(rows.t(), maps, columns.t()).flatten(2)
                left = adjoint[size]
            cross.append(left @ part.maps.transpose(1, 2))
        gram = channel_products(flat)
        quadratic = ((gram @ kernel) * kernel).sum(1) + 2 * bias * (flat.sum(2) @ kernel)
        mixed = (torch.cat(cross, 2) * kernel).sum(1)
        mixed = mixed + bias * torch.cat([part.sums for part in parts], 1)
        squares = torch.cat([part.squares for part in parts], 1)
        return (quadratic - 2 * mixed + squares) / flat.shape[2] + bias.square()


def _choose(maps: torch.Tensor, pair: ChannelPair) -> torch.Tensor:
    return maps if pair.channels is None else maps[:, list(pair.channels)]


def _both_axes(rows: torch.Tensor, maps: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Return rows @ map @ columns^T of every channel, as two products of all channels at once."""
    # `rows @ maps` would copy the rows for every channel, and keep the copies.
    return ((maps @ columns.t()).mT @ rows.t()).mT
