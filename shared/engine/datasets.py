"""A run's data: its source, split and the three pipelines, and what they fill in of the spec."""

from dataclasses import dataclass

from poc.shared.data.pipeline import Pipeline
from poc.shared.data.source import Source
from poc.shared.data.sources import open_source
from poc.shared.data.splits import Split, make_split
from poc.shared.spec.run import RunSpec

from .source_network import check_source, resolve_source


@dataclass(frozen=True, kw_only=True)
class RunData:
    """Opened data of one run; `val` and `test` are none where the split has no such part."""

    source: Source
    split: Split
    train: Pipeline
    val: Pipeline | None
    test: Pipeline | None


def open_data(run: RunSpec) -> tuple[RunSpec, RunData]:
    """Open a run's data, and fill the images' shape and the number of classes into its spec.

    Raises:
        UsageError: The source, the split or the images do not fit the spec.
    """
    run = resolve_source(run)
    source = open_source(run.data.source)
    split = make_split(source, run.data.split)
    train = Pipeline(source, split.train, run.data, seed=run.seed, is_training=True)
    val, test = (
        Pipeline(source, indices, run.data) if len(indices) else None
        for indices in (split.val, split.test)
    )
    data = RunData(source=source, split=split, train=train, val=val, test=test)
    resolved = run.replace(input_shape=train.image_shape, num_classes=len(source.class_names))
    resolved.network  # noqa: B018 - a shape that does not fit is refused before a framework starts
    check_source(resolved)
    return resolved, data
