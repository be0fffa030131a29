"""Common parts of residual networks: the options of the blocks, and the end of a block."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.merging import Add
from poc.shared.spec.networks.layers.residual import StochasticDepth
from poc.shared.spec.settings import Settings


class ResidualOptions(Settings):
    """Options of the blocks of a residual network."""

    shortcut: Literal["residual", "none"] = Field(
        "residual", description="sum that ends a block; none: the plain net of the same depth"
    )
    stochastic_depth: Literal["none", "batch", "row"] = Field(
        "none",
        description="random dropping of blocks in training; batch: for the full batch, without "
        "computing it; row: per example",
    )
    survival: float = Field(
        0.5,
        gt=0,
        le=1,
        description="probability that the last block is kept, linear from 1 before the first block",
    )
    survival_scaling: Literal["test", "train"] = Field(
        "test",
        description="scale of a branch; test: times survival in evaluation; train: divided by it "
        "in training",
    )


@dataclass
class BlockEnds:
    """The ends of the blocks of one network, counted for the linear decay of survival."""

    net: NetworkBuilder
    options: ResidualOptions
    num_blocks: int
    index: int = 0

    def end(self, name: str, first: str, shortcut: str, *, is_identity: bool) -> None:
        """Add the shortcut to the latest node, after stochastic depth if the options have it.

        Args:
            name: Name of the block.
            first: First node of the block that the shortcut bypasses.
            shortcut: Node with the block's input, or with its projection.
            is_identity: True if it is the input itself.
        """
        self.index += 1
        if self.options.shortcut == "none":
            return
        branch = self.net.latest
        if self.options.stochastic_depth != "none":
            layer = StochasticDepth(
                survival=survival(self.index, self.num_blocks, self.options.survival),
                mode=self.options.stochastic_depth,
                scaling=self.options.survival_scaling,
            )
            branch = self.net.add(f"{name}/stochastic_depth", layer)
        self.net.add(f"{name}/add", Add(), branch, shortcut)
        self.net.close_block(name, first, shortcut, is_identity=is_identity)


def survival(index: int, num_blocks: int, last: float) -> float:
    """Return 1 - index / num_blocks * (1 - last), equation 4 of arXiv 1603.09382.

    `index` counts blocks from 1.
    """
    return 1 - index / num_blocks * (1 - last)
