"""A classifier by the nearest of stored vectors, in PyTorch."""

import torch

from poc.shared.spec.networks.layers.neighbours import TIE

from .declared import Declared

# Length of a vector of zeros, whose cosine with any other is 0.
SMALLEST = 1e-12


class NearestNeighbours(Declared):
    """Votes of the nearest stored vectors: (N, in) -> logits (N, out)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        num_stored: int,
        most_neighbours: int,
        metric: str = "cosine",
        sharpness: float = 0.0,
        dtype: str = "float32",
    ) -> None:
        super().__init__()
        own = getattr(torch, dtype)
        self.features: torch.Tensor
        self.rank: torch.Tensor
        self.labels: torch.Tensor
        self.register_buffer("features", torch.zeros(num_stored, in_channels, dtype=own))
        self.register_buffer("rank", torch.zeros(most_neighbours, dtype=own))
        self.register_buffer("labels", torch.zeros(num_stored, out_channels, dtype=own))
        self.metric, self.sharpness = metric, sharpness

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the log of each class's share of the votes (N, out), in the type of the vectors.

        In mixed precision too: a lower type would tie vectors that are not equal.
        """
        with torch.autocast(inputs.device.type, enabled=False):
            return self.count_votes(*self.compare(inputs.to(self.features.dtype)))

    def compare(self, vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return similarities (N, stored) of vectors (N, in), and by how much they tie (N, 1)."""
        squares = (vectors * vectors).sum(dim=1, keepdim=True)
        if self.metric == "cosine":
            # Bounded before the root, whose derivative at 0 is infinite.
            lengths = squares.clamp_min(SMALLEST**2).sqrt()
            similarities = (vectors / lengths) @ self.features.T
            return similarities, torch.full_like(lengths, TIE)
        own = (self.features * self.features).sum(dim=1)
        return 2 * (vectors @ self.features.T) - own, (TIE * squares).detach()

    def count_votes(self, similarities: torch.Tensor, tie: torch.Tensor) -> torch.Tensor:
        """Return logits (N, out) of similarities (N, stored) that tie by (N, 1)."""
        nearest = similarities.detach().topk(len(self.rank), dim=1).values
        first = nearest[:, :1]
        # The nearest one always votes.
        last = torch.minimum((nearest * self.rank).sum(dim=1, keepdim=True), first)
        votes = (similarities >= last - tie).to(similarities.dtype)
        count = votes.sum(dim=1, keepdim=True)
        weights = votes * torch.exp(self.sharpness * (similarities - first))
        shares = (weights @ self.labels) / weights.sum(dim=1, keepdim=True)
        return torch.log((count * shares + 1 / self.labels.shape[1]) / (count + 1))


KINDS: dict[str, type[Declared]] = {"nearest_neighbours": NearestNeighbours}
