"""Losses against a frozen source in PyTorch: per-example values (N,); the caller takes the mean.

Formulas and references: docs/methods/.
"""

import torch

EPSILON = 1e-12


def soft_cross_entropy(
    logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float,
    subtract_entropy: bool = True,
    scale_by_temperature_squared: bool = True,
) -> torch.Tensor:
    """Softened cross-entropy -sum_c q_c log p_c with p, q = softmax(logits / T), per example.

    Args:
        logits: (N, C), those that learn.
        teacher_logits: (N, C), those that are imitated.
        temperature: T.
        subtract_entropy: Less the entropy of q: the Kullback-Leibler divergence KL(q || p), of the
            same gradient. Both are summed over classes.
        scale_by_temperature_squared: Times T^2 (arXiv 1503.02531, section 2).

    Returns:
        (N,).
    """
    log_p = torch.log_softmax(logits / temperature, dim=1)
    log_q = torch.log_softmax(teacher_logits / temperature, dim=1)
    reference = log_q if subtract_entropy else torch.zeros_like(log_q)
    values = (torch.exp(log_q) * (reference - log_p)).sum(dim=1)
    return values * temperature**2 if scale_by_temperature_squared else values


def squared_error(maps: torch.Tensor, hints: torch.Tensor, *, reduction: str) -> torch.Tensor:
    """Squared differences of maps, (N, C, H, W) each.

    `sum_features` sums over H, W and C, `mean` takes their mean: they differ by exactly H * W * C.

    Returns:
        (N,).
    """
    squares = torch.square(maps - hints)
    reduce = torch.sum if reduction == "sum_features" else torch.mean
    return reduce(squares, dim=(1, 2, 3))


def attention_map(maps: torch.Tensor, *, kind: str, power: float) -> torch.Tensor:
    """Normalised attention map Q / max(||Q||_2, 1e-12), (N, C, H, W) -> (N, H * W).

    Q at a pixel is sum_c |x_c| (`sum`), sum_c |x_c|^power (`sum_p`) or max_c |x_c|^power (`max_p`)
    (arXiv 1612.03928, section 3.1).
    """
    sizes = torch.abs(maps)
    if kind != "sum":
        sizes = torch.square(maps) if power == 2 else sizes**power
    # amax, not max: it shares the gradient of a tie, as TensorFlow does.
    reduce = torch.amax if kind == "max_p" else torch.sum
    flat = reduce(sizes, dim=1).flatten(1)
    return flat / torch.clamp(length(flat), min=EPSILON)[:, None]


def attention_distance(attention: torch.Tensor, source: torch.Tensor, *, form: str) -> torch.Tensor:
    """Distance of two normalised maps (N, H * W).

    `code` is the mean of squared differences, as the authors' program has it; `paper` half the
    norm of the difference (arXiv 1612.03928, eq. 2), with gradient zero where the maps are equal.

    Returns:
        (N,).
    """
    difference = attention - source
    if form == "code":
        return torch.square(difference).mean(dim=1)
    return length(difference) / 2


def length(vectors: torch.Tensor) -> torch.Tensor:
    """Norm of each row, (N, K) -> (N,), with gradient zero at zero, where it has none."""
    squares = torch.square(vectors).sum(dim=1)
    is_zero = squares == 0
    roots = torch.sqrt(torch.where(is_zero, torch.ones_like(squares), squares))
    return torch.where(is_zero, torch.zeros_like(squares), roots)


def resize_maps(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Linear resize, (N, C, H, W) -> (N, C, H', W'); rows (H', H), columns (W', W)."""
    return rows @ maps @ columns.T
