"""Complete files, the tensors in them, and the folder of caches."""
