"""The methods that `poc explain` offers, each from a network and images to maps of a class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from poc.shared.errors import UsageError
from poc.shared.spec.networks.grids import find_map_shape
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.network import Network
from poc.shared.spec.networks.nodes import find_last_map
from poc.shared.spec.suggestions import likeliest

from .grad_cam import class_maps, enlarge, scale_to_one
from .networks import OpenNetwork
from .occlusion import Patches, plan_patches

METHODS = ("gradcam", "occlusion")
# Covered pictures that are computed at a time.
BATCH_SIZE = 64


@dataclass(frozen=True, kw_only=True)
class GradCam:
    """Grad-CAM at a tap: maps from 0 to 1.

    Attributes:
        name: The method, as `--method` takes it.
        unit: Meaning of a map's values, for the colour bar.
        tap: Name of the map.
        tap_shape: (h, w, c) of it; of tokens, that of their patches.
        image_shape: (H, W, C) of the images.
    """

    tap: str
    tap_shape: Shape
    image_shape: Shape
    name: str = "gradcam"
    unit: str = "share of the largest value"

    def explain(
        self, network: OpenNetwork, images: NDArray[np.float32], classes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return maps (N, h, w) of images (N, H, W, C) for classes (N,), each from 0 to 1."""
        values = network.map_and_gradient(images, classes, self.tap)
        return scale_to_one(class_maps(*(as_maps(value, self.tap_shape) for value in values)))

    def show(self, one: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return a map (h, w), resized to (H, W)."""
        height, width, _ = self.image_shape
        return enlarge(one, height, width)

    def facts(self) -> dict[str, object]:
        """Return the tap and its shape."""
        return {"tap": self.tap, "tap_shape": list(self.tap_shape)}


@dataclass(frozen=True, kw_only=True)
class Occlusion:
    """Occlusion by a patch: maps of the drop of the probability, -1 to 1.

    Attributes:
        name: The method, as `--method` takes it.
        unit: Meaning of a map's values, for the colour bar.
        patches: Places of the patch.
    """

    patches: Patches
    name: str = "occlusion"
    unit: str = "drop of the probability"

    def explain(
        self, network: OpenNetwork, images: NDArray[np.float32], classes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return drops (N, rows, columns) of images (N, H, W, C) for classes (N,)."""
        whole = network.shares(network.logits(images))
        shape = (len(self.patches.rows), len(self.patches.columns))
        drops = []
        for image, own, shares in zip(images, classes, whole, strict=True):
            covered = [
                network.shares(network.logits(batch))[:, own]
                for batch in self.patches.cover(image, BATCH_SIZE)
            ]
            drops.append((shares[own] - np.concatenate(covered)).reshape(shape))
        return np.stack(drops)

    def show(self, one: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each pixel's mean over the patches on it, (H, W), of values (rows, columns)."""
        return self.patches.spread(one)

    def facts(self) -> dict[str, object]:
        """Return the sizes in pixels, and the first rows and columns of the patches."""
        return {
            "patch_pixels": self.patches.patch,
            "stride_pixels": self.patches.stride,
            "rows": self.patches.rows,
            "columns": self.patches.columns,
        }


Method = GradCam | Occlusion


def choose_method(
    name: str,
    network: Network,
    *,
    tap: str | None = None,
    patch: int | None = None,
    stride: int | None = None,
) -> Method:
    """Return the method of a name, for a network.

    Args:
        name: `gradcam` or `occlusion`.
        network: The network that is explained.
        tap: Name of the map for Grad-CAM; None: the last map of several pixels.
        patch: Side of the patch for occlusion, in pixels.
        stride: Pixels between its places.

    Raises:
        UsageError: The name or an option is wrong, or an option is of the other method.
    """
    if name not in METHODS:
        raise UsageError(
            f"Got --method {name!r}. Expected gradcam or occlusion. Try --method "
            f"{likeliest(name, METHODS)}."
        )
    foreign = {"--patch": patch, "--stride": stride} if name == "gradcam" else {"--tap": tap}
    for option, value in foreign.items():
        if value is not None:
            other = METHODS[name == "gradcam"]
            raise UsageError(
                f"Got {option} {value} with --method {name}. Expected it with --method {other}. "
                f"Try leaving {option} out."
            )
    height, width, _ = network.input_shape
    if name == "occlusion":
        return Occlusion(patches=plan_patches(height, width, patch, stride))
    chosen = choose_tap(network) if tap is None else check_tap(network, tap)
    shape = map_shape(network, network.node_of(chosen))
    return GradCam(tap=chosen, tap_shape=shape, image_shape=network.input_shape)


def map_shape(network: Network, node: str) -> Shape:
    """Return (h, w, c) of a map or of the patches among tokens, or () if it is neither."""
    return find_map_shape(network.nodes, network.shape_of(node)) or ()


def as_maps(values: NDArray[np.floating], shape: Shape) -> NDArray[np.floating]:
    """Return maps (N, h, w, c): themselves, or the last of the tokens (N, T, c), the patches."""
    if values.ndim == 4:
        return values
    height, width, channels = shape
    return values[:, -height * width :].reshape(-1, height, width, channels)


def choose_tap(network: Network) -> str:
    """Return the last map of several pixels that all ways to the logits go through.

    Raises:
        UsageError: The network has no map.
    """
    found = find_last_map(network.needed([network.output]))
    if found is None:
        raise UsageError(
            f"Got the model {network.name}, which has no map of several pixels. Expected one with "
            "convolutions for Grad-CAM. Try --method occlusion."
        )
    return found


def check_tap(network: Network, tap: str) -> str:
    """Return a tap that Grad-CAM can draw.

    Raises:
        UsageError: There is no such tap, it is no map, or the logits do not depend on it.
    """
    node = network.node_of(tap)
    if not map_shape(network, node):
        raise UsageError(
            f"Got --tap {tap}, which is a vector of shape {network.shape_of(node)}. Expected a map "
            f"(height, width, channels). Try --tap {choose_tap(network)}."
        )
    if node not in {each.name for each in network.needed([network.output])}:
        raise UsageError(
            f"Got --tap {tap}, which the logits of {network.name} do not depend on. Expected a map "
            f"that they are computed from. Try --tap {choose_tap(network)}."
        )
    return tap
