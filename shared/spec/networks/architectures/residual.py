"""What every residual network shares: the options of its blocks, and how a block ends."""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers import Add, StochasticDepth
from poc.shared.spec.settings import Settings


class ResidualOptions(Settings):
    """How the blocks of a residual network end."""

    shortcut: Literal["residual", "none"] = Field(
        "residual", description='"none": the plain net of the same depth'
    )
    stochastic_depth: Literal["none", "batch", "row"] = Field(
        "none", description='drop blocks in training: for the whole batch ("batch": not computed)'
    )
    survival: float = Field(
        0.5, gt=0, le=1, description="survival of the last block; linear from 1 before the first"
    )
    survival_scaling: Literal["test", "train"] = Field(
        "test", description='"test": times survival in evaluation; "train": divided in training'
    )


@dataclass
class BlockEnds:
    """Ends the blocks of one network; it counts them, for the linear decay of survival."""

    net: NetworkBuilder
    options: ResidualOptions
    num_blocks: int
    index: int = 0

    def end(self, name: str, first: str, shortcut: str, *, is_identity: bool) -> None:
        """Drop (where asked for) and add the shortcut to the latest node.

        Args:
            name: Of the block.
            first: Its first node that the shortcut goes round.
            shortcut: Node with the block's input, or with its projection.
            is_identity: Whether it is the input itself.
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
    """1 - index / num_blocks * (1 - last): block `index` from 1 (arXiv 1603.09382, eq. 4)."""
    return 1 - index / num_blocks * (1 - last)
