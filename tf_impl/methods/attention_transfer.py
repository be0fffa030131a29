"""Attention Transfer: the student learns to be active at the pixels where the teacher is active."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.numerics.resizing import average_matrices, resize_matrices
from poc.shared.spec.methods.distillation import find_attention_pairs
from poc.shared.spec.methods.distilling import Pair
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.tf_impl.arrays import extras_to_tensors
from poc.tf_impl.device import find_device
from poc.tf_impl.distillation_losses import (
    attention_distance,
    attention_map,
    resize_maps,
    soft_cross_entropy,
)
from poc.tf_impl.models import Model

from .distilled import Distilled

ATTENTION_PREFIX = "attention/"


class AttentionTransfer(Distilled):
    """Objective of `attention_transfer` (arXiv 1612.03928); docs/methods/attention_transfer.md."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        self.pairs = find_attention_pairs(self.options, run.network, self.teacher.network)
        # Either the source takes the target's size, or the larger map of a pair is averaged to the
        # smaller one. A pair of equal sizes has no matrices.
        resize = self.options.size_rule == "resize_source"
        plan = resize_matrices if resize else average_matrices
        found = {
            (side, pair.name): matrices
            for pair in self.pairs
            for side, shapes in (
                ("source", (pair.source_shape, pair.target_shape)),
                ("target", (pair.target_shape, pair.source_shape)),
            )
            if not (resize and side == "target") and (matrices := plan(*shapes))
        }
        self.resizes = {
            key: extras_to_tensors(
                dict(zip(("rows", "columns"), matrices, strict=True)),
                dtype=run.spec.dtype,
                device=find_device(run.spec),
            )
            for key, matrices in found.items()
        }

    def attention(self, maps: tf.Tensor, side: str, pair: Pair) -> tf.Tensor:
        """Return attention maps (N, H * W) of (N, H, W, C) at the size of the comparison."""
        if matrices := self.resizes.get((side, pair.name)):
            maps = resize_maps(maps, **matrices)
        return attention_map(maps, kind=self.options.map, power=self.options.power)

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the teacher's attention maps (N, H * W), and logits (N, num_classes) if used."""
        # Kept outputs are these small maps, not the teacher's maps with all their channels.
        logits = self.teacher.network.output
        wanted = {pair.source for pair in self.pairs} | ({logits} if self.options.alpha else set())
        values = self.teacher_values(images, sorted(wanted))
        outputs = {
            ATTENTION_PREFIX + pair.name: self.attention(values[pair.source], "source", pair)
            for pair in self.pairs
        }
        return {**outputs, **({"teacher_logits": values[logits]} if self.options.alpha else {})}

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return terms (N,) `hard`, `attention_SOURCE>TARGET` per pair and, with alpha, `soft`."""
        options, output = self.options, self.model.network.output
        wanted = [output, *(pair.target for pair in self.pairs)]
        values = self.model.values(images, wanted, noise, training=True)
        hard = self.hard_loss(values[output], labels, extras)
        terms = {"hard": (1 - options.alpha) * hard}
        for pair in self.pairs:
            own = self.attention(values[pair.target], "target", pair)
            distance = attention_distance(
                own, extras[ATTENTION_PREFIX + pair.name], form=options.form
            )
            terms[f"attention_{pair.name}"] = options.resolved_beta * distance
        if options.alpha:
            soft = soft_cross_entropy(
                values[output], extras["teacher_logits"], temperature=options.temperature
            )
            terms["soft"] = options.alpha * soft
        return terms, values[output]
