"""The machine under a run: what a report must say about it."""

import os
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import distributions
from itertools import groupby
from pathlib import Path
from typing import Any

from poc.shared.machine import count_cpus


def describe_machine() -> dict[str, object]:
    """Processor, system, interpreter and commit."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor_name(),
        "num_cpus": count_cpus(),
        "git_commit": git_commit(),
    }


def cuda_libraries() -> list[str]:
    """Installed cuDNN packages; those of two CUDA versions overwrite each other's files."""
    names = {distribution.metadata["Name"] or "" for distribution in distributions()}
    return sorted(name for name in names if name.startswith("nvidia-cudnn-"))


def processor_name() -> str:
    """The processor as the system names it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def thread_variables() -> dict[str, str]:
    """Environment variables that decide about threads, where they are set."""
    return {
        name: value
        for name, value in sorted(os.environ.items())
        if name.startswith(("OMP_", "KMP_", "MKL_", "TF_NUM_", "TF_XLA", "XLA_FLAGS"))
    }


def git_commit() -> str | None:
    """Commit of the checkout that runs, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def count_threads(record: Mapping[str, Any]) -> int | str | None:
    """Threads of one operation, as `run.json` has them; none where it does not say.

    Two numbers of threads add up in two orders, so that their accuracies differ. A run that was
    resumed on another number has words: `2, then 1`.
    """
    first = record["environment"]
    resumed = [resume.get("environment", first) for resume in record.get("resumes", ())]
    # TensorFlow's 0 in older records: its own choice, which they do not tell.
    counts = [part.get("intra_op_threads") or "unknown" for part in (first, *resumed)]
    kept = [count for count, _ in groupby(counts)]
    if len(kept) == 1:
        return None if kept[0] == "unknown" else kept[0]
    return ", then ".join(str(count) for count in kept)
