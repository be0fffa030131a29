"""Cost of a candidate in one framework."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Measured cost of a candidate in one framework; None if it was not measured.

    Attributes:
        weight_bytes: Four bytes per parameter.
        file_bytes: Size of the exported file.
        latency_seconds: Time of the exported file for one image, on one thread.
        batch_latency_seconds: The same for a batch of 64 images.
        training_seconds: Time of a run.
        memory_bytes: Peak memory of a run.
    """

    weight_bytes: float | None = None
    file_bytes: float | None = None
    latency_seconds: float | None = None
    batch_latency_seconds: float | None = None
    training_seconds: float | None = None
    memory_bytes: float | None = None
