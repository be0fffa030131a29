"""Run by test_devices.py in a process of its own: what PyTorch does on GPUs, as JSON.

GPUs are only named as there; the device `meta` stands for one.
"""

import json
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np
import torch  # noqa: TID253
from torch import distributed  # noqa: TID253

from poc.shared.engine.ranks.place import Place
from poc.shared.spec.run import RunSpec
from poc.torch_impl import device, join
from poc.torch_impl.methods.l2t_ww.step import L2TWW

COLLECTIVES = "poc.torch_impl.ranks.collectives"


def library_of(gpus):
    """What adds up for the first of several ranks, by the GPU of each; and that rank's number."""
    store, count = distributed.HashStore(), len(gpus)
    for index, name in enumerate(gpus):
        store.set(f"gpu of rank {index}", name)
    place = Place(index=0, count=count, meeting="a:1", addresses=("a:2",), local_count=count)
    with (
        patch(f"{COLLECTIVES}.find_device", return_value="cuda"),
        patch.object(distributed, "rendezvous", return_value=iter([(store, 0, count)])),
        patch.object(distributed, "init_process_group") as begin,
        patch.multiple(
            torch.cuda,
            device_count=lambda: 1,
            set_device=lambda index: None,
            current_device=lambda: 0,
            get_device_properties=lambda index: SimpleNamespace(uuid=gpus[0]),
        ),
    ):
        join(RunSpec.parse({}, ""), place)
    return begin.call_args.args[0]


def devices_after_a_resume():
    """Devices of the slots of l2t-ww's meta-optimiser, whose variable is on `meta`."""
    objective = object.__new__(L2TWW)
    variable = torch.zeros(2, device="meta")
    objective.device, objective.meta = torch.device("meta"), {"gate": variable}
    objective.meta_optimizer = SimpleNamespace(state={})
    objective.velocity, objective.source_nodes, objective.totals = {}, {}, {}
    objective.model, objective.run = (
        None,
        SimpleNamespace(spec=SimpleNamespace(precision="float32")),
    )
    slots = {f"gate/{name}": np.zeros(2) for name in ("exp_avg", "exp_avg_sq")}
    with patch("poc.torch_impl.methods.l2t_ww.state.named_variables", return_value={}):
        objective.restore({**slots, "meta_step": np.asarray(3), "step": np.asarray(3)})
    found = objective.meta_optimizer.state[variable]
    return {name: str(value.device) for name, value in found.items()}


def describe_devices():
    """The device in the record of a run on a GPU, and of one on the CPU."""
    with patch.multiple(
        torch.cuda, is_available=lambda: True, get_device_name=lambda *given: "NVIDIA H200"
    ):
        runs = (RunSpec.parse({"device": name}, "") for name in ("auto", "cpu"))
        return [device.describe(run)["device"] for run in runs]


def main():
    ranks = {"own": ["a", "b"], "shared": ["a", "a"], "partly": ["a", "b", "b"]}
    found = {
        "devices": describe_devices(),
        "libraries": {name: library_of(gpus) for name, gpus in ranks.items()},
        "slots": devices_after_a_resume(),
    }
    print(json.dumps(found))


main()
