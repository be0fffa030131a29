"""The one training loop and what it does in an epoch."""
