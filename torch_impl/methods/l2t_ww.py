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
    clip,
    descend,
    differentiate,
    exact,
    finite_difference,
    first_order,
    pull_back,
    record,
    reverse,
)
from poc.torch_impl.losses import cross_entropy
from poc.torch_impl.matching import Constants, Gates
from poc.torch_impl.optimizers import set_learning_rate

from .l2t_state import L2TState
from .objective import Outcome

HARD, MATCHING = ("hard",), ("matching",)
BOTH = (*HARD, *MATCHING)
MAP_PREFIX = "source_map/"


class Batch(NamedTuple):
    """Images, labels, masks and source maps that every phase shares."""

    images: torch.Tensor
    labels: torch.Tensor
    noise: Mapping[str, torch.Tensor]
    known: Mapping[str, torch.Tensor]


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
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        noise: Mapping[str, torch.Tensor],
        known: Mapping[str, torch.Tensor],
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Phase 1 without its step: the terms `hard` and `matching`, and the logits."""
        scene = self.prepare(Batch(images, labels, noise, known), 0.0)
        weights = scene.gates.weights
        theta = {**self.theta(), **self.live_variables()}
        found = self.evaluate(scene, theta, self.statistics(), dict(weights), BOTH)
        return found.terms, found.logits

    def observe(self, images: torch.Tensor) -> None:
        """Take the constants of `standardize` on the first batch."""
        if not self.options.standardize or self.scales:
            return
        for tap, maps in self.source_maps(self.source_outputs(images)).items():
            deviation = maps.std((0, 2, 3), correction=0).clamp_min(1e-6)
            self.scales[tap] = maps.mean((0, 2, 3)), deviation

    def update(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        known: Mapping[str, torch.Tensor],
    ) -> Outcome:
        """All four phases on one batch."""
        scene = self.prepare(Batch(images, labels, noise, known), learning_rate)
        point = Point(self.theta(), self.momentum(), self.statistics())
        point, outcome = self.first_step(scene, point)
        if self.is_meta_step():
            point = self.meta_phases(scene, point)
        self.keep(*point)
        return outcome

    def judge(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        learning_rate: torch.Tensor | float,
        noise: Mapping[str, torch.Tensor],
        known: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, Tensors]:
        """Outer loss and hyper-gradient where theta_0 is what stands; nothing is changed."""
        scene = self.prepare(Batch(images, labels, noise, known), learning_rate)
        point = Point(self.theta(), self.momentum(), self.statistics())
        points, records = self.look_ahead(scene, point)
        return self.hyper_gradient(scene, points[-1], records)

    def meta_phases(self, scene: Scene, point: Point) -> Point:
        """Phases 2 to 4 from theta_0; returns where the batch ends."""
        points, records = self.look_ahead(scene, point)
        self.learn_meta(self.hyper_gradient(scene, points[-1], records)[1])
        if not self.options.rollback:
            return points[-1]
        # The pass at theta_0 has left its statistics: the second of the batch's two updates.
        return point._replace(statistics=points[1].statistics)

    def prepare(self, batch: Batch, learning_rate: torch.Tensor | float) -> Scene:
        """The source's maps, once; W, once."""
        # The derivatives' kernels are faster on this layout than on the border's view of NHWC.
        batch = batch._replace(images=batch.images.contiguous())
        train = judge = batch
        if self.options.meta_batch == "held_out":
            half = len(batch.labels) // 2
            train, judge = part(batch, slice(None, half)), part(batch, slice(half, None))
        constants = self.matching.prepare(self.source_maps(train.known))
        gates = self.matching.gates(constants.pooled, detached(self.meta))
        descent = Descent(learning_rate, self.run.optimizer.momentum, self.weight_decays)
        return Scene(train, judge, constants, gates, descent)

    def source_outputs(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Matched maps of the source (N, C, H, W)."""
        values = self.source_values(images, list(self.source_nodes.values()))
        return {MAP_PREFIX + tap: values[node] for tap, node in self.source_nodes.items()}

    def source_maps(self, known: Mapping[str, torch.Tensor]) -> Tensors:
        """The same by tap, standardised where that is asked for."""
        maps = {tap: known[MAP_PREFIX + tap] for tap in self.source_nodes}
        shape = (1, -1, 1, 1)
        for tap, (mean, deviation) in self.scales.items():
            maps[tap] = (maps[tap] - mean.view(shape)) / deviation.view(shape)
        return maps

    def first_step(self, scene: Scene, point: Point) -> tuple[Point, Outcome]:
        """Phase 1: theta_0."""
        weights = dict(scene.gates.weights)
        found, gradients = differentiate(
            lambda theta: self.evaluate(scene, theta, point.statistics, weights, BOTH),
            point.theta,
            self.learning,
        )
        gradients = clip(gradients, self.options.clip_norm)
        moved = descend(point.theta, point.velocity, gradients, scene.descent)
        self.count(scene.gates, detached(found.errors))
        outcome = Outcome(
            detached(found.terms), found.logits.detach(), found.loss.detach(), gradients
        )
        return Point(*moved, found.statistics), outcome

    def look_ahead(self, scene: Scene, point: Point) -> tuple[list[Point], list[Record]]:
        """Phases 2 and 3: every point from theta_0 to theta_{T+1}, and the recorded steps."""
        points, records = [point], []
        for index in range(self.options.num_inner_steps + 1):
            term = MATCHING if index < self.options.num_inner_steps else HARD
            step, statistics = self.record_step(scene, points[-1], term, index == 0)
            moved = descend(points[-1].theta, points[-1].velocity, step.gradients, scene.descent)
            points.append(Point(*moved, statistics))
            records.append(step)
        return points, records

    def record_step(
        self, scene: Scene, point: Point, term: tuple[str, ...], is_first: bool
    ) -> tuple[Record, Tensors]:
        """One recorded step, and the statistics after its pass."""
        kind, is_matching = self.options.hyper_gradient, term == MATCHING
        weights = dict(scene.gates.weights) if is_matching else {}
        # The first step's own theta is not differentiated, nor any where the Hessian is left out.
        is_linear = is_matching and ((kind == "exact" and is_first) or kind == "first_order")

        def evaluate(theta: Tensors, weights: Tensors) -> Evaluation:
            return self.evaluate(
                scene, theta, point.statistics, weights, term, linear_only=is_linear
            )

        keeps_graph = kind == "exact" or (kind == "first_order" and is_matching)
        step, found = record(evaluate, point.theta, weights, self.learning, keeps_graph=keeps_graph)
        return step, found.statistics

    def hyper_gradient(
        self, scene: Scene, point: Point, records: list[Record]
    ) -> tuple[torch.Tensor, Tensors]:
        """Phase 4 up to Adam: the outer loss, and its gradient on phi."""
        judged = scene._replace(train=scene.judge)
        found, outer = differentiate(
            lambda theta: self.evaluate(judged, theta, point.statistics, {}, HARD),
            point.theta,
            self.learning,
        )
        adjoint = reverse(records, outer, scene.descent, self.derivative())
        pooled = scene.constants.pooled
        gradients = pull_back(
            lambda meta: dict(self.matching.gates(pooled, meta).weights), self.meta, adjoint
        )
        return found.loss, gradients

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

    def derivative(self) -> Derivative:
        """How a recorded step is differentiated."""
        if self.options.hyper_gradient == "finite_difference":
            return finite_difference(self.options.difference_step)
        return exact if self.options.hyper_gradient == "exact" else first_order


def part(batch: Batch, rows: slice) -> Batch:
    """Some examples of a batch; masks that hold for the whole batch stay."""
    noise = {
        name: mask[rows] if len(mask) == len(batch.labels) else mask
        for name, mask in batch.noise.items()
    }
    known = {
        name: values[rows] for name, values in batch.known.items() if name.startswith(MAP_PREFIX)
    }
    return Batch(batch.images[rows], batch.labels[rows], noise, known)


def detached(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """The same values, as constants."""
    return {name: tensor.detach() for name, tensor in tensors.items()}
