"""What every stage of a run can hand on to the next one."""

from poc.shared.errors import UsageError
from poc.shared.spec.networks.network import Network
from poc.shared.spec.resolved import ResolvedRun


def check_logits(network: Network) -> None:
    """Refuse a model that ends in a map.

    Raises:
        UsageError: Says which option gives it a head.
    """
    shape = network.nodes[-1].output_shape
    if len(shape) != 1:
        raise UsageError(
            f"received the model {network.name!r} that ends in a map of shape {shape}; allowed is "
            "one that ends in logits: set the option that gives it a head, model.head=dense"
        )


def check_stages(run: ResolvedRun) -> None:
    """Refuse a plan whose stages cannot hand their weights on.

    Raises:
        UsageError: Teacher and student do not fit in a stage, a layer to freeze is not there, or
            the network has other shapes at another stage's size.
    """
    shapes = {parameter.name: parameter.shape for parameter in run.network.parameters}
    for stage in run.stages:
        for parameter in run.at_stage(stage.name).network.parameters:
            if shapes[parameter.name] != parameter.shape:
                raise UsageError(
                    f"received {run.spec.model_spec.name} for images of two sizes, where "
                    f"{parameter.name} has the shapes {parameter.shape} and "
                    f"{shapes[parameter.name]}; allowed is a net that ends in a global pool: "
                    "choose another model"
                )
