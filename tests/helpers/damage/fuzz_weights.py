"""Reads damaged weight files: BACKEND FOLDER CASES SEED FILE...; a line a case.

Run as a script: it imports one framework, and the compiled parts of a reader may end it.
"""

import importlib
import random
import sys
import warnings
from pathlib import Path

from poc.tests.helpers.damage.fuzzing import attempt, bounded, mutate


def main(backend, folder, num_cases, seed, *names):
    read_published = importlib.import_module(f"poc.{backend}_impl.published").read_published
    warnings.simplefilter("ignore")
    corpus = {name: (Path(folder) / name).read_bytes() for name in names}
    draw = random.Random(f"{backend} {seed}")
    for name in names:
        assert attempt(read_published, str(Path(folder) / name)), "a sound file is refused"
    with bounded():
        for _ in range(int(num_cases)):
            name = draw.choice(names)
            path = Path(folder) / f"damaged{Path(name).suffix}"
            path.write_bytes(mutate(corpus[name], draw))
            print("read" if attempt(read_published, str(path)) else "refused", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
