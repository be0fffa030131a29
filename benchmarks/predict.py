"""Throughput and memory of `poc predict` on files, against the bare network on decoded images.

    python benchmarks/predict.py RUN [--files N] [--threads N] [--rounds N]
    python benchmarks/predict.py RUN --memory

The files are JPEG photos of 500 x 375 pixels, cut at random places from the one that comes with
Matplotlib (Grace Hopper, by the US Navy, in the public domain). In each round, the network of the
run computes the prepared images in batches of 64, and then `poc predict` reads the files and
computes them, in the same worker process. It prints medians of images per second and the median of
the rounds' ratios. With `--memory` it prints the largest memory of a process that labels 1,000
and of one that labels 100,000 files.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import Image

from poc.shared.actions.new_images.label_files import Wish, answer_rows
from poc.shared.actions.new_images.listed_paths import list_paths
from poc.shared.actions.new_images.predict import BATCH_SIZE
from poc.shared.actions.new_images.preparation import prepare_ahead
from poc.shared.actions.new_images.trained_network import Network, TrainedNetwork, read_trained
from poc.shared.actions.new_images.written_rows import CsvRows, count_rows
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.console.work_count import unheard

SIZE = (500, 375)
NUM_DISTINCT = 256
MEMORY_COUNTS = (1_000, 100_000)
# Labels the paths on its standard input, and prints the largest memory of the process in bytes.
MEASURED = """
import resource, sys
from poc.cli import cli
sys.argv = ["poc", "predict", sys.argv[1], "-", "--csv", sys.argv[2]]
cli.main(standalone_mode=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def main() -> None:
    """Print the throughputs, or the memory, as one JSON line per measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--files", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        files = write_photos(Path(place), NUM_DISTINCT)
        if given.memory:
            for count in MEMORY_COUNTS:
                measured = {"files": count, "peak_bytes": measure_memory(given.run, files, count)}
                print(json.dumps(measured), flush=True)
            return
        paths = [files[index % len(files)] for index in range(given.files)]
        wish = Wish(num_threads=given.threads)
        print(json.dumps(measure_throughput(given.run, paths, wish, given.rounds)))


def write_photos(folder: Path, count: int) -> list[str]:
    """Write JPEG photos, and return their paths."""
    photo = Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg")
    large = photo.convert("RGB").resize((1024, 1200))
    random, width, height = np.random.default_rng(0), *SIZE
    paths = []
    for number in range(count):
        left = int(random.integers(0, large.width - width))
        top = int(random.integers(0, large.height - height))
        path = folder / f"{number}.jpg"
        large.crop((left, top, left + width, top + height)).save(path, quality=90)
        paths.append(str(path))
    return paths


def measure_throughput(
    run: Path, paths: list[str], wish: Wish, num_rounds: int
) -> dict[str, object]:
    """Return the medians of images per second, and of the rounds' ratios."""
    trained = read_trained(run, note=ignore)
    rates: dict[str, list[float]] = {"bare": [], "files": []}
    with trained.start(unheard) as network:
        batches = prepare_ahead(
            list_paths(paths, ignore), trained.answering.view, batch_size=BATCH_SIZE, num_threads=2
        )
        prepared = [batch.images for batch in batches]
        for _ in range(1 + num_rounds):
            started = time.perf_counter()
            for images in prepared:
                network.logits(images)
            rates["bare"].append(len(paths) / (time.perf_counter() - started))
            started = time.perf_counter()
            label(network, trained, paths, wish)
            rates["files"].append(len(paths) / (time.perf_counter() - started))
    # The first round compiles and warms up.
    bare, files = rates["bare"][1:], rates["files"][1:]
    ratios = [mine / other for mine, other in zip(files, bare, strict=True)]
    return {
        "backend": trained.run.backend,
        "model": trained.run.model_spec.name,
        "threads": wish.num_threads,
        "bare_images_per_second": round(statistics.median(bare), 1),
        "files_images_per_second": round(statistics.median(files), 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }


def label(network: Network, trained: TrainedNetwork, paths: list[str], wish: Wish) -> None:
    """Label files, with the rows written to a CSV file that nobody reads."""
    items = list_paths(paths, ignore)
    with tempfile.TemporaryFile("w+") as file:
        rows = answer_rows(network, trained, items, wish, unheard)
        count_rows(rows, [CsvRows(file, trained.answering.class_names)])


def measure_memory(run: Path, files: list[str], count: int) -> int:
    """Return the largest memory in bytes of a process that labels so many files."""
    listed = "\n".join(files[index % len(files)] for index in range(count))
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", MEASURED, str(run), str(Path(place) / "rows.csv")]
        done = subprocess.run(command, input=listed, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


if __name__ == "__main__":
    main()
