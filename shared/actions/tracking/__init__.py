"""Runs in the trackers that a team has: TensorBoard and MLflow."""
