"""Cells whose run folders are written without a framework: answers of known accuracy."""

import zlib

import numpy as np

from poc.shared.actions.study.jobs import Outcome
from poc.shared.data.splits.files import positions_of
from poc.shared.data.splits.recorded import RecordedParts
from poc.shared.data.splits.split import make_split
from poc.shared.engine.folder.run_folder import VALIDATION_PREDICTIONS, RunFolder
from poc.tests.helpers.studies.simulated_cells import Killed

STEM_BYTES = 1000


class WrittenCells:
    """Writes the run folder of each cell; `accuracies` maps a candidate's name to its accuracy."""

    def __init__(self, output, source, accuracies, time, *, kill_at=None, seconds=15.0):
        self.output, self.source, self.accuracies = output, source, accuracies
        self.time, self.kill_at, self.seconds = time, kill_at, seconds
        self.ran, self.notes = [], []

    def check(self, jobs):
        """No settings are read."""

    def count_work(self, job):
        return 1e9

    def make_run(self, job):
        """A cell has no settings; without a limit on size, nothing asks for them."""

    def run(self, job, limit_seconds):
        if len(self.ran) == self.kill_at:
            raise Killed
        self.ran.append(job.key)
        self.time.seconds += self.seconds
        accuracy = self.accuracies[job.candidate.name]
        self.write(job, accuracy)
        return Outcome("finished", self.seconds, accuracy, 1.0 - accuracy)

    def write(self, job, accuracy):
        folder = RunFolder(self.output / job.key)
        folder.path.mkdir(parents=True, exist_ok=True)
        split = make_split(self.source, job.split)
        run = {"data": {"split_fingerprint": split.fingerprint}, "status": "finished", "run": {}}
        folder.write_run(run)
        folder.keep_split(RecordedParts.of(split).to_bytes())
        folder.write_summary(
            {"weight_bytes": STEM_BYTES * len(job.candidate.name), "total_seconds": self.seconds}
        )
        random = np.random.default_rng(zlib.crc32(job.key.encode()))
        parts = {"test": "predictions.npz", "val": VALIDATION_PREDICTIONS}
        for part, file in parts.items():
            if not len(split.parts[part]):
                continue
            places = split.parts[part]
            labels = np.asarray(self.source.labels)[places]
            num_classes = len(self.source.class_names)
            is_right = random.random(len(labels)) < accuracy
            answers = np.where(is_right, labels, (labels + 1) % num_classes)
            logits = np.eye(num_classes, dtype=np.float32)[answers]
            names = np.array(list(positions_of(self.source)))[places].tolist()
            folder.write_predictions(logits, labels.astype(np.int64), names, file)
