"""Writes into a folder what trainers make of torchvision's MobileNetV2: run as a script."""

import sys
from pathlib import Path

import numpy as np
import torch  # noqa: TID253 - a script of its own
import torchvision  # noqa: TID253
from safetensors.torch import save_file

WIDTH, CLASSES = 0.25, 5


def make(folder):
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(num_classes=CLASSES, width_mult=WIDTH)
    state = model.state_dict()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    compiled = torch.compile(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    averages = {name: value + 1 for name, value in state.items()}
    lightning = {f"model.{name}": value for name, value in state.items()}
    files = {
        "plain": state,
        "compiled": compiled.state_dict(),
        "parallel": torch.nn.DataParallel(compiled).state_dict(),
        "averaged": averaged.state_dict(),
        "net": {"net": state, "acc": 1.0, "epoch": torch.tensor(3)},
        "lightning": {"state_dict": lightning, "optimizer_states": [optimizer.state_dict()]},
        "two": {"model": state, "model_ema": averages, "optimizer": optimizer.state_dict()},
        "teacher": {**lightning, "teacher.weight": torch.ones(2)},
        "double": {n: v.double() if v.is_floating_point() else v for n, v in state.items()},
        "half": {n: v.half() if v.is_floating_point() else v for n, v in state.items()},
        "quantised": {n: (v * 9).to(torch.int8) for n, v in state.items()},
        "googlenet": torchvision.models.googlenet(
            num_classes=CLASSES, init_weights=False, weights=None
        ).state_dict(),
        "inception_v3": torchvision.models.inception_v3(
            num_classes=CLASSES, init_weights=False, weights=None
        ).state_dict(),
    }
    for name, content in files.items():
        torch.save(content, folder / f"{name}.pth")
    brain = {n: v.bfloat16() if v.is_floating_point() else v for n, v in state.items()}
    save_file(brain, folder / "brain.safetensors")
    rounded = {n: v.float() if v.is_floating_point() else v for n, v in brain.items()}
    np.savez(folder / "rounded.npz", **{n: v.numpy() for n, v in rounded.items()})
    np.savez(folder / "plain.npz", **{n: v.numpy() for n, v in state.items()})


if __name__ == "__main__":
    make(Path(sys.argv[1]))
