"""Learning What and Where to Transfer (arXiv 1905.05901), batch by batch.

theta: the target and the 1x1 regressors, under SGD. W: the weight of every pair, image and channel,
given by the meta-networks phi and constant within a batch. A batch takes four phases:

    1. theta_0: one SGD step on the hard loss (of the labels) + matching loss. This step is kept.
    2. theta_1 … theta_T: T steps on the matching loss alone.
    3. theta_{T+1}: one step on the hard loss alone.
    4. phi: one Adam step on the gradient of the hard loss at theta_{T+1}, taken back through
       phases 3 and 2, momentum and weight decay included. Then theta_0 is restored.
"""

from collections.abc import Mapping

import torch

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE
from poc.torch_impl.layers.derivatives import efficient_second_order
from poc.torch_impl.methods.objective import Outcome
from poc.torch_impl.optimizers import set_learning_rate
from poc.torch_impl.ranks.collectives import counting, sum_named
from poc.torch_impl.ranks.losses import mean_loss

from .hyper_gradients import (
    Derivative,
    Descent,
    Record,
    Tensors,
    clip,
    descend,
    differentiate,
    exact,
    finite_difference,
    first_order,
    norm,
    pull_back,
    record,
    reverse,
)
from .records import MAP_PREFIX, Batch, BatchConstants, Evaluation, LookAhead, Point, detached, part
from .state import L2TState, Seen

HARD, MATCHING = ("hard",), ("matching",)
BOTH = (*HARD, *MATCHING)


