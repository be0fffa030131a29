"""Description of the machine under a run, for reports."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions, version
from itertools import groupby
from pathlib import Path
from typing import Any

from poc.shared.machine import count_cpus

# The folder of the package; in a checkout, its top.
_PACKAGE = Path(__file__).resolve().parents[3]


def describe_machine() -> dict[str, object]:
    """Return processor, system, interpreter, and version and commit of poc."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "num_cpus": count_cpus(),
        "poc_version": version("poc"),
        "git_commit": git_commit(),
    }


def cuda_libraries() -> list[str]:
    """List installed cuDNN packages; those of two CUDA versions overwrite each other's files."""
    names = {distribution.metadata["Name"] or "" for distribution in distributions()}
    return sorted(name for name in names if name.startswith("nvidia-cudnn-"))


def processor_name() -> str:
    """Return the processor's name in the system."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def thread_variables() -> dict[str, str]:
    """Return the environment variables that are set and decide about threads."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("OMP_", "KMP_", "MKL_", "TF_NUM_", "TF_XLA", "XLA_FLAGS"))
    }


def git_commit(package: Path = _PACKAGE) -> str | None:
    """Return the commit of the running checkout, or None if the package is not one.

    A package that is installed inside another project's checkout is not: that commit says nothing
    about it.
    """
    command = ["git", "-C", str(package), "rev-parse", "--show-toplevel", "--short", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    top, commit = found.splitlines()
    return commit if Path(top).resolve() == package else None


def count_threads(record: Mapping[str, Any]) -> int | str | None:
    """Return the threads of one operation from `run.json`, or None if it does not name them.

    Two numbers of threads add up in two orders, so that their accuracies differ. For a run that was
    resumed on another number, return a text: `2, then 1`.
    """
    first = record["environment"]
    resumed = [resume.get("environment", first) for resume in record.get("resumes", ())]
    # Older records have TensorFlow's 0, which stands for its own choice of an unknown number.
    counts = [part.get("intra_op_threads") or "unknown" for part in (first, *resumed)]
    kept = [count for count, _ in groupby(counts)]
    if len(kept) == 1:
        return None if kept[0] == "unknown" else kept[0]
    return ", then ".join(str(count) for count in kept)
