"""Time and look of the operations of RandAugment and TrivialAugment.

    python benchmarks/policies.py [--picture FILE]

The times are microseconds for an image, per policy and image size, medians of rounds in which the
views take turns; the view with a flip alone is the one to compare with. The picture has a photo
under each operation: first at RandAugment's usual magnitude, 9 of 30, then at the largest one of
TrivialAugment. The photo comes with Matplotlib: Grace Hopper, by the US Navy, in the public domain.
"""

import argparse
import statistics
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from poc.shared.data.views.policies import OPERATIONS
from poc.shared.data.views.view import augment_images, example_generator, plan_view
from poc.shared.spec.data import DataSpec
from poc.shared.spec.views import TrainView

SIZES = (32, 64, 224)
NUM_IMAGES, ROUNDS, SIDE, COLUMNS = 64, 7, 128, 7
VIEWS = {
    "flip alone": TrainView(horizontal_flip=0.5),
    "randaugment": TrainView(horizontal_flip=0.5, policy="randaugment"),
    "trivialaugment": TrainView(horizontal_flip=0.5, policy="trivialaugment"),
}
# Rows of the picture: title, policy, magnitude.
ROWS = (("RandAugment, 9 of 30", "randaugment", 9), ("TrivialAugment, 30", "trivialaugment", 30))


def main() -> None:
    """Print a line per size, and draw the picture if it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--picture", type=Path, metavar="FILE", help="image file to draw")
    picture = parser.parse_args().picture
    if picture is not None:
        draw(picture)
        return
    print(f"{'size':>5}" + "".join(f"{name:>16}" for name in VIEWS) + "  microseconds an image")
    for size in SIZES:
        found = time_views(size)
        print(f"{size:5}" + "".join(f"{1e6 * found[name]:16.0f}" for name in VIEWS), flush=True)


def time_views(size: int) -> dict[str, float]:
    """Return the median seconds for an image (size, size, 3) under each view."""
    shape = (NUM_IMAGES, size, size, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    samples: dict[str, list[float]] = {name: [] for name in VIEWS}
    for epoch in range(ROUNDS):
        for name, view in VIEWS.items():
            spec = DataSpec(image_size=(size, size), train_view=view)
            _, augment = plan_view(spec, shape[1:], 3, is_training=True)
            keys = [example_generator(0, epoch, str(place)) for place in range(NUM_IMAGES)]
            started = time.perf_counter()
            augment_images(images, augment, keys)
            samples[name].append((time.perf_counter() - started) / NUM_IMAGES)
    return {name: statistics.median(seconds) for name, seconds in samples.items()}


def draw(path: Path) -> None:
    """Draw the photo under every operation, seven in a line, the rows of one policy together."""
    file = Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    photo = Image.open(file).convert("RGB").crop((30, 0, 482, 452)).resize((SIDE, SIDE))
    names = list(OPERATIONS)
    lines = [(title, policy, step, start) for start in (0, COLUMNS) for title, policy, step in ROWS]
    figure = Figure(figsize=(COLUMNS * 1.15, len(lines) * 1.35), layout="constrained")
    grid = figure.subplots(len(lines), COLUMNS)
    for row, (title, policy, step, start) in zip(grid, lines, strict=True):
        row[0].set_ylabel(title, fontsize=7)
        for axes, name in zip(row, names[start:], strict=False):
            amount = OPERATIONS[name].amount(policy, step, photo.size)
            axes.imshow(OPERATIONS[name].change(photo, amount, 127))
            axes.set_title(name, fontsize=8)
            axes.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110, pil_kwargs={"quality": 70})


if __name__ == "__main__":
    main()
