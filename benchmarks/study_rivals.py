"""A study, compared with programs that a user would write instead.

    python benchmarks/study_rivals.py --photos FOLDER --weights FOLDER --output runs/rivals \
        --budget 5m --seeds 3

Each seed divides the photos of every class once: three tenths are judged, and no program sees them.
Each program then gets the other photos, the same budget and this machine alone; its network labels
the judged photos afterwards, in a process of its own. The programs, each in its own process:

- `poc study` with both weight files, and with the MobileNetV2 file alone;
- `rival_keras.py`: the recipe of Keras' guide to transfer learning;
- `rival_torch.py`: the recipe of PyTorch's tutorial, on each file;
- `rival_fastai.py`: the recipe of fastai's course, in the environment of `--fastai-python`.

All start from the same weights, which lie in the folder given with `--weights`; nothing is
downloaded. The results are `rivals.csv` and `rivals.md`, written again after each program. A second
call goes on after the last one, and tries again what has failed.
"""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poc.benchmarks.rival_tables import (
    JUDGED,
    OPEN,
    Effort,
    Result,
    copy_parts,
    count_code_lines,
    draw_split,
    list_photos,
    pool_accuracy,
    read_answers,
    write_csv,
    write_table,
)
from poc.shared.actions.study.budget import FORM, UNITS
from poc.shared.engine.machine.environment import describe_machine

HERE = Path(__file__).parent
LINES, SHARE = "rivals.jsonl", 0.3
# A program that ignores the budget is ended after this share of it and these seconds.
PATIENCE_SHARE, PATIENCE_SECONDS = 1.2, 120.0
# Labels of the judged photos are outside of the budget.
PREDICTION_SECONDS = 600.0
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
        found = FORM.fullmatch(self.budget.strip())
        if found is None:
            raise SystemExit(f"Got --budget {self.budget!r}. Expected a time such as 5m.")
        return float(found[1]) * UNITS[found[2]]


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


