"""Losses against a frozen source in TensorFlow: per-example values (N,); the caller takes the mean.

Formulas and references: docs/methods/.
"""

from collections.abc import Mapping

import tensorflow as tf

from poc.shared.engine.ranks.parts import EXAMPLE_SHARE

from .ranks.rows import gather_rows

# The bound of `torch.nn.functional.normalize`, with which the authors' code normalises.
EPSILON = 1e-12


def soft_cross_entropy(
    logits: tf.Tensor,
    teacher_logits: tf.Tensor,
    *,
    temperature: float,
    subtract_entropy: bool = True,
    scale_by_temperature_squared: bool = True,
) -> tf.Tensor:
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
    log_p = tf.nn.log_softmax(logits / temperature)
    log_q = tf.nn.log_softmax(teacher_logits / temperature)
    reference = log_q if subtract_entropy else tf.zeros_like(log_q)
    values = tf.reduce_sum(tf.exp(log_q) * (reference - log_p), axis=1)
    return values * temperature**2 if scale_by_temperature_squared else values


def squared_error(maps: tf.Tensor, hints: tf.Tensor, *, reduction: str) -> tf.Tensor:
    """Return the squared differences of two maps, reduced per example.

    Args:
        maps: (N, H, W, C) of the student.
        hints: (N, H, W, C) of the teacher.
        reduction: `sum_features` sums over H, W and C; `mean` takes their mean. The two differ by
            exactly H * W * C.

    Returns:
        (N,) loss per example.
    """
    squares = tf.square(maps - hints)
    reduce = tf.reduce_sum if reduction == "sum_features" else tf.reduce_mean
    return reduce(squares, axis=(1, 2, 3))


def attention_map(maps: tf.Tensor, *, kind: str, power: float) -> tf.Tensor:
    """Return the normalised attention map Q / max(||Q||_2, 1e-12): (N, H, W, C) -> (N, H * W).

    Q at a pixel is sum_c |x_c| (`sum`), sum_c |x_c|^power (`sum_p`) or max_c |x_c|^power (`max_p`)
    (arXiv 1612.03928, section 3.1).
    """
    sizes = tf.abs(maps)
    # A square costs less than a power, and 2 is the default.
    if kind != "sum":
        sizes = tf.square(maps) if power == 2 else sizes**power
    reduce = tf.reduce_max if kind == "max_p" else tf.reduce_sum
    flat = tf.reshape(reduce(sizes, axis=3), (tf.shape(maps)[0], -1))
    return flat / tf.maximum(length(flat), EPSILON)[:, None]


def attention_distance(attention: tf.Tensor, source: tf.Tensor, *, form: str) -> tf.Tensor:
    """Return the distance of two normalised attention maps, (N, H * W) each.

    `code` is the mean of the squared differences, as in the authors' program. `paper` is half the
    norm of the difference (arXiv 1612.03928, eq. 2); its gradient is 0 where the maps are equal.

    Returns:
        (N,) loss per example.
    """
    difference = attention - source
    if form == "code":
        return tf.reduce_mean(tf.square(difference), axis=1)
    return length(difference) / 2


def length(vectors: tf.Tensor) -> tf.Tensor:
    """Return the norm of each row, (N, K) -> (N,). Its gradient at 0 is set to 0."""
    squares = tf.reduce_sum(tf.square(vectors), axis=1)
    is_zero = tf.equal(squares, 0)
    # The root of 0 has an infinite gradient, and a `where` behind it would still give
    # 0 * infinity = NaN. The root of 1 is taken there instead.
    roots = tf.sqrt(tf.where(is_zero, tf.ones_like(squares), squares))
    return tf.where(is_zero, tf.zeros_like(squares), roots)


def resize_maps(maps: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Resize maps linearly, (N, H, W, C) -> (N, H', W', C); rows (H', H), columns (W', W)."""
    return tf.einsum("ih,jw,nhwc->nijc", rows, columns, maps)


def similarity_rows(
    maps: tf.Tensor, *, row_length: int, extras: Mapping[str, tf.Tensor] | None = None
) -> tf.Tensor:
    """Return how each image resembles those of its batch: (N, H, W, C) -> (N, row_length).

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
    flat = tf.reshape(maps, (num_images, -1))
    if extras and EXAMPLE_SHARE in extras:
        batch = gather_rows(flat, extras, length=row_length)
        return tf.matmul(flat, batch, transpose_b=True)
    rows = tf.matmul(flat, flat, transpose_b=True)
    return tf.pad(rows, ((0, 0), (0, row_length - num_images)))


def unit_vectors(vectors: tf.Tensor) -> tf.Tensor:
    """Return each row divided by max(its norm, 1e-12), (N, K) -> (N, K)."""
    return vectors / tf.maximum(length(vectors), EPSILON)[:, None]


def pair_attention(queries: tf.Tensor, keys: tf.Tensor, *, temperature: float) -> tf.Tensor:
    """Return the softmax over keys of the products of queries and keys, by image.

    Args:
        queries: (N, S, K), of S maps of the student.
        keys: (N, T, K), of T maps of the teacher.
        temperature: Number that divides the products.

    Returns:
        (N, S, T) weights; those of a map of the student add up to 1.
    """
    products = tf.matmul(queries, keys, transpose_b=True)
    return tf.nn.softmax(products / temperature, axis=2)
