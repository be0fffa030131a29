"""`poc bench`: parity, then timing, then what the samples show; and the check of a stored file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.timing.samples import derive, verify
from poc.shared.analysis.timing.seal import CHECKSUM, is_intact, seal, unique_keys
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.timing.bench_file import BenchFile
from poc.shared.engine.timing.rounds import FAILURES, FORMAT, first_line, run_bench
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.whole import write_json
from poc.shared.spec.bench import BenchSpec, Side

from .comparison import check_parity

# As today's but without a checksum: read, and called unsealed.
UNSEALED_FORMAT = "poc bench 2"
HOLDS, ONE_BACKEND = "holds", "one backend alone"
# What a file that was changed may make of the arithmetic.
BROKEN = (
    *(AttributeError, KeyError, TypeError, ValueError, IndexError),
    *(ArithmeticError, UsageError),
)


def bench(spec: BenchSpec, output: Path, *, command: str, report: Note) -> BenchFile:
    """Prove parity, time every side, and write the file.

    Raises:
        UsageError: The output stands already.
        CheckFailed: The backends do not compute the same, so nothing is timed.
    """
    if output.exists():
        raise UsageError(
            f"received the output {str(output)!r}, which exists; allowed is a new file: name "
            "another or remove it"
        )
    parity, failures = prove_parity(spec, report)
    result = run_bench(spec, command=command, report=report, failures=failures)
    result["parity"] = parity
    result["derived"] = derive(result)
    result = cast(BenchFile, seal(result))
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, result)
    return result


def prove_parity(spec: BenchSpec, report: Note) -> tuple[str, dict[int, str]]:
    """Climb the ladder with every side that is timed, against the other backend's default.

    Sides of a mixed precision are left out: nothing is proved of them, which the tables say.

    Returns:
        One word for the file; and which sides, by their place, do not run, and why.

    Raises:
        CheckFailed: A rung breaks.
    """
    if len({side.backend for side in spec.sides}) < 2:
        return ONE_BACKEND, {}
    proved: dict[str, str | None] = {}
    failures = {}
    for place, side in enumerate(spec.sides):
        name = str(sorted(side.changes.items())) + ("" if side.is_default else side.backend)
        # Operations of the ladder's gradients are taken one by one anyway.
        if side.is_mixed or side.changes.get("mode") == "eager":
            continue
        if name not in proved:
            report(f"parity, {side.backend} {side.mode}")
            proved[name] = prove_side(spec, side)
        if (reason := proved[name]) is not None:
            failures[place] = reason
            report(f"{side.name} does not run: {reason}")
    return HOLDS, failures


def prove_side(spec: BenchSpec, side: Side) -> str | None:
    """Climb the ladder; why the side does not run, or none.

    Raises:
        CheckFailed: A rung breaks.
    """
    try:
        changes: dict[str, Mapping[str, str]] = {side.backend: side.changes}
        # float32 walks off at a ReLU's kink; the same program in float64 tells formulas apart.
        run = spec.run.replace(precision="float64")
        rungs = check_parity(run, changes, is_brief=True)
    except FAILURES as error:
        if side.is_default:
            raise
        return first_line(error)
    refuse_broken(rungs, f"{side.backend} {side.mode}")
    return None


def refuse_broken(rungs: list[Rung], name: str) -> None:
    """Stop at the first rung that broke."""
    for rung in rungs:
        if not rung.is_passed:
            raise CheckFailed(
                f"with {name}, parity is {rung.failure}: two programs that are not shown to "
                "compute the same are not timed against each other"
            )


def read_bench(path: Path) -> BenchFile:
    """A stored bench.

    Raises:
        UsageError: No such file, or it is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"received {str(path)!r}, which cannot be read ({type(error).__name__}); allowed is a "
            "file that `poc bench --output` wrote"
        ) from None
    stored = str(content.get("format")) if isinstance(content, dict) else ""
    is_known = stored == FORMAT or (stored == UNSEALED_FORMAT and CHECKSUM not in content)
    if stored.startswith("poc bench") and not is_known:
        raise UsageError(
            f"received {str(path)!r} in the format {stored!r}; allowed is {FORMAT!r}: check it "
            "with the version of poc that wrote it, or run its command again"
        )
    if not is_known:
        raise UsageError(
            f"received {str(path)!r}, which is no bench file; allowed is one that "
            "`poc bench --output` wrote"
        )
    return cast(BenchFile, content)


def verify_bench(path: Path) -> BenchFile:
    """A stored bench: its derived numbers follow from its samples, its content from its checksum.

    A file of the format before has no checksum; of such a one only the derived numbers are checked.

    Raises:
        UsageError: See `read_bench`.
        CheckFailed: Something was changed, or the file is not whole.
    """
    content = read_bench(path)
    try:
        fault = find_fault(content)
    except BROKEN as error:
        fault = f"is not whole ({type(error).__name__}: {error})"
    if fault:
        raise CheckFailed(
            f"{str(path)!r} {fault}: it was changed after it was written; restore it or run the "
            "bench again"
        )
    return content


def find_fault(content: BenchFile) -> str:
    """What shows that a stored bench is not as it was written; empty: nothing does."""
    if wrong := verify(content):
        return f"has {len(wrong)} numbers that do not follow from its samples, first {wrong[0]}"
    backends = {side["backend"] for side in content["spec"]["sides"]}
    allowed = {HOLDS} if len(backends) > 1 else {HOLDS, ONE_BACKEND}
    if content["parity"] not in allowed:
        return f"says parity {content['parity']!r}, where nothing is timed but after {HOLDS!r}"
    if content["format"] == FORMAT and not is_intact(content):
        return "does not have the content of its checksum, though its numbers follow"
    return ""
