"""Transfer learning on a folder of photos, by the recipe of Keras' guide.

    python benchmarks/rival_keras.py train FOLDER --weights FILE --budget 300 --output network.keras
    python benchmarks/rival_keras.py predict FOLDER --output network.keras --csv answers.csv

MobileNetV2 of keras.applications with its body frozen and a new head, trained for 20 epochs by Adam
with random flips and rotations; then all layers for 10 epochs at a rate of 1e-5, with the batch
norms as in inference. A fifth of the photos validates. The size, the layers and the numbers of
epochs are those of the guide; training ends earlier if the budget does. FILE has the variables of
the body by their paths. `study_rivals.py` runs this script.
"""

import argparse
import csv
import json
import time
from pathlib import Path

SIDE, BATCH_SIZE, VALIDATION_SHARE = 160, 32, 0.2
FROZEN_EPOCHS, TUNED_EPOCHS, TUNED_RATE = 20, 10, 1e-5


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
    if given.action == "train":
        train(given.folder, given.weights, given.output, given.budget, given.seed)
    else:
        predict(given.folder, given.output, given.csv)


def train(folder: Path, weights: Path, output: Path, budget: float, seed: int) -> None:
    """Train in both phases, and save the network and the names of its classes."""
    started = time.monotonic()
    import keras

    keras.utils.set_random_seed(seed)
    training, validation = keras.utils.image_dataset_from_directory(
        folder,
        validation_split=VALIDATION_SHARE,
        subset="both",
        seed=seed,
        image_size=(SIDE, SIDE),
        batch_size=BATCH_SIZE,
        verbose=False,
    )
    body = make_body(weights)
    model = make_model(body, len(training.class_names))

    class EndInTime(keras.callbacks.Callback):
        """Ends training when another epoch would not be done in time."""

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.began = time.monotonic()

        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            now = time.monotonic()
            self.model.stop_training = now - started + (now - self.began) > 0.95 * budget

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    for rate, epochs in ((1e-3, FROZEN_EPOCHS), (TUNED_RATE, TUNED_EPOCHS)):
        body.trainable = epochs == TUNED_EPOCHS
        model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
        callback = EndInTime()
        found = model.fit(
            training, validation_data=validation, epochs=epochs, callbacks=[callback], verbose=0
        )
        print(f"{len(found.epoch)} epochs, validation {found.history['val_accuracy'][-1]:.3f}")
        if len(found.epoch) < epochs:
            break
    model.save(output)
    output.with_suffix(".json").write_text(json.dumps(training.class_names))


def make_body(weights: Path):
    """Return MobileNetV2 without its head, with the weights of a file."""
    import keras
    from safetensors.numpy import load_file

    body = keras.applications.MobileNetV2((SIDE, SIDE, 3), include_top=False, weights=None)
    stored = load_file(weights)
    for variable in body.variables:
        variable.assign(stored[variable.path])
    return body


def make_model(body, num_classes: int):
    """Return the network: random views, the frozen body, a mean over the map, a dense layer."""
    import keras

    inputs = keras.Input((SIDE, SIDE, 3))
    hidden = keras.layers.RandomFlip("horizontal")(inputs)
    hidden = keras.layers.RandomRotation(0.1)(hidden)
    hidden = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(hidden)
    # Batch norms keep their statistics, in the second phase too.
    hidden = body(hidden, training=False)
    hidden = keras.layers.GlobalAveragePooling2D()(hidden)
    hidden = keras.layers.Dropout(0.2)(hidden)
    return keras.Model(inputs, keras.layers.Dense(num_classes)(hidden))


def predict(folder: Path, file: Path, answers: Path) -> None:
    """Write the file and the label of each photo of a folder and its folders."""
    import keras
    import numpy as np

    model = keras.models.load_model(file)
    names = json.loads(file.with_suffix(".json").read_text())
    photos = sorted(path for path in folder.rglob("*") if path.is_file())
    images = [
        keras.utils.img_to_array(
            keras.utils.load_img(path, target_size=(SIDE, SIDE), interpolation="bilinear")
        )
        for path in photos
    ]
    labels = model.predict(np.stack(images), verbose=0).argmax(axis=1)
    with answers.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("file", "label"))
        writer.writerows((path, names[label]) for path, label in zip(photos, labels, strict=True))


if __name__ == "__main__":
    main()
