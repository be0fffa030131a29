"""Small images for the parity ladder: the same parameters and formulas in less time."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers.declaration import Shape
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# Longest sides to try; the smallest one at which every layer still has a map is used.
SIDES = (64, 96, 128)
# Options of methods that are sides in pixels, and shrink together with the images.
SIDE_OPTIONS = ("train_size", "test_size")


def shrink(run: RunSpec) -> RunSpec:
    """Return the run on the smallest images that keep its networks' parameters, or else the run.

    A network that flattens its last map has other parameters for each size, so it keeps its size.
    """
    shape = run.input_shape
    if shape is None:
        return run
    for side in SIDES:
        if side >= max(shape[:2]):
            break
        try:
            small = scale(run, shape, side)
            if has_same_parameters(resolve_networks(run), resolve_networks(small)):
                return small
        except UsageError:
            continue
    return run


def scale(run: RunSpec, shape: Shape, side: int) -> RunSpec:
    """Return the run with the longest side of its images at `side` pixels.

    Args:
        run: A run whose input has the given shape.
        shape: (height, width, channels).
        side: Pixels.
    """
    height, width, channels = shape
    factor = side / max(height, width)
    settings = run.method_settings.model_dump()
    sides = {name: round(settings[name] * factor) for name in SIDE_OPTIONS if name in settings}
    return run.replace(
        input_shape=[round(height * factor), round(width * factor), channels],
        method_options={**run.method_options, **sides},
    )


def has_same_parameters(first: ResolvedRun, second: ResolvedRun) -> bool:
    """Return whether both declare the same tensors in every stage, also for the source network."""
    return all(
        tables(first.at_stage(stage.name)) == tables(second.at_stage(stage.name))
        for stage in first.stages
    )


def tables(run: ResolvedRun) -> list[object]:
    """Return the parameters of a stage's network and of its source, None without a source."""
    source = run.teacher_network
    return [run.trained_network.parameters, source.parameters if source else None]


def describe_shrinking(run: RunSpec, small: RunSpec) -> str:
    """Return a line about the smaller images; empty if the size was not changed."""
    if small is run or run.input_shape is None or small.input_shape is None:
        return ""
    sizes = [f"{shape[0]}x{shape[1]}" for shape in (small.input_shape, run.input_shape)]
    return (
        f"Parity used images of {sizes[0]} instead of {sizes[1]}; the parameters are the same. "
        "`poc parity` with the same options uses the full size"
    )
