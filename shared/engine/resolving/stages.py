"""Checks that each stage of a run can pass its weights on to the next one."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun
from poc.shared.spec.run import RunSpec


def check_logits(network: Network) -> None:
    """Refuse a model that ends in a map instead of logits.

    Raises:
        UsageError: The model has no head; the message names the option that gives it one.
    """
    shape = network.nodes[-1].output_shape
    if len(shape) != 1:
        raise UsageError(
            f"Got the model {network.name!r}, which ends in a map of shape {shape}. Expected one "
            "that ends in logits. Try the option that gives it a head, model.head=dense."
        )


def check_stages(run: ResolvedRun) -> None:
    """Refuse a plan whose stages cannot pass their weights on.

    Raises:
        UsageError: Teacher and student of a stage do not fit each other, a layer to freeze does not
            exist, or the network has other shapes at another stage's size.
    """
    shapes = {parameter.name: parameter.shape for parameter in run.network.parameters}
    # FixRes trains and tests at two sizes; a dense layer on a flattened map would change its shape.
    for stage in run.stages:
        for parameter in run.at_stage(stage.name).network.parameters:
            if shapes[parameter.name] != parameter.shape:
                raise UsageError(
                    f"Got {run.spec.model_spec.name} for images of two sizes, where "
                    f"{parameter.name} has the shapes {parameter.shape} and "
                    f"{shapes[parameter.name]}. Expected a network that ends in a global pool. "
                    "Try one size, or a model such as resnet18."
                )


def describe_missing_crop(run: RunSpec) -> str | None:
    """Return a note if the second phase of FixRes has no crop of the test to shift, or None."""
    is_shifted = getattr(run.method_settings, "finetune_view", None) == "shifted"
    if not is_shifted or run.data.eval_view.crop != "none":
        return None
    return (
        "The test crops nothing, so finetune_view=shifted shifts nothing and objects look smaller "
        "than FixRes expects (--set eval_view.resize=shorter_side --set eval_view.crop=centre "
        "tests as the publication)."
    )
