"""Image-classification methods, each written twice: in TensorFlow/Keras and in PyTorch."""

from poc.shared.api.keras_registration import watch_keras

watch_keras()
