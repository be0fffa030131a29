"""Several processes that train one run together: ranks, each with its part of every batch."""
