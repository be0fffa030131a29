"""Weight files: converted, factorised, checked."""
