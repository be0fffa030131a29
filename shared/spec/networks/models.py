"""A model of the table, with its options and changes of the declared network."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from poc.shared.errors import UsageError
from poc.shared.spec.settings import Settings
from poc.shared.spec.suggestions import suggest_name

from .architectures.table import MODELS, Model
from .factors import Factor, factorize
from .layers.declaration import Shape
from .network import Network
from .stored_images import StoredImages, with_stored_images


def find_model(name: str) -> Model:
    """Return the row of a model.

    Raises:
        UsageError: No such model.
    """
    if name not in MODELS:
        raise UsageError(f"Got the model {name!r}. {suggest_name(name, MODELS, 'poc models list')}")
    return MODELS[name]


class ModelSpec(Settings):
    """An architecture with its options, and changes of the declared network."""

    name: str = Field(description="name of the architecture, one of `poc models list`")
    options: Mapping[str, Any] = Field(
        default_factory=dict, description="options of the architecture"
    )
    trainable: Literal["all", "head"] = Field(
        "all", description="trained layers; head: only the last one with parameters"
    )
    removed: tuple[str, ...] = Field(
        (), examples=[["block1"]], description="blocks that are replaced by their shortcuts"
    )
    factors: Mapping[str, Factor] = Field(
        default_factory=dict,
        description="convolutions that become two of low rank, each with its variant and rank",
    )
    factor_initializer: Literal["drawn", "spectral"] = Field(
        "drawn",
        description="initial values of the factors; drawn: random; spectral: the SVD of a random "
        "full kernel",
    )

    stored_images: StoredImages | None = Field(
        None,
        description="classifier by nearest neighbours in place of the last layer, set by the "
        "method knn",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_changed_options(cls, values: object) -> object:
        """Add the options whose absence once meant another value than their default."""
        if not isinstance(values, dict):
            return values
        row = MODELS.get(str(values.get("name")))
        if row is None or not isinstance(given := values.get("options", {}), Mapping):
            return values
        defaults = {key: row.options.model_fields[key].default for key in row.former}
        return {**values, "options": {**defaults, **given}}

    def resolved(self) -> Settings:
        """Return the architecture's options, validated, with defaults filled in."""
        return find_model(self.name).options.parse(dict(self.options), "model")

    def declare(self, input_shape: Shape, num_classes: int) -> Network:
        """Declare the network for images of the shape `input_shape` (H, W, C).

        Raises:
            UsageError: A wrong option, a block or a convolution that does not exist, images that
                are too small, or stored images for a network that does not end in a dense layer.
        """
        network = find_model(self.name).declare(self.resolved(), input_shape, num_classes)
        if self.factors:
            network = factorize(network, self.factors)
        if self.removed:
            network = network.without(self.removed)
        if self.stored_images is not None:
            network = with_stored_images(network, self.stored_images)
        return network.with_frozen_body() if self.trainable == "head" else network
