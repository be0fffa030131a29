"""`tfds:` on real files, written by a builder of the same name, as users have them on disk."""

import json
import subprocess
import sys

import pytest

WRITE = """
import sys
from pathlib import Path
import numpy as np
import tensorflow_datasets as tfds

with tfds.core.registered.skip_registration():
    class StanfordDogs(tfds.core.GeneratorBasedBuilder):
        name = "stanford_dogs"
        pkg_dir_path = Path(sys.argv[1])
        VERSION = tfds.core.Version("0.2.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "image/filename": tfds.features.Text(),
                "label": tfds.features.ClassLabel(names=["n1-a", "n2-b"]),
                "objects": tfds.features.Sequence({"bbox": tfds.features.BBoxFeature()}),
            }
            return self.dataset_info_from_configs(
                features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, manager):
            return {"train": self._examples(0, 20), "test": self._examples(20, 28)}

        def _generate_examples(self):
            raise NotImplementedError

        def _examples(self, start, end):
            for index in range(start, end):
                image = np.full((5 + index % 3, 6, 3), index, dtype=np.uint8)
                yield index, {
                    "image": image,
                    "image/filename": f"{index}.jpg",
                    "label": index % 2,
                    "objects": [],
                }

StanfordDogs(data_dir=sys.argv[1], file_format="array_record").download_and_prepare()
"""


@pytest.mark.slow
def test_real_files_are_read(tmp_path, monkeypatch):
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    code = """
import json
from poc.shared.data.sources.table import open_source
from poc.shared.data.splits.split import make_split
from poc.shared.spec.data import SplitSpec
source = open_source("tfds:stanford_dogs")
values = [int(source.image(index).flat[0]) for index in range(28)]
split = make_split(source, SplitSpec())
print(json.dumps([source.class_names, values, source.labels.tolist(), source.is_encoded,
                  len(set(source.digests)), {k: len(v) for k, v in split.parts.items()}]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    names, values, labels, is_encoded, num_contents, counts = json.loads(done.stdout)
    assert names == ["n1-a", "n2-b"]
    # TFDS shuffles when it writes; parts stay apart and every image keeps its label.
    assert sorted(values[:20]) == list(range(20))
    assert sorted(values[20:]) == list(range(20, 28))
    assert labels == [value % 2 for value in values]
    assert (is_encoded, num_contents) == (True, 28)
    assert counts == {"train": 18, "val": 2, "test": 8}
