"""The machine under a run: what a report must say about it."""

import platform
import subprocess
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from poc.shared.data.inspection import count_cpus


def describe_machine() -> dict[str, Any]:
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


def git_commit() -> str | None:
    """Commit of the checkout that runs, if it is one."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
