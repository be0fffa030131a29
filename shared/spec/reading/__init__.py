"""How a run is written and stored: files, keys, names, sweeps."""
