"""FitNets: a middle layer learns to predict the teacher's, then distillation follows."""

from collections.abc import Mapping

import torch

from poc.shared.engine.numerics.resizing import resize_matrices
from poc.shared.engine.teacher import COEFFICIENT_PREFIX
from poc.shared.spec.methods.fitnets import HINT, find_hints, regressor_output
from poc.shared.spec.networks.initializers import Weights
from poc.shared.spec.resolved import ResolvedRun
from poc.torch_impl.arrays import extras_to_tensors
from poc.torch_impl.device import find_device
from poc.torch_impl.distillation_losses import resize_maps, soft_cross_entropy, squared_error
from poc.torch_impl.models import Model

from .distilled import Distilled

HINT_PREFIX = "hint/"
SOFT = COEFFICIENT_PREFIX + "soft"


class FitNets(Distilled):
    """Objective of `fitnets` (arXiv 1412.6550); docs/methods/fitnets.md."""

    def __init__(self, run: ResolvedRun, model: Model, weights: Weights) -> None:
        super().__init__(run, model, weights)
        network = self.teacher.network
        pairs = find_hints(self.options, run.network, network)
        # With two stages, the first has the hints alone and the second has none.
        has_hints = run.spec.stage == HINT or self.options.stages == "one"
        self.pairs = pairs if has_hints else ()
        self.has_soft = run.spec.stage != HINT and any(self.options.resolved_soft_weights)
        shapes = {node.name: node.output_shape for node in model.network.nodes}
        self.resizes = {
            pair.name: extras_to_tensors(
                dict(zip(("rows", "columns"), matrices, strict=True)),
                dtype=run.spec.dtype,
                device=find_device(run.spec),
            )
            for pair in self.pairs
            if (
                matrices := resize_matrices(
                    pair.source_shape, shapes[regressor_output(self.options, pair)]
                )
            )
        }

    def teacher_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return hints (N, C, H, W) of the regressors' size, and the logits if they are used."""
        # Resized here and not in the loss, so that kept outputs have the size that is compared.
        logits = self.teacher.network.output
        wanted = {pair.source for pair in self.pairs} | ({logits} if self.has_soft else set())
        values = self.teacher_values(images, sorted(wanted))
        outputs = {}
        for pair in self.pairs:
            hint = values[pair.source]
            matrices = self.resizes.get(pair.name)
            outputs[HINT_PREFIX + pair.name] = resize_maps(hint, **matrices) if matrices else hint
        return {**outputs, **({"teacher_logits": values[logits]} if self.has_soft else {})}

    def losses(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Return those of the terms (N,) `hint_PAIR`, `hard` and `soft` that the stage has."""
        output = self.model.network.output
        regressors = {pair.name: regressor_output(self.options, pair) for pair in self.pairs}
        is_hint = self.run.spec.stage == HINT
        # The hint stage ends at the regressors: the layers behind them are not computed.
        wanted = [*regressors.values(), *(() if is_hint else (output,))]
        values = self.model.values(images, wanted, noise, training=True)
        terms = {}
        for name, node in regressors.items():
            error = squared_error(
                values[node], extras[HINT_PREFIX + name], reduction=self.options.resolved_reduction
            )
            terms[f"hint_{name}"] = self.options.hint_weight * error
        if is_hint:
            return terms, None
        terms["hard"] = self.hard_loss(values[output], labels, extras)
        if self.has_soft:
            soft = soft_cross_entropy(
                values[output],
                extras["teacher_logits"],
                temperature=self.options.temperature,
                subtract_entropy=False,
                scale_by_temperature_squared=False,
            )
            # The weight falls over the steps. As a scalar of the step it is no constant of a graph.
            terms["soft"] = extras[SOFT] * soft
        return terms, values[output]
