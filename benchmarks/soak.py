"""Does a long run keep its memory, its open files and its threads flat?

    python benchmarks/soak.py --backend tf --minutes 60
    python benchmarks/soak.py --backend torch --minutes 60

It starts `poc run` on the embedded data with more epochs than fit into the time, looks at the
worker process every few seconds, stops it with SIGTERM and reads the run folder. The exit code is 1
if the resident memory of the last quarter is more than 2 % above that of the quarter after the
warm-up, or if the number of open files or threads has grown.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ALLOWED_GROWTH = 1.02
# In the first quarter, allocators, caches and compiled graphs still grow.
WARMUP_SHARE = 0.25
EPOCHS = 1_000_000


def main() -> int:
    """Run, look and print the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", choices=("tf", "torch"), required=True)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seconds-between-looks", type=float, default=2.0)
    parser.add_argument("--set", action="append", default=[], dest="assignments")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp()) / "run"
    process = start(arguments, folder)
    try:
        looks = watch(process, folder, 60 * arguments.minutes, arguments.seconds_between_looks)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(120)
    return judge(arguments.backend, looks, folder, code)


def start(arguments: argparse.Namespace, folder: Path) -> subprocess.Popen:
    """Start the run under test."""
    command = [sys.executable, "-m", "poc.cli", "run", "--backend", arguments.backend]
    command += ["--epochs", str(EPOCHS), "--save-every", "1min", "--output", str(folder)]
    for assignment in arguments.assignments:
        command += ["--set", assignment]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def watch(
    process: subprocess.Popen, folder: Path, seconds: float, pause: float
) -> list[dict[str, float]]:
    """Look at the worker every `pause` seconds, from the first metrics line on."""
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").stat().st_size:
        if process.poll() is not None:
            raise SystemExit("the run ended before its first epoch")
        time.sleep(0.2)
    worker = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()[0])
    looks, end = [], time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        looks.append(look_at(worker))
        time.sleep(pause)
    return looks


def look_at(pid: int) -> dict[str, float]:
    """Return the resident bytes, open files and threads of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {
        "resident_bytes": 1024 * int(fields["VmRSS"].split()[0]),
        "open_files": len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208
        "threads": int(fields["Threads"]),
    }


def judge(backend: str, looks: list[dict[str, float]], folder: Path, code: int) -> int:
    """Compare the quarter after the warm-up with the last one; return 1 if something grew."""
    rest = looks[int(WARMUP_SHARE * len(looks)) :]
    third = max(len(rest) // 3, 1)
    verdicts = []
    for name in ("resident_bytes", "open_files", "threads"):
        first = statistics.median(look[name] for look in rest[:third])
        last = statistics.median(look[name] for look in rest[-third:])
        allowed = first * (ALLOWED_GROWTH if name == "resident_bytes" else 1.0)
        verdicts.append(last <= allowed)
        print(f"{backend}: {name} {first:,.0f} -> {last:,.0f} ({last / first:.4f} of it)")
    epochs = len((folder / "metrics.jsonl").read_text().splitlines())
    status = json.loads((folder / "run.json").read_text())["status"]
    print(f"{backend}: {len(looks)} looks, {epochs} epochs, exit code {code}, status {status}")
    return int(not all(verdicts) or status != "interrupted" or code != 143)


if __name__ == "__main__":
    sys.exit(main())
