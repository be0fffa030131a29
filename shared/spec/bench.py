"""Settings of `poc bench`: the sides that it times, and how often."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .run import RunSpec
from .settings import Settings
from .training.precision import MIXED

# Backend -> name of a mode on the command line -> settings of the run that it changes. The first
# mode of each backend is its default.
MODES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "tf": {
        "graph": {"mode": "default"},
        "eager": {"mode": "eager"},
        "xla": {"mode": "compiled"},
        "bfloat16": {"mode": "default", "precision": "bfloat16"},
    },
    "torch": {
        "eager": {"mode": "default"},
        "compile": {"mode": "compiled"},
        "channels_first": {"mode": "default", "layout": "channels_first"},
        "bfloat16": {"mode": "default", "precision": "bfloat16"},
    },
}

# A turn is short, so that a slow moment of the machine meets all sides. The first step after
# another process has run finds cold caches, so it is not counted.
STEPS_A_TURN, STEPS_AFTER_OTHERS = 3, 1


class Side(Settings):
    """One program to time: a backend in a mode, with a number of threads."""

    backend: Literal["tf", "torch"] = Field("torch", description="framework")
    mode: str = Field("eager", description="one of the backend's modes")
    num_threads: int | None = Field(
        None, ge=1, description="threads per operation; none: the framework's own choice"
    )
    slowdown: float = Field(
        0.0, ge=0, description="sleep after each step, as a share of it: to test the benchmark"
    )

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        """Refuse a mode of the other backend."""
        if self.mode not in MODES[self.backend]:
            raise UsageError(
                f"Got mode={self.mode!r} for the backend {self.backend}. Expected one of "
                f"{', '.join(MODES[self.backend])}. Try {self.backend}:"
                f"{next(iter(MODES[self.backend]))}."
            )
        return self

    @property
    def name(self) -> str:
        """Return the side's name in tables: `tf graph` or `torch eager, 1 thread`."""
        parts = [f"{self.backend} {self.mode}"]
        if self.num_threads is not None:
            parts.append(f"{self.num_threads} thread{'s' * (self.num_threads > 1)}")
        if self.slowdown:
            parts.append(f"slowed by {self.slowdown:g}")
        return ", ".join(parts)

    def run(self, run: RunSpec) -> RunSpec:
        """Return the run with this side's backend and mode."""
        return run.replace(backend=self.backend, **self.changes)

    @property
    def changes(self) -> Mapping[str, str]:
        """Return the fields of the run that the mode sets."""
        return MODES[self.backend][self.mode]

    @property
    def is_mixed(self) -> bool:
        """Return whether the side computes in mixed precision, so its logits prove nothing."""
        return self.changes.get("precision") in MIXED

    @property
    def is_default(self) -> bool:
        """Return whether the mode is the one in which `poc run` trains by default."""
        return self.mode == next(iter(MODES[self.backend]))


class Turn(NamedTuple):
    """Steps of a process before it lets the others work: uncounted ones, then timed ones."""

    warmup_steps: int
    timed_steps: int
    timed_seconds: float


class BenchSpec(Settings):
    """A run, the sides that train it, and how often each is timed."""

    run: RunSpec
    sides: tuple[Side, ...] = Field(min_length=1)
    num_processes: int = Field(5, ge=2, description="processes per side")
    warmup_steps: int = Field(10, ge=1, description="steps before the clock starts")
    timed_steps: int = Field(30, ge=5, description="least number of timed steps per process")
    timed_seconds: float = Field(
        3.0, ge=0, description="least time of the timed steps per process, in seconds"
    )
    is_alone: bool = Field(
        False, description="one process at a time, if together they would fill the memory"
    )

    def turns(self) -> list[Turn]:
        """Divide the steps of a process into turns; between two turns the others compute."""
        full_turns, rest = divmod(self.timed_steps, STEPS_A_TURN)
        counts = [STEPS_A_TURN] * full_turns + ([rest] if rest else [])
        return [
            Turn(
                STEPS_AFTER_OTHERS if number else self.warmup_steps,
                count,
                self.timed_seconds / len(counts),
            )
            for number, count in enumerate(counts)
        ]


def parse_sides(texts: Sequence[str], modes: str | None = None) -> tuple[Side, ...]:
    """Read sides such as `tf`, `torch:compile` or `torch:eager:1` (one thread).

    Args:
        texts: Values of `--side`; none: the default mode of each backend.
        modes: Value of `--modes`; `all` takes every mode of both backends.

    Raises:
        UsageError: Unknown backend, mode or number.
    """
    if modes not in (None, "all"):
        raise UsageError(f"Got --modes {modes!r}. Expected all. Try --modes all, or leave it out.")
    if texts and modes:
        raise UsageError(
            "Got --side and --modes together. Expected only one of them. Try removing --modes."
        )
    if modes == "all":
        return tuple(Side(backend=b, mode=mode) for b in MODES for mode in MODES[b])
    if not texts:
        return tuple(Side(backend=b, mode=next(iter(MODES[b]))) for b in MODES)
    return tuple(map(parse_side, texts))


def parse_side(text: str) -> Side:
    """Read one side, `BACKEND[:MODE[:THREADS]]`.

    Raises:
        UsageError: Unknown backend, mode or number.
    """
    backend, _, rest = text.partition(":")
    if backend not in MODES:
        raise UsageError(
            f"Got --side {text!r}. Expected tf or torch, with a mode after a colon if you like. "
            "Try --side torch:compile."
        )
    mode, _, threads = rest.partition(":")
    values: dict[str, object] = {"backend": backend, "mode": mode or next(iter(MODES[backend]))}
    if threads:
        values["num_threads"] = threads
    return Side.parse(values, "--side")
