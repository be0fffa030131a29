"""Heads that are fitted to the outputs of a frozen body in one pass: `knn` and `logistic`.

No gradient step is taken. The features of the training images in the view for evaluation are
gathered, and the last layer is computed from them; docs/methods/ has the formulas.
"""

from collections.abc import Mapping
from typing import Literal, Self, cast

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import only_last_free
from poc.shared.spec.networks.layers.neighbours import Metric
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.stored_images import StoredImages, require_dense_end
from poc.shared.spec.settings import Settings

from .fine_tuning import FineTuning
from .transfer_learning import finetune_view

# Largest size of the features of all training images, in bytes: that of all kept values.
MOST_FEATURE_BYTES = 1 << 30


class FittedHeadOptions(Settings):
    """Options of every fitted head."""

    feature_cache: Literal["memory", "disk"] = Field(
        "memory",
        description="cache for the features, computed once per image; disk: kept for later runs "
        "too",
    )

    @property
    def new_head(self) -> bool:
        """Return true: the last layer of a weight file is never kept."""
        return True

    @property
    def symbol(self) -> str:
        """Return the name of the number that is chosen."""
        raise NotImplementedError

    @property
    def candidates(self) -> tuple[float, ...]:
        """Return the numbers to choose from, in rising order."""
        raise NotImplementedError

    @property
    def unchosen(self) -> float:
        """Return the number that is taken if there are too few validation images to choose."""
        raise NotImplementedError


class LogisticOptions(FittedHeadOptions):
    """Options of multinomial logistic regression on frozen features, by scikit-learn."""

    c_values: tuple[float, ...] = Field(
        (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0),
        min_length=1,
        examples=[[0.01, 0.1, 1.0]],
        description="values of C to choose from by validation; C is the inverse strength of the L2 "
        "penalty, as in scikit-learn",
    )
    default_c: float = Field(
        1.0,
        gt=0,
        description="C of a run with too few validation images to choose it; 1 is scikit-learn's",
    )
    standardize: bool = Field(
        True,
        description="divide each feature, less its mean, by its deviation over the training "
        "images; folded into kernel and bias",
    )
    max_iterations: int = Field(
        10_000, ge=1, description="most iterations of the solver, L-BFGS, for one C"
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        """Refuse a C of 0 or less."""
        if min(self.c_values) <= 0:
            raise UsageError(
                f"Got c_values={list(self.c_values)}. Expected numbers above 0. Try "
                "--set c_values=[0.01,0.1,1]."
            )
        return self

    @property
    def symbol(self) -> str:
        """Return the name of the number that is chosen."""
        return "C"

    @property
    def candidates(self) -> tuple[float, ...]:
        """Return the values of C to choose from, in rising order."""
        return tuple(sorted(set(self.c_values)))

    @property
    def unchosen(self) -> float:
        """Return the C of a run with too few validation images."""
        return self.default_c


class NeighboursOptions(FittedHeadOptions):
    """Options of nearest neighbours among frozen features."""

    k_values: tuple[int, ...] = Field(
        (1, 3, 5, 10, 20, 50, 100, 200),
        min_length=1,
        examples=[[1, 5, 20]],
        description="numbers of neighbours k to choose from by validation; larger than the number "
        "of training images: as large as that",
    )
    default_k: int = Field(
        20,
        ge=1,
        description="k of a run with too few validation images to choose it; 20 is that of DINO",
    )
    metric: Metric = Field("cosine", description="similarity of two images' features")
    votes: Literal["softmax", "uniform"] = Field(
        "softmax",
        description="weight of a neighbour's vote; softmax: exp(similarity / temperature); "
        "uniform: the same for all",
    )
    temperature: float = Field(
        0.07,
        gt=0,
        description="softmax: what the similarity is divided by; with metric=euclidean it is minus "
        "the squared distance",
    )

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        """Refuse a k below 1."""
        if min(self.k_values) < 1:
            raise UsageError(
                f"Got k_values={list(self.k_values)}. Expected whole numbers of 1 or more. Try "
                "--set k_values=[1,5,20]."
            )
        return self

    @property
    def symbol(self) -> str:
        """Return the name of the number that is chosen."""
        return "k"

    @property
    def candidates(self) -> tuple[float, ...]:
        """Return the numbers of neighbours to choose from, in rising order."""
        return tuple(sorted(set(self.k_values)))

    @property
    def unchosen(self) -> float:
        """Return the k of a run with too few validation images."""
        return self.default_k

    def store(self, num_images: int) -> StoredImages:
        """Return the form of the classifier for this number of training images."""
        most = max(*self.k_values, self.default_k)
        return StoredImages(
            num_images=num_images,
            most_neighbours=min(most, num_images),
            metric=self.metric,
            sharpness=1 / self.temperature if self.votes == "softmax" else 0.0,
        )


def extend_logistic(options: LogisticOptions, network: Network, stage: str) -> Network:
    """Freeze all but the last layer, which must be a dense one.

    Raises:
        UsageError: The network ends in another layer.
    """
    require_dense_end(network, "the method logistic")
    return only_last_free(network)


def extend_neighbours(options: NeighboursOptions, network: Network, stage: str) -> Network:
    """Freeze all but the last layer; before the data is opened this is still the model's own.

    Raises:
        UsageError: The network ends in another layer than a dense one.
    """
    if network.nodes[-1].layer.kind != "nearest_neighbours":
        require_dense_end(network, "the method knn")
    return only_last_free(network)


def show_as_evaluated(
    options: FittedHeadOptions, run: Mapping[str, object], stage: str
) -> Mapping[str, object]:
    """Return the change of the run with which it sees the training images as in evaluation."""
    data = cast(Mapping[str, object], run["data"])
    view = finetune_view("test", cast(Mapping[str, object], data["eval_view"]))
    return {"data": {**data, "train_view": view}}


LOGISTIC = FineTuning(extend=extend_logistic, settings=show_as_evaluated)
NEIGHBOURS = FineTuning(extend=extend_neighbours, settings=show_as_evaluated)
