"""Launch of runs and sweeps: checks that come first, and the place where the work is done."""
