"""L2T-ww in plain NumPy: matching loss, gates, and the published recursion, slow and obvious.

The network's gradient is written out layer by layer in operations that also hold for complex
numbers, so that a directional derivative of the gradient is exact: Im g(theta + i*h*q) / h.
"""

import numpy as np

from poc.tests.reference import losses

STEP = 1e-30


def bilinear(maps, height, width):
    """Half-pixel centres, clamped, pixel by pixel: (N, H, W, C) -> (N, height, width, C)."""
    resized = np.zeros((len(maps), height, width, maps.shape[-1]), maps.dtype)
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * maps.shape[1] / height - 0.5, 0), maps.shape[1] - 1)
            x = min(max((j + 0.5) * maps.shape[2] / width - 0.5, 0), maps.shape[2] - 1)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, maps.shape[1] - 1), min(left + 1, maps.shape[2] - 1)
            f, g = y - top, x - left
            resized[:, i, j] = (
                (1 - f) * (1 - g) * maps[:, top, left]
                + (1 - f) * g * maps[:, top, right]
                + f * (1 - g) * maps[:, bottom, left]
                + f * g * maps[:, bottom, right]
            )
    return resized


def gates(pair, pooled, meta, beta):
    """lambda (N,), w (N, Cs) and W = beta * lambda * w."""
    prefix = f"meta/{pair.name}"
    logits = pooled @ meta[f"{prefix}/channel/kernel"] + meta[f"{prefix}/channel/bias"]
    shares = np.exp(logits - logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    values = (pooled @ meta[f"{prefix}/loss/kernel"] + meta[f"{prefix}/loss/bias"])[:, 0]
    factors = np.clip(values, 0, 6)
    return factors, shares, beta * factors[:, None] * shares, values


def gates_backward(pair, pooled, meta, beta, adjoint):
    """Gradient of <W, adjoint> on the pair's meta-parameters."""
    factors, shares, _, values = gates(pair, pooled, meta, beta)
    to_factors = beta * (adjoint * shares).sum(1) * ((values > 0) & (values < 6))
    to_shares = beta * factors[:, None] * adjoint
    to_logits = shares * (to_shares - (to_shares * shares).sum(1, keepdims=True))
    prefix = f"meta/{pair.name}"
    return {
        f"{prefix}/channel/kernel": pooled.T @ to_logits,
        f"{prefix}/channel/bias": to_logits.sum(0),
        f"{prefix}/loss/kernel": pooled.T @ to_factors[:, None],
        f"{prefix}/loss/bias": to_factors.sum(keepdims=True),
    }


def errors(pair, source_map, target_map, theta):
    """D (N, Cs): mean over pixels of (U(S) - r(T))^2."""
    difference = differences(pair, source_map, target_map, theta)
    return (difference**2).mean((1, 2))


def differences(pair, source_map, target_map, theta):
    resized = bilinear(source_map, *target_map.shape[1:3])
    kernel, bias = (theta[f"regressor/{pair.name}/{part}"] for part in ("kernel", "bias"))
    return resized - (target_map @ kernel[0, 0] + bias)


def shifted(maps, dy, dx, height, width):
    """maps[y + dy - 1, x + dx - 1] with zeros outside, for a 3x3 window."""
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return padded[:, dy : dy + height, dx : dx + width]


class Layer:
    """Forward and backward of the layer kinds that the small networks use."""

    @staticmethod
    def conv2d(node, theta, x):
        kernel, bias = theta[f"{node.name}/kernel"], theta[f"{node.name}/bias"]
        height, width = x.shape[1:3]
        views = [[shifted(x, i, j, height, width) for j in range(3)] for i in range(3)]
        y = sum(views[i][j] @ kernel[i, j] for i in range(3) for j in range(3)) + bias

        def backward(gy):
            gx = np.zeros((x.shape[0], height + 2, width + 2, x.shape[3]), gy.dtype)
            gk = np.zeros(kernel.shape, np.result_type(gy, x))
            for i in range(3):
                for j in range(3):
                    gx[:, i : i + height, j : j + width] += gy @ kernel[i, j].T
                    gk[i, j] = np.einsum("nhwi,nhwo->io", views[i][j], gy)
            grads = {f"{node.name}/kernel": gk, f"{node.name}/bias": gy.sum((0, 1, 2))}
            return gx[:, 1:-1, 1:-1], grads

        return y, backward

    @staticmethod
    def batch_norm(node, theta, x):
        gamma, beta = theta[f"{node.name}/gamma"], theta[f"{node.name}/beta"]
        axes = (0, 1, 2)
        mean = x.mean(axes)
        variance = ((x - mean) ** 2).mean(axes)
        inverse = 1 / np.sqrt(variance + node.layer.epsilon)
        z = (x - mean) * inverse

        def backward(gy):
            gz = gy * gamma
            gx = inverse * (gz - gz.mean(axes) - z * (gz * z).mean(axes))
            grads = {f"{node.name}/gamma": (gy * z).sum(axes), f"{node.name}/beta": gy.sum(axes)}
            return gx, grads

        return gamma * z + beta, backward

    @staticmethod
    def activation(node, theta, x):
        mask = x.real > 0
        return x * mask, lambda gy: (gy * mask, {})

    @staticmethod
    def pool2d(node, theta, x):
        n, h, w, c = x.shape
        windows = x[:, : h // 2 * 2, : w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c)
        windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(n, h // 2, w // 2, c, 4)
        chosen = windows.real.argmax(-1)[..., None]

        def backward(gy):
            spread = np.zeros(windows.shape, gy.dtype)
            np.put_along_axis(spread, chosen, gy[..., None], -1)
            spread = spread.reshape(n, h // 2, w // 2, c, 2, 2).transpose(0, 1, 4, 2, 5, 3)
            gx = np.zeros(x.shape, gy.dtype)
            gx[:, : h // 2 * 2, : w // 2 * 2] = spread.reshape(n, h // 2 * 2, w // 2 * 2, c)
            return gx, {}

        return np.take_along_axis(windows, chosen, -1)[..., 0], backward

    @staticmethod
    def global_pool(node, theta, x):
        area = x.shape[1] * x.shape[2]
        ones = np.ones((1, *x.shape[1:3], 1))
        return x.mean((1, 2)), lambda gy: (gy[:, None, None] * ones / area, {})

    @staticmethod
    def dense(node, theta, x):
        kernel, bias = theta[f"{node.name}/kernel"], theta[f"{node.name}/bias"]

        def backward(gy):
            grads = {f"{node.name}/kernel": x.T @ gy, f"{node.name}/bias": gy.sum(0)}
            return gy @ kernel.T, grads

        return x @ kernel + bias, backward


def evaluate_map(network, weights, images, tap):
    """A tapped map in evaluation mode."""
    x = images
    for node in network.nodes:
        if node.layer.kind == "batch_norm":
            part = {p: weights[f"{node.name}/{p}"] for p in NORM}
            root = np.sqrt(part["moving_variance"] + node.layer.epsilon)
            x = (x - part["moving_mean"]) / root * part["gamma"] + part["beta"]
        else:
            x, _ = getattr(Layer, node.layer.kind)(node, weights, x)
        if node.name == tap:
            return x
    raise ValueError(tap)


NORM = ("gamma", "beta", "moving_mean", "moving_variance")


class Problem:
    """One batch of a plain chain of layers with its source maps; losses and gradients at any theta.

    `maps`: source tap -> (N, H, W, C). `fixed`: parameters whose gradient is declared zero.
    `loss`: settings of the loss of the labels, without smoothing.
    """

    def __init__(self, network, pairs, maps, images, labels, fixed=(), loss=None):
        self.loss = loss or {}
        self.network, self.pairs, self.maps = network, pairs, maps
        self.images, self.labels, self.fixed = images, labels, fixed

    def forward(self, theta):
        values, backwards, x = {}, [], self.images
        for node in self.network.nodes:
            x, backward = getattr(Layer, node.layer.kind)(node, theta, x)
            values[node.name] = x
            backwards.append((node.name, backward))
        return values, backwards

    def hard_loss(self, theta):
        logits = self.forward(theta)[0][self.network.output]
        return losses.hard_loss(logits, self.labels, **self.loss)

    def matching(self, theta, weights):
        values, _ = self.forward(theta)
        total = 0.0
        for pair in self.pairs:
            found = errors(pair, self.maps[pair.source], values[pair.target], theta)
            total = total + (weights[pair.name] * found).sum(1).mean()
        return total

    def gradient(self, theta, weights, *, hard):
        """Gradient of the hard loss (if `hard`) plus matching loss (if `weights`) on theta."""
        values, backwards = self.forward(theta)
        count = len(self.labels)
        upstream, grads = {}, {}
        if hard:
            logits = values[self.network.output]
            upstream[self.network.output] = losses.gradient(logits, self.labels, **self.loss)
        for pair in self.pairs if weights else ():
            maps = values[pair.target]
            difference = differences(pair, self.maps[pair.source], maps, theta)
            area = maps.shape[1] * maps.shape[2]
            to_regressed = -2 * difference * weights[pair.name][:, None, None] / (area * count)
            name = f"regressor/{pair.name}"
            kernel = np.einsum("nhwi,nhwo->io", maps, to_regressed)
            grads[f"{name}/kernel"] = kernel[None, None]
            grads[f"{name}/bias"] = to_regressed.sum((0, 1, 2))
            to_maps = to_regressed @ theta[f"{name}/kernel"][0, 0].T
            upstream[pair.target] = upstream.get(pair.target, 0) + to_maps
        flowing = None
        for index in reversed(range(len(backwards))):
            name, backward = backwards[index]
            if name in upstream:
                flowing = upstream[name] if flowing is None else flowing + upstream[name]
            if flowing is not None:
                flowing, found = backward(flowing)
                grads |= found
        return {name: grads.get(name, np.zeros_like(v)) for name, v in theta.items()} | {
            name: np.zeros_like(theta[name]) for name in self.fixed
        }

    def weight_gradient(self, theta):
        """Gradient of the matching loss on W of every pair: D / N."""
        values, _ = self.forward(theta)
        return {
            p.name: errors(p, self.maps[p.source], values[p.target], theta) / len(self.labels)
            for p in self.pairs
        }


def along(function, theta, q):
    """Directional derivative of a gradient, exact: Im f(theta + i*h*q) / h."""
    moved = {name: value + 1j * STEP * q[name] for name, value in theta.items()}
    return {name: value.imag / STEP for name, value in function(moved).items()}


def sgd(theta, velocity, gradient, rate, momentum, decay):
    velocity = {n: momentum * velocity[n] + gradient[n] + decay * theta[n] for n in theta}
    return {n: theta[n] - rate * velocity[n] for n in theta}, velocity


def hyper_gradient(problem, theta, velocity, weights, *, steps, rate, momentum, decay):
    """Outer loss, and its adjoint on W, by the published recursion, all recomputed."""
    visited = []
    for index in range(steps + 1):
        used = weights if index < steps else {}
        visited.append((theta, used))
        gradient = problem.gradient(theta, used, hard=index == steps)
        theta, velocity = sgd(theta, velocity, gradient, rate, momentum, decay)
    a = problem.gradient(theta, {}, hard=True)
    b = {name: np.zeros_like(value) for name, value in a.items()}
    adjoint = {name: np.zeros_like(value) for name, value in weights.items()}
    for at, used in reversed(visited):
        q = {name: b[name] - rate * a[name] for name in a}
        h = along(lambda p, used=used: problem.gradient(p, used, hard=not used), at, q)
        if used:
            mixed = along(problem.weight_gradient, at, q)
            adjoint = {name: adjoint[name] + mixed[name] for name in adjoint}
        a = {name: a[name] + h[name] + decay * q[name] for name in a}
        b = {name: momentum * q[name] for name in a}
    return problem.hard_loss(theta), adjoint
