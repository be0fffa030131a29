"""Image sizes of FixRes: the weights' own size tests, and a smaller one trains."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from poc.shared.actions.requested_run import weight_defaults
from poc.shared.actions.study.candidates import Candidate, method_of
from poc.shared.errors import UsageError
from poc.shared.spec.networks.freezing import has_norm
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.networks.models import ModelSpec, find_model
from poc.shared.spec.reading.config import load_run

# A random crop shows objects about 1.25 times as large as a test image does at the same size.
SIZE_SHARE = 0.8
STEP = 8
SOME_CLASSES = 2


def settle_sizes(candidates: Sequence[Candidate], left_out: dict[str, str]) -> Iterator[Candidate]:
    """Yield the candidates; those of FixRes get their sizes and norms, or are left out.

    Args:
        candidates: Candidates of a study, whose weight files are there.
        left_out: Takes the name of each that is left out -> the reason.
    """
    for candidate in candidates:
        if method_of(candidate) != "fixres":
            yield candidate
            continue
        model, shape = read_network(candidate)
        side = STEP * int(SIZE_SHARE * shape[0] // STEP)
        if shape[0] != shape[1] or not is_of_any_size(model, shape, side):
            left_out[candidate.name] = (
                f"the weights of {model.name} fit images of {shape[0]}x{shape[1]} pixels alone"
            )
            continue
        found = [f"method_options.train_size={side}", f"method_options.test_size={shape[0]}"]
        if not has_norm(model.declare(shape, SOME_CLASSES)):
            # The second phase has no norm to adapt, and trains the head alone.
            found.append("method_options.finetune_bn_mode=frozen")
        yield replace(candidate, settings=(*candidate.settings, *found))


def read_network(candidate: Candidate) -> tuple[ModelSpec, Shape]:
    """Return the model of a candidate's weights, and the shape of the images made for it."""
    start = next(text for text in candidate.settings if text.startswith("initial_weights="))
    # The notes come again with the first run of these weights.
    run = load_run(None, ("method=transfer", start), defaults=weight_defaults(lambda text: None))
    published = find_model(run.model_spec.name).example_input
    return run.model_spec, (*(run.data.image_size or published[:2]), published[2])


def is_of_any_size(model: ModelSpec, shape: Shape, side: int) -> bool:
    """Return whether a model has the same parameters for images (H, W, C) and smaller ones."""
    try:
        large, small = (
            model.declare(size, SOME_CLASSES) for size in (shape, (side, side, shape[2]))
        )
    except UsageError:
        return False
    return [(p.name, p.shape) for p in large.parameters] == [
        (p.name, p.shape) for p in small.parameters
    ]
