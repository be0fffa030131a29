"""Learning What and Where to Transfer (arXiv 1905.05901), one batch after the other.

theta: the target and the 1x1 regressors, under SGD. W: the weight of every pair, image and channel,
given by the meta-networks phi and constant within a batch. A batch takes four phases:

    1. theta_0: one SGD step on cross-entropy + matching loss. This step is kept.
    2. theta_1 … theta_T: T steps on the matching loss alone.
    3. theta_{T+1}: one step on the cross-entropy alone.
    4. phi: one Adam step on the gradient of the cross-entropy at theta_{T+1}, taken back through
       phases 3 and 2, momentum and weight decay included. Then theta_0 stands again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch

from poc.torch_impl.derivatives import efficient_second_order
from poc.torch_impl.hyper_gradients import (
    Derivative,
    Descent,
    Record,
    Tensors,
    as_leaves,
    clip,
    descend,
    differentiate,
    exact,
    finite_difference,
    first_order,
    reverse,
)
from poc.torch_impl.losses import cross_entropy
from poc.torch_impl.matching import Constants, Gates
from poc.torch_impl.optimizers import set_learning_rate

from .l2t_state import L2TState
from .objective import Outcome


class Batch(NamedTuple):
    """Images, labels and the masks that every phase shares."""

    images: torch.Tensor
    labels: torch.Tensor
    noise: Mapping[str, torch.Tensor]


class Scene(NamedTuple):
    """What stays the same within a batch; `judge` is what phase 4 measures theta on."""

    train: Batch
    judge: Batch
    constants: Constants
    gates: Gates
    descent: Descent


class Point(NamedTuple):
    """Where SGD stands: parameters, momentum, running statistics of the target."""

    theta: Tensors
    velocity: Tensors
    statistics: Tensors


class Evaluation(NamedTuple):
    """Loss terms (N,), their mean, logits, statistics after the pass, error of every channel."""

    terms: Tensors
    loss: torch.Tensor
    logits: torch.Tensor
    statistics: Tensors
    errors: Tensors


class L2TWW(L2TState):
    """Objective and update rule of `l2t-ww`."""

    def losses(
        self, images: torch.Tensor, labels: torch.Tensor, noise: Mapping[str, torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Phase 1 without its step: the terms `hard` and `matching`, and the logits."""
        scene = self.prepare(Batch(images, labels, noise), 0.0)
        weights = scene.gates.weights
        theta = {**self.theta(), **self.live_variables()}
        found = self.evaluate(scene, theta, self.statistics(), weights, ("hard", "matching"))
        return found.terms, found.logits

    def observe(self, images: torch.Tensor) -> None:
        """Take the constants of `standardize` on the first batch."""
        if not self.options.standardize or self.scales:
            return
        for tap, maps in self.source_maps(images).items():
            deviation = maps.std((0, 2, 3), correction=0).clamp_min(1e-6)
            self.scales[tap] = maps.mean((0, 2, 3)), deviation

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """All four phases on one batch."""
        scene = self.prepare(Batch(images, labels, noise), learning_rate)
        point = Point(self.theta(), self.velocity, self.statistics())
        point, outcome = self.first_step(scene, point)
        self.num_steps += 1
        if self.is_meta_step():
            points, records = self.look_ahead(scene, point)
            self.learn_meta(self.hyper_gradient(scene, points[-1], records))
            # The pass at theta_0 has left its statistics: the second of the batch's two updates.
            kept = point._replace(statistics=points[1].statistics)
            point = kept if self.options.rollback else points[-1]
        self.keep(*point)
        return outcome

    def prepare(self, batch: Batch, learning_rate: torch.Tensor | float) -> Scene:
        """The source's maps, once; W, once."""
        train = judge = batch
        if self.options.meta_batch == "held_out":
            half = len(batch.labels) // 2
            train, judge = part(batch, slice(None, half)), part(batch, slice(half, None))
        constants = self.matching.prepare(self.source_maps(train.images))
        gates = self.matching.gates(constants.pooled, self.meta)
        descent = Descent(learning_rate, self.run.optimizer.momentum, self.weight_decays)
        return Scene(train, judge, constants, gates, descent)

    @torch.no_grad()
    def source_maps(self, images: torch.Tensor) -> Tensors:
        """Maps of the frozen source (N, C, H, W), evaluation mode."""
        values = self.source.values(images, list(self.source_nodes.values()))
        maps = {tap: values[node] for tap, node in self.source_nodes.items()}
        for tap, (mean, deviation) in self.scales.items():
            shape = (1, -1, 1, 1)
            maps[tap] = (maps[tap] - mean.view(shape)) / deviation.view(shape)
        return maps

    def first_step(self, scene: Scene, point: Point) -> tuple[Point, Outcome]:
        """Phase 1: theta_0."""
        theta = as_leaves(point.theta)
        weights = detached(scene.gates.weights)
        found = self.evaluate(scene, theta, point.statistics, weights, ("hard", "matching"))
        gradients = clip(differentiate(found.loss, self.learnable(theta)), self.options.clip_norm)
        self.count(scene.gates, weights, found.errors)
        moved = descend(point.theta, point.velocity, gradients, scene.descent)
        outcome = Outcome(detached(found.terms), found.logits.detach(), found.loss.detach())
        return Point(*moved, found.statistics), outcome

    def look_ahead(self, scene: Scene, point: Point) -> tuple[list[Point], list[Record]]:
        """Phases 2 and 3: every point from theta_0 to theta_{T+1}, and the recorded steps."""
        points, records = [point], []
        for index in range(self.options.num_inner_steps + 1):
            is_matching = index < self.options.num_inner_steps
            record, statistics = self.record(scene, points[-1], is_matching, index == 0)
            moved = descend(
                points[-1].theta, points[-1].velocity, record.gradients, scene.descent
            )
            points.append(Point(*moved, statistics))
            records.append(record)
        return points, records

    def record(
        self, scene: Scene, point: Point, is_matching: bool, is_first: bool
    ) -> tuple[Record, Tensors]:
        """One step's gradient with its graph, and the statistics after its pass."""
        kind = self.options.hyper_gradient
        theta = as_leaves(point.theta)
        weights = as_leaves(scene.gates.weights) if is_matching else {}
        term = ("matching",) if is_matching else ("hard",)
        linear_only = is_matching and (is_first or kind == "first_order")
        keeps_graph = kind == "exact" or (kind == "first_order" and is_matching)

        def loss(theta: Tensors, weights: Tensors) -> torch.Tensor:
            return self.evaluate(scene, theta, point.statistics, weights, term).loss

        found = self.evaluate(
            scene, theta, point.statistics, weights, term, linear_only=linear_only
        )
        gradients = differentiate(found.loss, self.learnable(theta), keeps_graph=keeps_graph)
        return Record(theta, weights, gradients, loss), found.statistics

    def hyper_gradient(self, scene: Scene, point: Point, records: list[Record]) -> Tensors:
        """Phase 4 up to Adam: the gradient of the outer loss on phi."""
        theta = as_leaves(point.theta)
        judged = scene._replace(train=scene.judge)
        loss = self.evaluate(judged, theta, point.statistics, {}, ("hard",)).loss
        outer = differentiate(loss, self.learnable(theta))
        adjoint = reverse(records, outer, scene.descent, self.derivative())
        found = torch.autograd.grad(
            [scene.gates.weights[tap] for tap in adjoint],
            list(self.meta.values()),
            list(adjoint.values()),
        )
        return dict(zip(self.meta, found, strict=True))

    def learn_meta(self, gradients: Tensors) -> None:
        """Adam's step on phi."""
        clipped = clip(gradients, self.options.meta_clip_norm)
        for name, variable in self.meta.items():
            variable.grad = clipped[name]
        set_learning_rate(self.meta_optimizer, self.options.meta_learning_rate)
        self.meta_optimizer.step()

    def evaluate(
        self,
        scene: Scene,
        theta: Tensors,
        statistics: Tensors,
        weights: Mapping[str, torch.Tensor],
        terms: tuple[str, ...],
        *,
        linear_only: bool = False,
    ) -> Evaluation:
        """One training-mode pass over the training batch, at any theta.

        The whole network is passed in every phase, since its batch norms are: what lies behind the
        last matched map costs a forward pass and no derivative.
        """
        network, batch = self.model.network, scene.train
        wanted = [*dict.fromkeys([network.output, *self.target_nodes.values()])]
        values, after = self.forward(
            theta, statistics, batch.images, batch.noise, wanted, linear_only=linear_only
        )
        found: Tensors = {}
        errors: Tensors = {}
        if "hard" in terms:
            found["hard"] = cross_entropy(values[network.output], batch.labels)
        if "matching" in terms:
            maps = {tap: values[node] for tap, node in self.target_nodes.items()}
            with efficient_second_order(linear_only=linear_only):
                errors = self.matching.errors(scene.constants, maps, theta)
            found["matching"] = self.matching.losses(weights, errors)
        loss = torch.stack([term.mean() for term in found.values()]).sum()
        return Evaluation(found, loss, values[network.output], dict(after), errors)

    def learnable(self, theta: Tensors) -> Tensors:
        """The part of theta that gradients reach."""
        return {name: value for name, value in theta.items() if name in self.learning}

    def derivative(self) -> Derivative:
        """How a recorded step is differentiated."""
        if self.options.hyper_gradient == "finite_difference":
            return finite_difference(self.options.difference_step)
        return exact if self.options.hyper_gradient == "exact" else first_order

    def is_meta_step(self) -> bool:
        """Whether phi learns from this batch; `num_steps` counts it already."""
        since = self.num_steps - self.options.meta_warmup_steps
        return bool(self.meta) and since > 0 and since % self.options.meta_every == 0


def part(batch: Batch, rows: slice) -> Batch:
    """Some examples of a batch; masks that hold for the whole batch stay."""
    noise = {
        name: mask[rows] if len(mask) == len(batch.labels) else mask
        for name, mask in batch.noise.items()
    }
    return Batch(batch.images[rows], batch.labels[rows], noise)


def detached(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The same values, as constants."""
    return {name: tensor.detach() for name, tensor in tensors.items()}
