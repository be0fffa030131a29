"""What `poc bench` measures: sides, and how often."""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from poc.shared.errors import UsageError

from .run import RunSpec
from .settings import Settings
from .training.precision import MIXED

# Side as the command line names it -> what it changes of the run. The first of each backend is its
# default.
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

# Few, so that a slow moment of the machine meets all sides. The first step after another process'
# finds cold caches and is not counted.
STEPS_A_TURN, STEPS_AFTER_OTHERS = 3, 1


class Side(Settings):
    """One program to time: a backend in a mode, with so many threads."""

    backend: Literal["tf", "torch"] = Field("torch", description="framework")
    mode: str = Field("eager", description="a row of the backend's modes")
    num_threads: int | None = Field(
        None, ge=1, description="threads of one operation; none: the framework's own choice"
    )
    slowdown: float = Field(
        0.0, ge=0, description="share of each step that is slept away after it: to test the test"
    )

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        """Refuse a mode of the other backend."""
        if self.mode not in MODES[self.backend]:
            raise UsageError(
                f"received the mode {self.mode!r} of {self.backend}; allowed are "
                f"{', '.join(MODES[self.backend])}: choose one"
            )
        return self

    @property
    def name(self) -> str:
        """`tf graph`, `torch eager, 1 thread`."""
        parts = [f"{self.backend} {self.mode}"]
        if self.num_threads is not None:
            parts.append(f"{self.num_threads} thread{'s' * (self.num_threads > 1)}")
        if self.slowdown:
            parts.append(f"slowed by {self.slowdown:g}")
        return ", ".join(parts)

    def run(self, run: RunSpec) -> RunSpec:
        """The run as this side trains it."""
        return run.replace(backend=self.backend, **self.changes)

    @property
    def changes(self) -> Mapping[str, str]:
        """Fields of the run that the mode sets."""
        return MODES[self.backend][self.mode]

    @property
    def is_mixed(self) -> bool:
        """Whether it computes in another precision than its peers, so that nothing is proved."""
        return self.changes.get("precision") in MIXED

    @property
    def is_default(self) -> bool:
        """Whether it is what `poc run` does."""
        return self.mode == next(iter(MODES[self.backend]))


class Turn(NamedTuple):
    """What a process does before it lets the others work: steps not counted, then timed ones."""

    warmup_steps: int
    timed_steps: int
    timed_seconds: float


class BenchSpec(Settings):
    """A run, the sides that train it, and how often each is timed."""

    run: RunSpec
    sides: tuple[Side, ...] = Field(min_length=1)
    num_processes: int = Field(5, ge=2, description="processes of each side")
    warmup_steps: int = Field(10, ge=1, description="steps before the clock starts")
    timed_steps: int = Field(30, ge=5, description="steps of each process that are timed, at least")
    timed_seconds: float = Field(3.0, ge=0, description="seconds that they take together, at least")
    is_alone: bool = Field(
        False, description="one process at a time: for programs that fill the memory together"
    )

    def turns(self) -> list[Turn]:
        """The parts of a process' steps between which the others take theirs."""
        whole, rest = divmod(self.timed_steps, STEPS_A_TURN)
        counts = [STEPS_A_TURN] * whole + ([rest] if rest else [])
        return [
            Turn(
                STEPS_AFTER_OTHERS if number else self.warmup_steps,
                count,
                self.timed_seconds / len(counts),
            )
            for number, count in enumerate(counts)
        ]


def parse_sides(texts: Sequence[str], modes: str | None = None) -> tuple[Side, ...]:
    """`tf`, `torch:compile` or `torch:eager:1` (threads) -> sides; nothing given: both defaults.

    Raises:
        UsageError: Unknown backend, mode or number.
    """
    if modes not in (None, "all"):
        raise UsageError(f"received --modes {modes!r}; allowed is all: leave it out or write all")
    if texts and modes:
        raise UsageError("received --side and --modes; allowed is one of them: remove one")
    if modes == "all":
        return tuple(Side(backend=b, mode=mode) for b in MODES for mode in MODES[b])
    if not texts:
        return tuple(Side(backend=b, mode=next(iter(MODES[b]))) for b in MODES)
    return tuple(map(parse_side, texts))


def parse_side(text: str) -> Side:
    """One side of the command line."""
    backend, _, rest = text.partition(":")
    if backend not in MODES:
        raise UsageError(
            f"received --side {text!r}; allowed are tf and torch, with a mode after a colon: "
            "write for example torch:compile"
        )
    mode, _, threads = rest.partition(":")
    values: dict[str, object] = {"backend": backend, "mode": mode or next(iter(MODES[backend]))}
    if threads:
        values["num_threads"] = threads
    return Side.parse(values, "--side")
