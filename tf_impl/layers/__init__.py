"""Layers in TensorFlow."""
