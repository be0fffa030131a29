"""Fine-tuning on a folder of photos, by the recipe of fastai's course.

    python benchmarks/rival_fastai.py train FOLDER --weights FILE --budget 300 --output network.pkl
    python benchmarks/rival_fastai.py predict FOLDER --output network.pkl --csv answers.csv

`vision_learner` on timm's EfficientNet-Lite0, then `fine_tune`: 3 epochs of the head and 8 of all
layers with the library's rates and its own views; a fifth of the photos validates. Training ends
earlier if the budget does. FILE has the weights by timm's names. fastai is not among the packages
of this project: `study_rivals.py` runs this script in an environment that has it.
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

SIDE, LARGER_SIDE, BATCH_SIZE, VALIDATION_SHARE = 224, 256, 16, 0.2
FROZEN_EPOCHS, TUNED_EPOCHS = 3, 8
MEAN, DEVIATION = 127 / 255, 128 / 255


def main() -> None:
    """Train a network, or label photos with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "predict"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="file of the network")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--budget", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    (train if given.action == "train" else predict)(given)


def train(given: argparse.Namespace) -> None:
    """Train the head, then all layers, and save the network."""
    started = time.monotonic()
    import timm
    from fastai.callback.core import Callback, CancelFitException
    from fastai.torch_core import set_seed
    from fastai.vision.all import (
        ImageDataLoaders,
        Normalize,
        Resize,
        accuracy,
        aug_transforms,
        vision_learner,
    )
    from safetensors.torch import load_file

    class EndInTime(Callback):
        """Ends training when another epoch would not be done in time."""

        def before_epoch(self) -> None:
            self.began = time.monotonic()

        def after_epoch(self) -> None:
            now = time.monotonic()
            if now - started + (now - self.began) > 0.95 * given.budget:
                raise CancelFitException

    def make_network(pretrained: bool = True):
        network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        network.load_state_dict(load_file(given.weights))
        return network

    set_seed(given.seed)
    numbers = Normalize.from_stats([MEAN] * 3, [DEVIATION] * 3, cuda=False)
    photos = ImageDataLoaders.from_folder(
        given.folder,
        valid_pct=VALIDATION_SHARE,
        seed=given.seed,
        item_tfms=Resize(LARGER_SIDE),
        batch_tfms=[*aug_transforms(size=SIDE), numbers],
        bs=BATCH_SIZE,
        num_workers=0,
    )
    # The weights are in the network: its own normalisation would be that of other ones.
    learner = vision_learner(photos, make_network, metrics=accuracy, normalize=False)
    with learner.no_bar():
        learner.fine_tune(TUNED_EPOCHS, freeze_epochs=FROZEN_EPOCHS, cbs=EndInTime())
    learner.export(given.output.resolve())


def predict(given: argparse.Namespace) -> None:
    """Write the file and the label of each photo of a folder and its folders."""
    from fastai.vision.all import get_image_files, load_learner

    learner = load_learner(given.output)
    paths = sorted(get_image_files(given.folder))
    with learner.no_bar():
        shares, _ = learner.get_preds(dl=learner.dls.test_dl(paths, num_workers=0))
    labels = [learner.dls.vocab[int(index)] for index in shares.argmax(dim=1)]
    with given.csv.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "label"))
        writer.writerows(zip(paths, labels, strict=True))


if __name__ == "__main__":
    main()
