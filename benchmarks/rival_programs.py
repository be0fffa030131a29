"""Programs that `study_rivals.py` compares: how each trains, labels photos, and is described."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from poc.benchmarks.rival_tables import JUDGED, OPEN, Effort, count_code_lines
from poc.shared.actions.study.budget import read_budget

HERE = Path(__file__).parent
POC = (sys.executable, "-m", "poc.cli")
DOGS, LITE0 = "mobilenetv2_dogs19.safetensors", "efficientnet_lite0_imagenet.safetensors"
# Name of a converted file: the published one, and the options of the conversion.
CONVERSIONS = {
    "dogs.safetensors": (
        DOGS,
        "--model mobilenet_v2 --classes 19 --set image_size=160x160 --set normalization=tf",
    ),
    "lite0.safetensors": (LITE0, "--model efficientnet_lite0 --classes 1000"),
    "dogs_torchvision.safetensors": (
        DOGS,
        "--model mobilenet_v2 --classes 19 --to torchvision",
    ),
    "lite0_timm.safetensors": (LITE0, "--model efficientnet_lite0 --classes 1000 --to timm"),
}
# Programs that are not run, and why, as found on 2026-11-30.
MISSING = {
    "AutoGluon's MultiModalPredictor": "release 1.6.3 needs PyTorch below 2.14 and timm below "
    "1.0.7 (here 2.14 and 1.0.31), and its presets load their weights from a server",
}
NO_FASTAI = "no environment with fastai was given (`--fastai-python`)"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The comparison to make: folders, budget as typed, number of splits, fastai's interpreter."""

    photos: Path
    weights: Path
    output: Path
    budget: str
    seeds: int
    fastai_python: Path | None = None

    @property
    def seconds(self) -> float:
        """Return the budget in seconds."""
        return read_budget(self.budget)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Files of one program on one split."""

    split: Path
    folder: Path
    weights: Path
    seed: int

    @property
    def answers(self) -> Path:
        """Return the CSV with the labels of the judged photos."""
        return self.folder / "answers.csv"


SUFFIXES = {"keras": ".keras", "torch": ".pt", "fastai": ".pkl"}


class Study:
    """`poc study`, then `poc predict`."""

    def __init__(self, title: str, *files: str) -> None:
        self.title, self._files = title, files
        self.effort = Effort(commands=2, lines=0)

    def train(self, plan: Plan, place: Place) -> list[str]:
        """Return the command that trains."""
        weights = [
            word for file in self._files for word in ("--weights", str(place.weights / file))
        ]
        source, output = f"folder:{place.split / OPEN}", str(place.folder / "study")
        return [*POC, "study", source, "--budget", plan.budget, "--output", output, *weights, "-q"]

    def predict(self, plan: Plan, place: Place) -> list[str]:
        """Return the command that labels the judged photos."""
        words = [str(place.folder / "study"), str(place.split / JUDGED), "--csv"]
        return [*POC, "predict", *words, str(place.answers), "-q"]

    def describe(self, place: Place) -> tuple[int, str]:
        """Return the size of the recommended network's file, and its name."""
        decision = json.loads((place.folder / "study" / "decision.json").read_text())
        cost, chosen = decision["cost"] or {}, decision["recommended"]
        size = cost.get("file_bytes") or cost.get("weight_bytes") or 0
        return int(size), f"{chosen['candidate']} in {chosen['framework']}"


class Script:
    """A script that a user would write."""

    def __init__(self, title: str, script: str, weights: str, *options: str) -> None:
        self.title, self._script = title, HERE / script
        self._weights, self._options = weights, options
        self._suffix = next(end for word, end in SUFFIXES.items() if word in script)
        self.effort = Effort(commands=2, lines=count_code_lines(self._script.read_text()))

    def train(self, plan: Plan, place: Place) -> list[str]:
        """Return the command that trains."""
        return [
            *(self._python(plan), str(self._script), "train", str(place.split / OPEN)),
            *("--weights", str(place.weights / self._weights), *self._options),
            *("--budget", str(plan.seconds), "--seed", str(place.seed)),
            *("--output", str(self._network(place))),
        ]

    def predict(self, plan: Plan, place: Place) -> list[str]:
        """Return the command that labels the judged photos."""
        return [
            *(self._python(plan), str(self._script), "predict", str(place.split / JUDGED)),
            *("--output", str(self._network(place)), "--csv", str(place.answers)),
        ]

    def describe(self, place: Place) -> tuple[int, str]:
        """Return the size of the network's file, and the last line that training printed."""
        printed = (place.folder / "train.log").read_text().strip().splitlines()
        return self._network(place).stat().st_size, printed[-1] if printed else ""

    def _network(self, place: Place) -> Path:
        return place.folder / f"network{self._suffix}"

    def _python(self, plan: Plan) -> str:
        is_fastai = "fastai" in self._script.name
        return str(plan.fastai_python) if is_fastai else sys.executable


Program = Study | Script
# The first is the one that others are compared with.
PROGRAMS: dict[str, Program] = {
    "study": Study("`poc study`, both weight files", "dogs.safetensors", "lite0.safetensors"),
    "study-mobilenet": Study("`poc study`, MobileNetV2 alone", "dogs.safetensors"),
    "keras-mobilenet": Script("Keras' guide, MobileNetV2", "rival_keras.py", DOGS),
    "torch-mobilenet": Script(
        "PyTorch's tutorial, MobileNetV2 of torchvision",
        "rival_torch.py",
        "dogs_torchvision.safetensors",
    ),
    "torch-lite0": Script(
        "PyTorch's tutorial, EfficientNet-Lite0 of timm",
        "rival_torch.py",
        "lite0_timm.safetensors",
        *("--body", "efficientnet_lite0"),
    ),
    "fastai-lite0": Script(
        "fastai's `fine_tune`, EfficientNet-Lite0 of timm",
        "rival_fastai.py",
        "lite0_timm.safetensors",
    ),
}
FASTAI = "fastai-lite0"
