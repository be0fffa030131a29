"""Candidates of a study: named settings of a run, and the settings that the search may change.

They come in tiers: the cheapest and most telling ones are tried first. Whatever a candidate leaves
open is chosen by the recipe, as in `poc run`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from poc.shared.engine.launch.imagenet import IMAGENET_OF
from poc.shared.errors import UsageError
from poc.shared.files.shards import find_saved
from poc.shared.spec.reading.cell_names import identify, label_values
from poc.shared.spec.reading.recipe import Kind
from poc.shared.spec.suggestions import closest, likeliest
from poc.shared.weights.header import IMAGENET
from poc.shared.weights.published.table import IMAGENET_ORIGINS

METHODS = ("logistic", "knn", "transfer", "fixres", "lightlayers", "scratch", "kd")
"""Methods that a study tries, as `--methods` names them."""
NEEDS_WEIGHTS = ("logistic", "knn", "transfer", "fixres")
DISTILLATION = "kd"
"""The method whose candidates begin in the search, once it has a teacher for them."""
FIXRES_VIEW = (
    "data.train_view.crop=random_resized",
    "data.train_view.area=[0.08,1.0]",
    "data.train_view.horizontal_flip=0.5",
)
"""Training images of FixRes: it corrects that objects in such crops look larger than in a test."""
SMALL_PUBLISHED = "mobilenet_v2"
"""A small model with ImageNet weights, for those who have no file."""
START = "initial_weights="
LIGHT_MODEL = "lightnet_residual"
LIGHT_SIZES = (1, 2, 3, 4, 5)
FIRST_SIZE = 3
PLAIN_LAYERS = ("conv2d", "separable")
MAJORITY = "always the largest class"
"""The candidate that names the most common training class; it needs no framework."""
NO_FRAMEWORK = "none"


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Settings that compete under one name.

    Attributes:
        name: Name on the page.
        settings: `key=value` of the run, as for `--set`.
        tier: Candidates of a lower tier are tried first.
        kind: Kind of training by the recipe; None if the head is fitted in one pass, so that there
            is nothing to search and another seed changes nothing.
        teacher: Name of the candidate whose networks it learns from, if any.
    """

    name: str
    settings: tuple[str, ...]
    tier: int
    kind: Kind | None = None
    teacher: str | None = None

    @property
    def is_deterministic(self) -> bool:
        """Return whether another seed gives the same network."""
        return self.kind is None


def list_candidates(
    weights: Sequence[str],
    methods: Sequence[str] = (),
    located: Mapping[str, str] = MappingProxyType({}),
) -> list[Candidate]:
    """List the candidates in the order in which they are tried first.

    Args:
        weights: Weight files, each the body of four candidates.
        methods: Methods to try; none: all of `METHODS`.
        located: Weight file -> its canonical form, where that is another file.

    Raises:
        UsageError: A method is unknown, or needs weights and there are none.
    """
    chosen = tuple(methods) or METHODS
    check_methods(chosen, has_weights=bool(weights), is_named=bool(methods))
    found = [*list_pretrained(weights, located), *list_light()]
    return sorted((item for item in found if method_of(item) in chosen), key=lambda item: item.tier)


def check_methods(methods: Sequence[str], *, has_weights: bool, is_named: bool) -> None:
    """Refuse unknown methods, and named ones that lack their weights.

    Raises:
        UsageError: See above.
    """
    for method in methods:
        if method not in METHODS:
            raise UsageError(
                f"Got --methods with {method!r}. Expected some of {', '.join(METHODS)}. Try "
                f"{likeliest(method, METHODS)}."
            )
        if is_named and method in NEEDS_WEIGHTS and not has_weights:
            raise UsageError(
                f"Got --methods with {method!r} and no --weights. Expected a weight file, from "
                "which this method starts. Try adding --weights FILE."
            )
    if tuple(methods) == (DISTILLATION,):
        raise UsageError(
            f"Got --methods {DISTILLATION}, which learns from the best network of the others. "
            f"Expected another method, too. Try --methods scratch,{DISTILLATION}."
        )


def check_files(weights: Sequence[str]) -> None:
    """Refuse a weight file that is not there, and ImageNet weights that nobody publishes.

    Raises:
        UsageError: See above.
    """
    models = [*dict.fromkeys(name for name, _ in IMAGENET_ORIGINS)]
    for path in weights:
        if path == IMAGENET or path.startswith(IMAGENET_OF):
            model = path.removeprefix(IMAGENET_OF)
            if model in models:
                continue
            near = closest(model, models) or SMALL_PUBLISHED
            raise UsageError(
                f"Got --weights {path}. Expected a file, or imagenet: and one of "
                f"{', '.join(models)}. Try --weights {IMAGENET_OF}{near}."
            )
        if not find_saved(Path(path)).is_file():
            raise UsageError(
                f"Got --weights {path!r}, which does not exist. Expected a weight file, or a "
                "folder that transformers saved. Try the path of one."
            )


def list_weights(candidates: Sequence[Candidate]) -> list[Path]:
    """Return the canonical weight files of the candidates, each once, in order."""
    texts = [text for item in candidates for text in item.settings]
    starts = [text for text in texts if text.startswith(START)]
    return [Path(text.removeprefix(START)) for text in dict.fromkeys(starts)]


def has_students(methods: Sequence[str]) -> bool:
    """Return whether the search adds candidates that learn from its best network."""
    return DISTILLATION in (tuple(methods) or METHODS)


def method_of(candidate: Candidate) -> str:
    """Return the method in a candidate's settings."""
    return next(text.partition("=")[2] for text in candidate.settings if text.startswith("method="))


def list_pretrained(weights: Sequence[str], located: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield the candidates of each weight file."""
    labels = label_values(list(weights))
    for path in weights:
        name = labels[identify(path)]
        start = f"{START}{Path(located.get(path, path)).resolve()}"
        yield Candidate(name=f"logistic on {name}", settings=("method=logistic", start), tier=0)
        yield Candidate(name=f"knn on {name}", settings=("method=knn", start), tier=1)
        yield Candidate(
            name=f"fine-tuned {name}",
            settings=("method=transfer", start, "method_options.trained_blocks=all"),
            tier=3,
            kind="tuned",
        )
        yield Candidate(
            name=f"FixRes {name}",
            settings=("method=fixres", start, "method_options.trained_blocks=all", *FIXRES_VIEW),
            tier=4,
            kind="tuned",
        )


def list_light() -> Iterator[Candidate]:
    """Yield the small nets that start from random values, all of one topology."""
    for size in LIGHT_SIZES:
        yield Candidate(
            name=f"lightlayers k={size}",
            settings=("method=lightlayers", f"model.name={LIGHT_MODEL}", f"k={size}"),
            tier=2 if size == FIRST_SIZE else 4,
            kind="normed",
        )
    for layer in PLAIN_LAYERS:
        yield Candidate(
            name=f"small net of {layer}",
            settings=("method=scratch", f"model.name={LIGHT_MODEL}", f"layer={layer}"),
            tier=2 if layer == PLAIN_LAYERS[0] else 4,
            kind="normed",
        )
