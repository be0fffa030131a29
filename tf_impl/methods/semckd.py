"""SemCKD: each map of the student learns from the teacher's maps that resemble it in meaning."""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.numerics.resizing import average_matrices
from poc.shared.spec.methods.semckd import embeddings, find_all_pairs, has_soft_loss
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.tf_impl.arrays import extras_to_tensors
from poc.tf_impl.device import find_device
from poc.tf_impl.distillation_losses import (
    pair_attention,
    resize_maps,
    similarity_rows,
    soft_cross_entropy,
    squared_error,
    unit_vectors,
)
from poc.tf_impl.models import Model

from .distilled import Distilled

MAP_PREFIX = "map/"
WEIGHT_PREFIX = "pair_weight/"


class SemCKD(Distilled):
    """Objective of `semckd` (arXiv 2012.03236); docs/methods/semckd.md."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        self.pairs = find_all_pairs(self.options, run.network, self.teacher.network)
        self.embeddings = tuple(embeddings(self.pairs))
        # The larger map of a pair is averaged to the smaller one's size.
        found = {
            (side, pair.name): matrices
            for pair in self.pairs
            for side, shapes in (
                ("source", (pair.source_shape, pair.target_shape)),
                ("target", (pair.target_shape, pair.source_shape)),
            )
            if (matrices := average_matrices(*shapes))
        }
        self.averages = {
            key: extras_to_tensors(
                dict(zip(("rows", "columns"), matrices, strict=True)),
                dtype=run.spec.dtype,
                device=find_device(run.spec),
            )
            for key, matrices in found.items()
        }

    def teacher_outputs(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the teacher's maps (N, H, W, C), and logits (N, num_classes) if they are used."""
        # Entire maps: the similarities, which relate images, are of all their values.
        logits, is_soft = self.teacher.network.output, has_soft_loss(self.options)
        sources = {pair.source for pair in self.pairs}
        values = self.teacher_values(images, sorted(sources | ({logits} if is_soft else set())))
        outputs = {MAP_PREFIX + node: values[node] for node in sorted(sources)}
        return {**outputs, **({"teacher_logits": values[logits]} if is_soft else {})}

    def losses(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        noise: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | None]:
        """Return the terms (N,) `hard`, `matching` and, with a weight, `soft`."""
        options, output = self.options, self.model.network.output
        wanted = [*dict.fromkeys([output, *(pair.target for pair in self.pairs)])]
        values = self.model.values(images, wanted, noise, training=True)
        terms = {"hard": self.hard_loss(values[output], labels, extras)}
        if has_soft_loss(options):
            soft = soft_cross_entropy(
                values[output], extras["teacher_logits"], temperature=options.temperature
            )
            terms["soft"] = options.soft_weight * soft
        maps = {pair.source: extras[MAP_PREFIX + pair.source] for pair in self.pairs}
        rows = self.similarities(values, maps, extras)
        terms["matching"] = options.beta * self.matching(images, values, maps, rows)
        return terms, values[output]

    def matching(
        self,
        images: tf.Tensor,
        own: Mapping[str, tf.Tensor],
        maps: Mapping[str, tf.Tensor],
        rows: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """Return the weighted errors (N,) of own maps and the teacher's, by node.

        Maps are (N, H, W, C), `rows` (N, row_length) those that queries and keys read.
        """
        given = dict(rows)
        for pair in self.pairs:
            given[f"projection/{pair.name}/map"] = self.average(
                "target", pair.name, own[pair.target]
            )
        projections = [f"projection/{pair.name}/output" for pair in self.pairs]
        wanted = [*projections, *(f"{name}/output" for name in self.embeddings)]
        # No node of these reads the images: all that they read is given.
        found = self.model.values(images, wanted, training=True, given=given)
        weights = self.attention(found)
        errors = tf.stack(
            [
                squared_error(
                    found[node],
                    self.average("source", pair.name, maps[pair.source]),
                    reduction="mean",
                )
                for pair, node in zip(self.pairs, projections, strict=True)
            ],
            axis=1,
        )
        total = tf.reduce_sum(weights * errors, axis=1)
        watched = tf.stop_gradient(weights)
        for index, pair in enumerate(self.pairs):
            self.watched[WEIGHT_PREFIX + pair.name] = watched[:, index]
        num_targets = len({pair.target for pair in self.pairs})
        return total / num_targets if self.options.layer_reduction == "mean" else total

    def similarities(
        self,
        own: Mapping[str, tf.Tensor],
        maps: Mapping[str, tf.Tensor],
        extras: Mapping[str, tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """Return the rows (N, row_length) that the query and key networks read.

        Each image is compared with the batch of all ranks. `extras` has scalars () of the step.
        """
        rows = {}
        for pair in self.pairs:
            source, target = pair.name.split(">")
            rows[f"query/{target}/rows"] = own[pair.target]
            rows[f"key/{source}/rows"] = maps[pair.source]
        length = self.options.row_length
        return {
            name: similarity_rows(value, row_length=length, extras=extras)
            for name, value in rows.items()
        }

    def attention(self, found: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Return the weight (N, pairs) of each pair, from the outputs (N, K) of the embeddings."""
        vectors: dict[str, list[tf.Tensor]] = {"query": [], "key": []}
        for name in self.embeddings:
            vectors[name.partition("/")[0]].append(unit_vectors(found[f"{name}/output"]))
        queries, keys = (tf.stack(vectors[side], axis=1) for side in ("query", "key"))
        weights = pair_attention(queries, keys, temperature=self.options.attention_temperature)
        # Pairs are grouped by the target's map, as the weights are.
        return tf.reshape(weights, (weights.shape[0], -1))

    def average(self, side: str, pair: str, maps: tf.Tensor) -> tf.Tensor:
        """Return maps (N, H, W, C) at the size of the comparison."""
        matrices = self.averages.get((side, pair))
        return resize_maps(maps, **matrices) if matrices else maps