def main() -> int:
    """Run all programs on all splits; 1 if one of them has failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True, help="a folder per class")
    parser.add_argument("--weights", type=Path, required=True, help="folder of both files")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--budget", default="5m")
    parser.add_argument("--seeds", type=int, default=3, help="number of splits")
    parser.add_argument("--programs", nargs="+", choices=tuple(PROGRAMS), default=list(PROGRAMS))
    parser.add_argument(
        "--fastai-python", type=Path, help="interpreter of an environment with fastai and timm"
    )
    given = parser.parse_args()
    plan = Plan(
        photos=given.photos.resolve(),
        weights=given.weights.resolve(),
        output=given.output.resolve(),
        budget=given.budget,
        seeds=given.seeds,
        # A link to an interpreter says by its place which packages there are.
        fastai_python=given.fastai_python and given.fastai_python.absolute(),
    )
    plan.output.mkdir(parents=True, exist_ok=True)
    convert_weights(plan)
    photos = list_photos(plan.photos)
    programs = [name for name in given.programs if name != FASTAI or plan.fastai_python]
    for seed in range(plan.seeds):
        copy_parts(plan.photos, draw_split(photos, SHARE, seed), split_folder(plan, seed))
        for name in turn(programs, seed):
            run_once(plan, name, seed)
    return int(any(not result.answers for result in read_results(plan)))


def turn(names: Sequence[str], seed: int) -> list[str]:
    """Return the programs in another order on each split."""
    start = seed % len(names)
    return [*names[start:], *names[:start]]


def split_folder(plan: Plan, seed: int) -> Path:
    """Return the folder with both parts of a split."""
    return plan.output / f"split_{seed}"


def list_judged(plan: Plan, seed: int) -> list[str]:
    """Return the judged photos of a split, as `class/name`."""
    folder = split_folder(plan, seed) / JUDGED
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def convert_weights(plan: Plan) -> None:
    """Write the weights with the names that each program expects, once; Keras has its own names."""
    folder = plan.output / "weights"
    folder.mkdir(exist_ok=True)
    for target, (source, options) in CONVERSIONS.items():
        if not (folder / target).exists():
            command = [*POC, "weights", "convert", str(plan.weights / source), str(folder / target)]
            subprocess.run([*command, *options.split(), "-q"], check=True)
    if not (folder / DOGS).exists():
        (folder / DOGS).symlink_to(plan.weights / DOGS)


def run_once(plan: Plan, name: str, seed: int) -> None:
    """Run a program on a split that it has not done, and write all results again."""
    results = [r for r in read_results(plan) if (r.program, r.seed) != (name, seed) or r.answers]
    if any((result.program, result.seed) == (name, seed) for result in results):
        return
    result = run_program(plan, name, seed)
    results.append(result)
    text = "".join(json.dumps(dataclasses.asdict(item)) + "\n" for item in results)
    partial = plan.output / f".{LINES}"
    partial.write_text(text)
    partial.rename(plan.output / LINES)
    write_results(plan, results)
    said = f"{pool_accuracy([result])[0]:.3f}" if result.answers else "failed"
    print(f"split {seed}, {name}: {said}, {result.seconds:.0f} s, {result.note}", flush=True)


def read_results(plan: Plan) -> list[Result]:
    """Return the results that were written."""
    path = plan.output / LINES
    lines = path.read_text().splitlines() if path.exists() else []
    return [Result(**json.loads(line)) for line in lines]


def run_program(plan: Plan, name: str, seed: int) -> Result:
    """Train, label the judged photos, and judge the labels; a failure is a result too."""
    program, folder = PROGRAMS[name], plan.output / name / f"split_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    split, weights = split_folder(plan, seed), plan.output / "weights"
    place = Place(split=split, folder=folder, weights=weights, seed=seed)
    place.answers.unlink(missing_ok=True)
    began, limit = time.monotonic(), PATIENCE_SHARE * plan.seconds + PATIENCE_SECONDS
    problem = call(program.train(plan, place), folder / "train.log", limit)
    seconds = time.monotonic() - began
    facts: dict[str, Any] = {"seed": seed, "program": name, "seconds": seconds}
    problem = problem or call(
        program.predict(plan, place), folder / "predict.log", PREDICTION_SECONDS
    )
    if problem:
        return Result(**facts, note=problem)
    try:
        size, note = program.describe(place)
        answers = read_answers(place.answers.read_text(), list_judged(plan, seed))
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Result(**facts, note=f"{type(error).__name__}: {error}")
    return Result(**facts, file_bytes=size, answers=answers, note=note)


def call(command: Sequence[str], log: Path, limit_seconds: float) -> str:
    """Run a command, and return why it failed, or nothing; it is ended at the limit."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return f"ended after {limit_seconds:.0f} s, long after its budget"
        finally:
            # Its own processes too, also after Ctrl-C.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code == 0:
        return ""
    printed = log.read_text(errors="replace").strip().splitlines()
    return printed[-1] if printed else f"exit code {code}"


def write_results(plan: Plan, results: Sequence[Result]) -> None:
    """Write the lines of all programs and splits, and the page with the table."""
    judged = {result.seed: len(list_judged(plan, result.seed)) for result in results}
    (plan.output / "rivals.csv").write_text(write_csv(results, judged))
    titled = [dataclasses.replace(item, program=PROGRAMS[item.program].title) for item in results]
    efforts = {program.title: program.effort for program in PROGRAMS.values()}
    machine = describe_machine()
    facts = f"{machine['processor']}, {machine['num_cpus']} processors"
    missing = {**MISSING, **({} if plan.fastai_python else {"fastai": NO_FASTAI})}
    counts = ", ".join(f"{count} of seed {seed}" for seed, count in sorted(judged.items()))
    page = (
        f"# A study and what a user would write instead\n\n"
        f"Budget {plan.budget} for each program; judged photos: {counts}. {facts}.\n\n"
        f"{write_table(titled, efforts, missing)}\n"
        "Intervals are over photos alone: each cell is one training, and another one would differ. "
        "Seconds are those of the program that trains, from start to end. A script ends when its "
        "recipe does, a study when its budget does.\n"
    )
    (plan.output / "rivals.md").write_text(page)


if __name__ == "__main__":
    sys.exit(main())
