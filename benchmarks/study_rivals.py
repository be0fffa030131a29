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
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poc.benchmarks.limited import end_on_request, ending
from poc.benchmarks.rival_programs import (
    CONVERSIONS,
    DOGS,
    FASTAI,
    MISSING,
    NO_FASTAI,
    POC,
    PROGRAMS,
    Place,
    Plan,
)
from poc.benchmarks.rival_tables import (
    JUDGED,
    Result,
    copy_parts,
    draw_split,
    list_photos,
    pool_accuracy,
    read_answers,
    write_csv,
    write_table,
)
from poc.shared.actions.study.budget import read_budget
from poc.shared.engine.machine.environment import describe_machine
from poc.shared.errors import UsageError

LINES, SHARE = "rivals.jsonl", 0.3
# A program that ignores the budget is ended after this share of it and these seconds.
PATIENCE_SHARE, PATIENCE_SECONDS = 1.2, 120.0
# Labels of the judged photos are outside of the budget.
PREDICTION_SECONDS = 600.0


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
    try:
        read_budget(given.budget)
    except UsageError as error:
        parser.error(str(error))
    programs = [name for name in given.programs if name != FASTAI or given.fastai_python]
    if not programs:
        parser.error(f"Got {FASTAI} alone. It needs an interpreter. Try --fastai-python PATH.")
    plan = Plan(
        photos=given.photos.resolve(),
        weights=given.weights.resolve(),
        output=given.output.resolve(),
        budget=given.budget,
        seeds=given.seeds,
        # A link to an interpreter says by its place which packages there are.
        fastai_python=given.fastai_python and given.fastai_python.absolute(),
    )
    end_on_request()
    plan.output.mkdir(parents=True, exist_ok=True)
    convert_weights(plan)
    photos = list_photos(plan.photos)
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
            with ending(process):
                code = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return f"ended after {limit_seconds:.0f} s, long after its budget"
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
