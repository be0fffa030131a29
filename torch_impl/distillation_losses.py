"""Losses against a frozen source in PyTorch: per-example values (N,); the caller takes the mean.

Formulas and references: docs/methods/.
"""

from collections.abc import Mapping

import torch

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE

from .ranks.rows import gather_rows

# The bound of `torch.nn.functional.normalize`, with which the authors' code normalises.
EPSILON = 1e-12


def soft_cross_entropy(
    logits: torch.Tensor,
    teacher_logits: torch.Tensor,
    *,
    temperature: float,
    subtract_entropy: bool = True,
    scale_by_temperature_squared: bool = True,
) -> torch.Tensor:
    """Return the softened cross-entropy -sum_c q_c log p_c of every example.

    p = softmax(logits / T) and q = softmax(teacher_logits / T).

    Args:
        logits: (N, num_classes) of the student.
        teacher_logits: (N, num_classes) of the teacher, which the student imitates.
        temperature: T, above 0.
        subtract_entropy: Subtract the entropy of q. The result is the Kullback-Leibler divergence
            KL(q || p), which has the same gradient. Both are summed over classes.
        scale_by_temperature_squared: Multiply by T^2, so that T hardly changes the size of the
            gradient (arXiv 1503.02531, section 2).

    Returns:
        (N,) loss per example.
    """
    log_p = torch.log_softmax(logits / temperature, dim=1)
    log_q = torch.log_softmax(teacher_logits / temperature, dim=1)
    reference = log_q if subtract_entropy else torch.zeros_like(log_q)
    values = (torch.exp(log_q) * (reference - log_p)).sum(dim=1)
    return values * temperature**2 if scale_by_temperature_squared else values


def squared_error(maps: torch.Tensor, hints: torch.Tensor, *, reduction: str) -> torch.Tensor:
    """Return the squared differences of two maps, reduced per example.

    Args:
        maps: (N, C, H, W) of the student.
        hints: (N, C, H, W) of the teacher.
        reduction: `sum_features` sums over H, W and C; `mean` takes their mean. The two differ by
            exactly H * W * C.

    Returns:
        (N,) loss per example.
    """
    squares = torch.square(maps - hints)
    reduce = torch.sum if reduction == "sum_features" else torch.mean
    return reduce(squares, dim=(1, 2, 3))


def attention_map(maps: torch.Tensor, *, kind: str, power: float) -> torch.Tensor:
    """Return the normalised attention map Q / max(||Q||_2, 1e-12): (N, C, H, W) -> (N, H * W).

    Q at a pixel is sum_c |x_c| (`sum`), sum_c |x_c|^power (`sum_p`) or max_c |x_c|^power (`max_p`)
    (arXiv 1612.03928, section 3.1).
    """
    sizes = torch.abs(maps)
    # A square costs less than a power, and 2 is the default.
    if kind != "sum":
        sizes = torch.square(maps) if power == 2 else sizes**power
    # `amax`, not `max`: it divides the gradient of a tie among the equals, as TensorFlow does.
    reduce = torch.amax if kind == "max_p" else torch.sum
    flat = reduce(sizes, dim=1).flatten(1)
    return flat / torch.clamp(length(flat), min=EPSILON)[:, None]


def attention_distance(attention: torch.Tensor, source: torch.Tensor, *, form: str) -> torch.Tensor:
    """Return the distance of two normalised attention maps, (N, H * W) each.

    `code` is the mean of the squared differences, as in the authors' program. `paper` is half the
    norm of the difference (arXiv 1612.03928, eq. 2); its gradient is 0 where the maps are equal.

    Returns:
        (N,) loss per example.
    """
    difference = attention - source
    if form == "code":
        return torch.square(difference).mean(dim=1)
    return length(difference) / 2


def length(vectors: torch.Tensor) -> torch.Tensor:
    """Return the norm of each row, (N, K) -> (N,). Its gradient at 0 is set to 0."""
    squares = torch.square(vectors).sum(dim=1)
    is_zero = squares == 0
    # The root of 0 has an infinite gradient, and a `where` behind it would still give
    # 0 * infinity = NaN. The root of 1 is taken there instead.
    roots = torch.sqrt(torch.where(is_zero, torch.ones_like(squares), squares))
    return torch.where(is_zero, torch.zeros_like(squares), roots)


def resize_maps(maps: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Resize maps linearly, (N, C, H, W) -> (N, C, H', W'); rows (H', H), columns (W', W)."""
    return rows @ maps @ columns.T


def similarity_rows(
    maps: torch.Tensor, *, row_length: int, extras: Mapping[str, torch.Tensor] | None = None
) -> torch.Tensor:
    """Return how each image resembles those of its batch: (N, C, H, W) -> (N, row_length).

    Entry (i, j) is the sum of products of maps i and j over all their values (arXiv 2012.03236).
    Entries behind the batch are 0. In a step of several ranks, the batch is that of all of them;
    `extras` then has the scalars () of this rank's part.

    Raises:
        ValueError: The batch has more images than a row has entries.
    """
    num_images = maps.shape[0]
    if num_images > row_length:
        raise ValueError(
            f"Got a batch of {num_images} images for rows of {row_length} similarities. Expected "
            f"at most {row_length}. Try raising method_options.row_length."
        )
    flat = maps.flatten(1)
    if extras and EXAMPLE_SHARE in extras:
        return flat @ gather_rows(flat, extras, length=row_length).T
    return torch.nn.functional.pad(flat @ flat.T, (0, row_length - num_images))


def unit_vectors(vectors: torch.Tensor) -> torch.Tensor:
    """Return each row divided by max(its norm, 1e-12), (N, K) -> (N, K)."""
    return vectors / torch.clamp(length(vectors), min=EPSILON)[:, None]


def pair_attention(
    queries: torch.Tensor, keys: torch.Tensor, *, temperature: float
) -> torch.Tensor:
    """Return the softmax over keys of the products of queries and keys, by image.

    Args:
        queries: (N, S, K), of S maps of the student.
        keys: (N, T, K), of T maps of the teacher.
        temperature: Number that divides the products.

    Returns:
        (N, S, T) weights; those of a map of the student add up to 1.
    """
    products = queries @ keys.transpose(1, 2)
    return torch.softmax(products / temperature, dim=2)
