"""Losses against a frozen source in TensorFlow: per-example values (N,); the caller takes the mean.

Formulas and references: docs/methods/.
"""

import tensorflow as tf

EPSILON = 1e-12


def soft_cross_entropy(
    logits: tf.Tensor,
    teacher_logits: tf.Tensor,
    *,
    temperature: float,
    subtract_entropy: bool = True,
    scale_by_temperature_squared: bool = True,
) -> tf.Tensor:
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
    log_p = tf.nn.log_softmax(logits / temperature)
    log_q = tf.nn.log_softmax(teacher_logits / temperature)
    reference = log_q if subtract_entropy else tf.zeros_like(log_q)
    values = tf.reduce_sum(tf.exp(log_q) * (reference - log_p), axis=1)
    return values * temperature**2 if scale_by_temperature_squared else values


def squared_error(maps: tf.Tensor, hints: tf.Tensor, *, reduction: str) -> tf.Tensor:
    """Squared differences of maps, (N, H, W, C) each.

    `sum_features` sums over H, W and C, `mean` takes their mean: they differ by exactly H * W * C.

    Returns:
        (N,).
    """
    squares = tf.square(maps - hints)
    reduce = tf.reduce_sum if reduction == "sum_features" else tf.reduce_mean
    return reduce(squares, axis=(1, 2, 3))


def attention_map(maps: tf.Tensor, *, kind: str, power: float) -> tf.Tensor:
    """Normalised attention map Q / max(||Q||_2, 1e-12), (N, H, W, C) -> (N, H * W).

    Q at a pixel is sum_c |x_c| (`sum`), sum_c |x_c|^power (`sum_p`) or max_c |x_c|^power (`max_p`)
    (arXiv 1612.03928, section 3.1).
    """
    sizes = tf.abs(maps)
    if kind != "sum":
        sizes = tf.square(maps) if power == 2 else sizes**power
    reduce = tf.reduce_max if kind == "max_p" else tf.reduce_sum
    flat = tf.reshape(reduce(sizes, axis=3), (tf.shape(maps)[0], -1))
    return flat / tf.maximum(length(flat), EPSILON)[:, None]


def attention_distance(attention: tf.Tensor, source: tf.Tensor, *, form: str) -> tf.Tensor:
    """Distance of two normalised maps (N, H * W).

    `code` is the mean of squared differences, as the authors' program has it; `paper` half the
    norm of the difference (arXiv 1612.03928, eq. 2), with gradient zero where the maps are equal.

    Returns:
        (N,).
    """
    difference = attention - source
    if form == "code":
        return tf.reduce_mean(tf.square(difference), axis=1)
    return length(difference) / 2


def length(vectors: tf.Tensor) -> tf.Tensor:
    """Norm of each row, (N, K) -> (N,), with gradient zero at zero, where it has none."""
    squares = tf.reduce_sum(tf.square(vectors), axis=1)
    is_zero = tf.equal(squares, 0)
    roots = tf.sqrt(tf.where(is_zero, tf.ones_like(squares), squares))
    return tf.where(is_zero, tf.zeros_like(squares), roots)


def resize_maps(maps: tf.Tensor, rows: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
    """Linear resize, (N, H, W, C) -> (N, H', W', C); rows (H', H), columns (W', W)."""
    return tf.einsum("ih,jw,nhwc->nijc", rows, columns, maps)
