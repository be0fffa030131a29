"""The packages that workers need where they start."""

import os

from poc.shared.engine.backend import missing_packages
from poc.shared.engine.worker.handle import variable_of


def find_missing(backend: str) -> list[str]:
    """Return the packages that workers of a backend lack; [] if another interpreter runs them."""
    return [] if variable_of(backend) in os.environ else missing_packages(backend)
