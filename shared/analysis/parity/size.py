"""Small images for the parity ladder: the same parameters and formulas in less time."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.layers import Shape
from poc.shared.spec.resolved import ResolvedRun, resolve_networks
from poc.shared.spec.run import RunSpec

# Longest sides that are tried: the smallest one that leaves every layer a map.
SIDES = (64, 96, 128)
# Options of methods that name a side of their own.
SIDE_OPTIONS = ("train_size", "test_size")


def shrink(run: RunSpec) -> RunSpec:
    """The run on the smallest images that leave its networks the same parameters, else itself.

    A network that flattens its last map has parameters of its own for every size: it stays.
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
    """The run with the longest side of its (height, width, channels) at so many pixels."""
    height, width, channels = shape
    factor = side / max(height, width)
    settings = run.method_settings.model_dump()
    sides = {name: round(settings[name] * factor) for name in SIDE_OPTIONS if name in settings}
    return run.replace(
        input_shape=[round(height * factor), round(width * factor), channels],
        method_options={**run.method_options, **sides},
    )


def has_same_parameters(first: ResolvedRun, second: ResolvedRun) -> bool:
    """Whether both declare the same tensors, in every stage, its source's included."""
    return all(
        tables(first.at_stage(stage.name)) == tables(second.at_stage(stage.name))
        for stage in first.stages
    )


def tables(run: ResolvedRun) -> list[object]:
    """Parameters of a stage's network and of its source."""
    source = run.teacher_network
    return [run.trained_network.parameters, source.parameters if source else None]


def describe_shrinking(run: RunSpec, small: RunSpec) -> str:
    """One line that says so; empty where nothing was changed."""
    if small is run or run.input_shape is None or small.input_shape is None:
        return ""
    sizes = [f"{shape[0]}x{shape[1]}" for shape in (small.input_shape, run.input_shape)]
    return (
        f"Parity was climbed on images of {sizes[0]}, not {sizes[1]}, which have the same "
        "parameters; `poc parity` with the same options climbs on the full size"
    )