class L2TWW(L2TState):
    """Objective and update rule of `l2t-ww`."""

    def losses(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Return phase 1 without its step: the terms (N,) `hard` and `matching`, and the logits."""
        constants = self.prepare(Batch(images, labels, noise, extras), 0.0)
        weights = constants.gates.weights
        theta = {**self.theta(), **self.live_variables()}
        found = self.evaluate(constants, theta, self.statistics(), dict(weights), BOTH)
        return found.terms, found.logits

    def on_batch(self, images: torch.Tensor) -> None:
        """Take the constants (C,) of `standardize` from the first batch of images (N, C, H, W)."""
        if not self.options.standardize or self.scales:
            return
        for tap, maps in self.source_maps(self.teacher_outputs(images)).items():
            deviation = maps.std((0, 2, 3), correction=0).clamp_min(1e-6)
            self.scales[tap] = maps.mean((0, 2, 3)), deviation

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """Run all four phases on one batch of images (N, C, H, W)."""
        batch = Batch(images, labels, noise, extras)
        if EXAMPLE_SHARE not in extras:
            return self.run_phases(batch, learning_rate)
        # The hyper-gradient differentiates gradients, and with them the norms of all ranks.
        with counting(extras[EXAMPLE_SHARE], is_twice=True):
            return self.run_phases(batch, learning_rate)

    def run_phases(self, batch: Batch, learning_rate: torch.Tensor | float) -> Outcome:
        """Run all four phases on a batch (N, …), of which each rank has its part."""
        constants = self.prepare(batch, learning_rate)
        point = Point(self.theta(), self.momentum(), self.statistics())
        point, outcome, seen = self.first_step(constants, point)
        self.count(seen)
        if self.is_meta_step():
            point, seen = self.meta_phases(constants, point)
            self.count(seen)
        self.keep(*point)
        return outcome

    def outer_gradient(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        extras: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, Tensors]:
        """Return outer loss () and hyper-gradient, with theta as theta_0; change nothing."""
        constants = self.prepare(Batch(images, labels, noise, extras), learning_rate)
        point = Point(self.theta(), self.momentum(), self.statistics())
        ahead = self.look_ahead(constants, point)
        return self.hyper_gradient(constants, ahead)

    def meta_phases(self, constants: BatchConstants, point: Point) -> tuple[Point, Seen]:
        """Run phases 2 to 4 from theta_0; return the state at the end, and sums for the metrics.

        The sums are `look_ahead` (steps, pairs), the matching of every step of phase 2, and
        `judged` (4,). `total_shapes` in `l2t_watch` has all of their shapes.
        """
        ahead = self.look_ahead(constants, point)
        outer, gradients = self.hyper_gradient(constants, ahead)
        self.learn_meta(gradients)
        losses = sum_named({"hard": ahead.hard, "outer": outer}).values()
        seen = {
            **self.over_ranks({"look_ahead": ahead.matching}),
            "judged": torch.stack([*losses, norm(gradients), torch.ones_like(outer)]),
        }
        if not self.options.rollback:
            return ahead.end, seen
        # Only the statistics do not return: the pass at theta_0 is the second of a batch's two
        # updates.
        return point._replace(statistics=ahead.statistics), seen

    def prepare(self, batch: Batch, learning_rate: torch.Tensor | float) -> BatchConstants:
        """Compute the source's maps (N, Cs, H, W) and W (N, C), once per batch."""
        # The kernels of the derivatives are faster on this layout than on a view of NHWC.
        batch = batch._replace(images=batch.images.contiguous())
        train = outer = batch
        # phi is then judged on examples that theta did not learn from. An epoch may end in a batch
        # of one, which is judged on itself.
        if self.options.meta_batch == "held_out" and len(batch.labels) > 1:
            half = len(batch.labels) // 2
            train, outer = self.halve(batch, half)
        matching = self.matching.prepare(self.source_maps(train.extras))
        gates = self.matching.gates(matching.pooled, detached(self.meta))
        descent = Descent(learning_rate, self.run.spec.optimizer.momentum, self.weight_decays)
        return BatchConstants(train, outer, matching, gates, descent)

    def halve(self, batch: Batch, half: int) -> tuple[Batch, Batch]:
        """Return two parts of a batch (N, …), each with the mean class weight of its own labels."""
        parts = part(batch, slice(None, half)), part(batch, slice(half, None))
        first, second = (
            one._replace(extras={**one.extras, **self.hard_loss.coefficients(one.labels)})
            for one in parts
        )
        return first, second

    def teacher_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the matched maps of the source, (N, C, H, W)."""
        values = self.teacher_values(images, list(self.source_nodes.values()))
        return {MAP_PREFIX + tap: values[node] for tap, node in self.source_nodes.items()}

    def source_maps(self, extras: Mapping[str, torch.Tensor]) -> Tensors:
        """Return these maps (N, C, H, W) by tap, standardised if the run asks for it."""
        maps = {tap: extras[MAP_PREFIX + tap] for tap in self.source_nodes}
        shape = (1, -1, 1, 1)
        for tap, (mean, deviation) in self.scales.items():
            maps[tap] = (maps[tap] - mean.view(shape)) / deviation.view(shape)
        return maps

    def first_step(self, constants: BatchConstants, point: Point) -> tuple[Point, Outcome, Seen]:
        """Run phase 1, which gives theta_0, and sum what the metrics need over the batch.

        The sums are `pair_weight` (pairs,), `matching` (1, pairs), `channel_weight` (channels,) and
        `count` ().
        """
        weights = dict(constants.gates.weights)
        found, gradients = differentiate(
            lambda theta: self.evaluate(constants, theta, point.statistics, weights, BOTH),
            point.theta,
            self.learning,
        )
        gradients = clip(gradients, self.options.clip_norm)
        moved = descend(point.theta, point.velocity, gradients, constants.descent)
        outcome = Outcome(
            detached(found.terms), found.logits.detach(), found.loss.detach(), gradients
        )
        seen = self.over_ranks(self.record(constants.gates, detached(found.errors)))
        return Point(*moved, found.statistics), outcome, seen

    def look_ahead(self, constants: BatchConstants, point: Point) -> LookAhead:
        """Run phases 2 and 3, from theta_0 to theta_{T+1}, and record every step."""
        records, passes = [], []
        for index in range(self.options.num_inner_steps + 1):
            term = MATCHING if index < self.options.num_inner_steps else HARD
            step, found = self.record_step(constants, point, term, index == 0)
            moved = descend(point.theta, point.velocity, step.total, constants.descent)
            point = Point(*moved, found.statistics)
            records.append(step)
            # Detached: the errors are for the metrics, and would keep the graph of the pass alive.
            passes.append(found._replace(errors=detached(found.errors)))
        matching = [
            self.matching.by_pair(constants.gates.weights, found.errors) for found in passes[:-1]
        ]
        hard = passes[-1].loss.detach()
        return LookAhead(point, passes[0].statistics, records, torch.stack(matching), hard)

    def record_step(
        self, constants: BatchConstants, point: Point, term: tuple[str, ...], is_first: bool
    ) -> tuple[Record, Evaluation]:
        """Record one step, and return it with the results of its pass."""
        kind, is_matching = self.options.hyper_gradient, term == MATCHING
        weights = dict(constants.gates.weights) if is_matching else {}
        # The first step is not differentiated on theta, nor is any without the Hessian. The rest is
        # linear in the gradient from above.
        is_linear = is_matching and ((kind == "exact" and is_first) or kind == "first_order")

        def evaluate(theta: Tensors, weights: Tensors) -> Evaluation:
            return self.evaluate(
                constants, theta, point.statistics, weights, term, linear_only=is_linear
            )

        keeps_graph = kind == "exact" or (kind == "first_order" and is_matching)
        return record(evaluate, point.theta, weights, self.learning, keeps_graph=keeps_graph)

    def hyper_gradient(
        self, constants: BatchConstants, ahead: LookAhead
    ) -> tuple[torch.Tensor, Tensors]:
        """Run phase 4 up to Adam: return the outer loss () and its gradient on phi."""
        judged = constants._replace(train=constants.outer)
        found, outer = differentiate(
            lambda theta: self.evaluate(judged, theta, ahead.end.statistics, {}, HARD),
            ahead.end.theta,
            self.learning,
        )
        adjoint = reverse(ahead.records, outer, constants.descent, self.derivative())
        pooled = constants.matching.pooled
        gradients = pull_back(
            lambda meta: dict(self.matching.gates(pooled, meta).weights), self.meta, adjoint
        )
        return found.loss, gradients

    def learn_meta(self, gradients: Tensors) -> None:
        """Take Adam's step on phi with gradients of its shapes (…)."""
        clipped = clip(gradients, self.options.meta_clip_norm)
        for name, variable in self.meta.items():
            variable.grad = clipped[name]
        set_learning_rate(self.meta_optimizer, self.options.meta_learning_rate)
        self.meta_optimizer.step()

    def evaluate(
        self,
        constants: BatchConstants,
        theta: Tensors,
        statistics: Tensors,
        weights: Mapping[str, torch.Tensor],
        terms: tuple[str, ...],
        *,
        linear_only: bool = False,
    ) -> Evaluation:
        """Run a training-mode pass over the training batch, images (N, C, H, W), at any theta."""
        # Every phase runs the entire network, so that all its batch norms see the batch. Layers
        # behind the last matched map cost a forward pass and no derivative.
        network, batch = self.model.network, constants.train
        wanted = [*dict.fromkeys([network.output, *self.target_nodes.values()])]
        values, after = self.forward(
            theta, statistics, batch.images, batch.noise, wanted, linear_only=linear_only
        )
        found: Tensors = {}
        errors: Tensors = {}
        if "hard" in terms:
            logits = values[network.output]
            found["hard"] = self.hard_loss(logits, batch.labels, batch.extras)
        if "matching" in terms:
            maps = {tap: values[node] for tap, node in self.target_nodes.items()}
            with efficient_second_order(linear_only=linear_only):
                errors = self.matching.errors(constants.matching, maps, theta)
            found["matching"] = self.matching.losses(weights, errors)
        loss = mean_loss(found, batch.extras)
        return Evaluation(found, loss, values[network.output], dict(after), errors)

    def derivative(self) -> Derivative:
        """Return the function that differentiates a recorded step."""
        if self.options.hyper_gradient == "finite_difference":
            return finite_difference(self.options.difference_step)
        return exact if self.options.hyper_gradient == "exact" else first_order
