"""Images in the order of training, kept where that is faster."""
