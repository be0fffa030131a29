"""SemCKD (arXiv 2012.03236): options, pairs of maps, and the layers that train with the target.

Every map of the target is matched with every map of the source, and each image weighs the pairs. A
query network per target map and a key network per source map read a row of the similarities of the
image to its batch; a projection per pair takes the target's map to the source's channels.

All of them are side branches of the target's network, so that they have names, optimiser slots and
checkpoints like other layers. They read values that the loss computes, not other layers. Formulas,
and differences between the paper and its authors' program: docs/methods/semckd.md.
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.layers.dense import Dense
from poc.shared.spec.networks.layers.elementwise import Activate, BatchNorm
from poc.shared.spec.networks.network import Network
from poc.shared.spec.settings import Settings

from .distilling import Distillation, Pair, add_fed, check_same_classes, find_taps, make_pair

# The share of a row's length that the authors' program takes for the length of an embedding.
LENGTH_PER_VALUE = 4
# With one value an embedding is 1 or -1 whatever its row is, and nothing would learn.
LEAST_EMBEDDING = 2


class SemCKDOptions(Settings):
    """Options of `semckd`; the defaults are those of the publication and its authors' program."""

    source_taps: tuple[str, ...] = Field(
        (),
        description="matched maps of the source; none: its taps named reduction1, …, or else all",
    )
    target_taps: tuple[str, ...] = Field((), description="maps of the target; none: the same rule")
    beta: float = Field(400.0, ge=0, description="weight of the matching loss")
    layer_reduction: Literal["mean", "sum"] = Field(
        "mean",
        description="reduction of the matching loss over the target's maps; mean: the authors' "
        "program, to which beta belongs; sum: the paper's formula",
    )
    soft_weight: float = Field(
        1.0, ge=0, description="weight of the soft loss; that of the hard one is 1; 0: no soft loss"
    )
    temperature: float = Field(
        4.0, gt=0, description="temperature of the soft loss, which divides the logits"
    )
    attention_temperature: float = Field(
        1.0, gt=0, description="number that divides the products of queries and keys"
    )
    row_length: int | None = Field(
        None,
        ge=2,
        description="length of a row of similarities, one per image of the batch; a smaller batch "
        "has zeros at its end; none: data.batch_size",
    )
    embedding_size: int | None = Field(
        None,
        ge=LEAST_EMBEDDING,
        description="length of queries and keys; none: a quarter of row_length, at least 2",
    )
    hidden_factor: int = Field(
        2, ge=1, description="hidden units of a query or key network, times embedding_size"
    )
    projection_factor: int = Field(
        2, ge=1, description="channels inside a projection, times the channels of the source's map"
    )

    @property
    def resolved_embedding_size(self) -> int:
        """Return the length of queries and keys, with the default filled in."""
        row_length = self.row_length or 0
        return self.embedding_size or max(row_length // LENGTH_PER_VALUE, LEAST_EMBEDDING)


def fill_row_length(options: SemCKDOptions, batch_size: int) -> SemCKDOptions:
    """Return the options with the length of a row filled in from the size of a batch.

    Raises:
        UsageError: The rows are shorter than a batch, or a batch is one image.
    """
    if batch_size < 2:
        raise UsageError(
            f"Got data.batch_size={batch_size} for semckd, which reads how the images of a batch "
            "resemble each other. Expected at least 2. Try data.batch_size=64."
        )
    row_length = options.row_length or batch_size
    if row_length < batch_size:
        raise UsageError(
            f"Got method_options.row_length={row_length} with data.batch_size={batch_size}. "
            "Expected one value per image of a batch. Try leaving row_length out."
        )
    return options.model_copy(update={"row_length": row_length})


def find_all_pairs(options: SemCKDOptions, target: Network, source: Network) -> tuple[Pair, ...]:
    """Pair every map of the target with every map of the source, grouped by the target's.

    Raises:
        UsageError: A tap is missing or not a map.
    """
    sources, targets = find_taps(options.source_taps, options.target_taps, target, source)
    return tuple(make_pair(m, n, target, source) for n in targets for m in sources)


def has_soft_loss(options: SemCKDOptions) -> bool:
    """Return whether the loss has a part that distils the source's logits."""
    return options.soft_weight > 0


def compared_size(pair: Pair) -> tuple[int, int]:
    """Return (height, width) of the smaller of a pair's maps, by axis."""
    height, width = (min(pair.source_shape[axis], pair.target_shape[axis]) for axis in (0, 1))
    return height, width


def extend_semckd(options: SemCKDOptions, target: Network, source: Network, stage: str) -> Network:
    """Add the query and key networks and the projections, and mark the maps that the loss reads.

    Raises:
        UsageError: A tap does not fit, or the soft loss would compare different classes.
    """
    if has_soft_loss(options):
        check_same_classes("the soft loss of semckd", target, source)
    pairs = find_all_pairs(options, target, source)
    extended = target.observing({pair.target for pair in pairs})
    for name in embeddings(pairs):
        extended = add_embedding(extended, name, options)
    for pair in pairs:
        extended = add_projection(extended, pair, options.projection_factor)
    return extended


def embeddings(pairs: tuple[Pair, ...]) -> Iterator[str]:
    """Yield the names of the query networks and of the key networks, `query/TAP` and `key/TAP`."""
    taps = [pair.name.split(">") for pair in pairs]
    yield from dict.fromkeys(f"query/{target}" for _, target in taps)
    yield from dict.fromkeys(f"key/{source}" for source, _ in taps)


def add_embedding(network: Network, name: str, options: SemCKDOptions) -> Network:
    """Add two dense layers with a ReLU between them as a side branch, fed with `NAME/rows`."""
    size = options.resolved_embedding_size
    shape: Shape = (options.row_length or 0,)
    hidden = torch_dense(options.hidden_factor * size, activation="relu")
    network = add_fed(network, f"{name}/hidden", hidden, f"{name}/rows", shape)
    return network.beside(f"{name}/output", torch_dense(size), f"{name}/hidden")


def torch_dense(units: int, activation: Literal["relu"] | None = None) -> Dense:
    """Declare a dense layer with PyTorch's own initial values, as in the authors' program."""
    return Dense(
        units=units,
        activation=activation,
        initializer="torch_uniform",
        bias_initializer="torch_uniform",
    )


def add_projection(network: Network, pair: Pair, factor: int) -> Network:
    """Add convolutions of 1x1, 3x3 and 1x1 as a side branch, fed with `projection/PAIR/map`.

    Batch norm and ReLU follow the first two; none has a bias.
    """
    name = f"projection/{pair.name}"
    channels = pair.source_shape[-1]
    shape = (*compared_size(pair), pair.target_shape[-1])
    first = torch_conv(factor * channels, 1)
    network = add_fed(network, f"{name}/conv1", first, f"{name}/map", shape)
    network = add_norm(network, name, 1)
    network = network.beside(f"{name}/conv2", torch_conv(factor * channels, 3), f"{name}/relu1")
    network = add_norm(network, name, 2)
    return network.beside(f"{name}/output", torch_conv(channels, 1), f"{name}/relu2")


def torch_conv(filters: int, kernel_size: int) -> Conv2D:
    """Declare a convolution without a bias that keeps the map's size."""
    return Conv2D(
        filters=filters,
        kernel_size=(kernel_size, kernel_size),
        padding="same",
        use_bias=False,
        initializer="torch_uniform",
    )


def add_norm(network: Network, name: str, index: int) -> Network:
    """Add batch norm and ReLU behind the convolution of this index."""
    norm = BatchNorm(momentum=0.9, epsilon=1e-5)
    network = network.beside(f"{name}/norm{index}", norm, f"{name}/conv{index}")
    relu = Activate(activation="relu")
    return network.beside(f"{name}/relu{index}", relu, f"{name}/norm{index}")


SEMCKD = Distillation(
    extend=extend_semckd, compares_logits=has_soft_loss, fill_from_batch=fill_row_length
)
