"""`poc bench`: parity, then timing, then statistics; and the check of a stored file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.timing.samples import derive, verify
from poc.shared.analysis.timing.seal import CHECKSUM, is_intact, seal, unique_keys
from poc.shared.data.sources.inspection import Note
from poc.shared.engine.timing.bench_file import BOOTSTRAP_FORMAT, FORMAT, UNSEALED_FORMAT, BenchFile
from poc.shared.engine.timing.rounds import FAILURES, first_line, run_bench
from poc.shared.errors import CheckFailed, UsageError
from poc.shared.files.whole import write_json
from poc.shared.spec.bench import BenchSpec, Side

from .comparison import check_parity

HOLDS, ONE_BACKEND = "holds", "one backend alone"
# Errors that the arithmetic raises when values of a file were changed by hand.
BROKEN = (
    *(AttributeError, KeyError, TypeError, ValueError, IndexError),
    *(ArithmeticError, UsageError),
)


def bench(spec: BenchSpec, output: Path, *, command: str, report: Note) -> BenchFile:
    """Check parity, time every side, and write the file.

    Raises:
        UsageError: The output already exists.
        CheckFailed: The backends do not compute the same, so nothing is timed.
    """
    if output.exists():
        raise UsageError(
            f"Got the output {str(output)!r}, which exists. Expected a new file. Try another name, "
            "or remove the file."
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
    """Check the parity of every timed side with the default of the other backend.

    Sides of a mixed precision are left out; the tables say that their parity is not checked.

    Returns:
        The word for the file; and the sides that do not run, each as its index and the reason.

    Raises:
        CheckFailed: A rung breaks.
    """
    if len({side.backend for side in spec.sides}) < 2:
        return ONE_BACKEND, {}
    proved: dict[str, str | None] = {}
    failures = {}
    for place, side in enumerate(spec.sides):
        name = str(sorted(side.changes.items())) + ("" if side.is_default else side.backend)
        # The ladder computes its gradients eagerly anyway, so the eager mode needs no second proof.
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
    """Check the parity of one side; return the reason if it does not run, or none.

    Raises:
        CheckFailed: A rung breaks.
    """
    try:
        changes: dict[str, Mapping[str, str]] = {side.backend: side.changes}
        # In float32 the sides drift apart at the kink of a ReLU; in float64 only a different
        # formula makes a difference.
        run = spec.run.replace(precision="float64")
        rungs = check_parity(run, changes, is_brief=True)
    except FAILURES as error:
        if side.is_default:
            raise
        return first_line(error)
    refuse_broken(rungs, f"{side.backend} {side.mode}")
    return None


def refuse_broken(rungs: list[Rung], name: str) -> None:
    """Refuse to time sides whose parity is not shown.

    Raises:
        CheckFailed: A rung is not passed; the message has the first one.
    """
    for rung in rungs:
        if not rung.is_passed:
            raise CheckFailed(
                f"Got parity {rung.failure} (with {name}). Expected every rung within its bound, "
                "since only programs that compute the same are timed against each other. Try "
                "`poc parity` first, or other sides."
            )


def read_bench(path: Path) -> BenchFile:
    """Read a stored bench.

    Raises:
        UsageError: The file does not exist, or is not a bench file of this format.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique_keys)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"Got {str(path)!r}, which cannot be read ({type(error).__name__}). Expected a file "
            "that `poc bench` wrote. Try `poc bench --output FILE`, which writes one."
        ) from None
    stored = str(content.get("format")) if isinstance(content, dict) else ""
    is_unsealed = stored == UNSEALED_FORMAT and CHECKSUM not in content
    is_known = is_unsealed or stored in (FORMAT, BOOTSTRAP_FORMAT)
    if stored.startswith("poc bench") and not is_known:
        raise UsageError(
            f"Got {str(path)!r} in the format {stored!r}. Expected the format {FORMAT!r}. Try the "
            "version of poc that wrote the file, or run its command again."
        )
    if not is_known:
        raise UsageError(
            f"Got {str(path)!r}, which is not a bench file. Expected a file that "
            "`poc bench` wrote. Try `poc bench --output FILE`, which writes one."
        )
    return cast(BenchFile, content)


def verify_bench(path: Path) -> BenchFile:
    """Read a stored bench; check its derived numbers by its samples, its content by its checksum.

    A file of a former format is checked by the rules of that format: the oldest that is read has no
    checksum, so only its derived numbers are checked.

    Raises:
        UsageError: See `read_bench`.
        CheckFailed: Something was changed, or the file is incomplete.
    """
    content = read_bench(path)
    try:
        fault = find_fault(content)
    except BROKEN as error:
        fault = f"is incomplete ({type(error).__name__}: {error})"
    if fault:
        raise CheckFailed(
            f"Got {str(path)!r}, which {fault}: it was changed after it was written. Expected the "
            "file unchanged. Try restoring it, or run the bench again."
        )
    return content


def find_fault(content: BenchFile) -> str:
    """Return the sign that a stored bench was changed, or an empty text."""
    if wrong := verify(content):
        return f"has {len(wrong)} numbers that do not follow from its samples, first {wrong[0]}"
    backends = {side["backend"] for side in content["spec"]["sides"]}
    allowed = {HOLDS} if len(backends) > 1 else {HOLDS, ONE_BACKEND}
    if content["parity"] not in allowed:
        return f"says parity {content['parity']!r}, but a bench is timed only after {HOLDS!r}"
    if content["format"] != UNSEALED_FORMAT and not is_intact(content):
        return "does not match its checksum, though its numbers follow from its samples"
    return ""
