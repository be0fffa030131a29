"""Exported files without a framework: of a known size, and calls of a known time."""

import numpy as np

from poc.shared.actions.exports.plain_file import PlainFile


class File:
    """A model whose calls take its own time per image."""

    runtime = "runtime 1"

    def __init__(self, time, seconds):
        self.time, self.seconds = time, seconds

    def logits(self, images):
        self.time.seconds += self.seconds * len(images)
        return images


class Exporter:
    """Writes files of 1,000 bytes; an export takes `seconds`.

    `per_image` maps the name of a run's folder to the seconds of an image, `errors` to an error.
    """

    def __init__(self, time, seconds=2.0, per_image=None, errors=None):
        self.time, self.seconds, self.written = time, seconds, []
        self.per_image, self.errors = per_image or {}, errors or {}

    def __call__(self, run, target):
        self.written.append(run.name)
        self.time.seconds += self.seconds
        if run.name in self.errors:
            raise self.errors[run.name]
        target.parent.mkdir(exist_ok=True)
        path = target.with_name(f"{target.name}.onnx")
        path.write_bytes(bytes(1000))
        model = File(self.time, self.per_image.get(run.name, 0.001))
        return PlainFile(path, model, np.zeros((2, 4, 4, 3), np.uint8))
