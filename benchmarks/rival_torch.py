"""Fine-tuning on a folder of photos, by the recipe of PyTorch's tutorial.

    python benchmarks/rival_torch.py train FOLDER --weights FILE --budget 300 --output network.pt
    python benchmarks/rival_torch.py predict FOLDER --output network.pt --csv answers.csv

All layers by SGD with momentum 0.9 at a rate of 0.001, a tenth of it after every 7 of 25 epochs, 4
photos per step, with random crops and flips; a fifth of the photos validates, and the epoch with
the best validation counts. These are the tutorial's numbers; training ends earlier if the budget
does. `--body mobilenet_v2` is torchvision's network with the padding and the epsilon of Keras,
where the weights are from; `--body efficientnet_lite0` is timm's, since torchvision has none. FILE
has their names. `study_rivals.py` runs this script.
"""

import argparse
import copy
import csv
import time
from pathlib import Path

RATE, MOMENTUM, STEP_EPOCHS, NUM_EPOCHS, BATCH_SIZE = 1e-3, 0.9, 7, 25, 4
VALIDATION_SHARE = 0.2
# Side of the images, their mean and their deviation on the scale from 0 to 1.
VIEWS = {"mobilenet_v2": (160, 0.5, 0.5), "efficientnet_lite0": (224, 127 / 255, 128 / 255)}


def main() -> None:
    """Train a network, or label photos with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=("train", "predict"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--output", type=Path, required=True, help="file of the network")
    parser.add_argument("--body", choices=tuple(VIEWS), default="mobilenet_v2")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--budget", type=float, default=300.0, metavar="SECONDS")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    (train if given.action == "train" else predict)(given)


def train(given: argparse.Namespace) -> None:
    """Train, and save the network of the best epoch and the names of its classes."""
    started = time.monotonic()
    import torch
    from torch.utils.data import DataLoader, Subset
    from torchvision.datasets import ImageFolder

    torch.manual_seed(given.seed)
    varied, plain = (ImageFolder(given.folder, make_view(given.body, v)) for v in (True, False))
    order = torch.randperm(len(plain)).tolist()
    cut = round(VALIDATION_SHARE * len(order))
    training = DataLoader(Subset(varied, order[cut:]), BATCH_SIZE, shuffle=True)
    validation = DataLoader(Subset(plain, order[:cut]), BATCH_SIZE)
    model = make_model(given.body, len(plain.classes), given.weights)
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=MOMENTUM)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, STEP_EPOCHS, gamma=0.1)
    best, kept, seconds = -1.0, model.state_dict(), 0.0
    for epoch in range(NUM_EPOCHS):
        began = time.monotonic()
        # The last epoch says how long the next one takes.
        if began - started + seconds > 0.95 * given.budget:
            break
        train_epoch(model, training, optimizer)
        schedule.step()
        accuracy = evaluate(model, validation)
        if accuracy > best:
            best, kept = accuracy, copy.deepcopy(model.state_dict())
        seconds = time.monotonic() - began
        print(f"epoch {epoch + 1}: validation {accuracy:.3f}", flush=True)
    if best < 0:
        raise SystemExit("no epoch ended within the budget")
    torch.save({"body": given.body, "classes": plain.classes, "weights": kept}, given.output)


def train_epoch(model, batches, optimizer) -> None:
    """Train on each batch once."""
    import torch

    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


def evaluate(model, batches) -> float:
    """Return the share of right answers."""
    import torch

    model.eval()
    with torch.no_grad():
        hits = [(model(images).argmax(1) == labels).float() for images, labels in batches]
    return float(torch.cat(hits).mean())


def make_view(body: str, is_varied: bool):
    """Return the view of an image: a random crop and flip, or a crop of the middle."""
    import torch
    from torchvision.transforms import v2 as views

    side, mean, deviation = VIEWS[body]
    cut = (
        [views.RandomResizedCrop(side), views.RandomHorizontalFlip()]
        if is_varied
        else [views.Resize(round(side * 8 / 7)), views.CenterCrop(side)]
    )
    numbers = [views.ToImage(), views.ToDtype(torch.float32, scale=True)]
    return views.Compose([*cut, *numbers, views.Normalize([mean] * 3, [deviation] * 3)])


def make_model(body: str, num_classes: int, weights: Path | None):
    """Return a network with the weights of a file and a new head."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(weights) if weights else None
    if body == "efficientnet_lite0":
        import timm

        model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        if stored:
            model.load_state_dict(stored)
        model.reset_classifier(num_classes)
        return model
    from torchvision.models import mobilenet_v2

    model = mobilenet_v2(num_classes=len(stored["classifier.1.bias"]) if stored else num_classes)
    if stored:
        model.load_state_dict(stored)
    model.classifier[1] = torch.nn.Linear(model.last_channel, num_classes)
    adapt_to_keras(model)
    return model


def adapt_to_keras(module) -> None:
    """Give a torchvision network the epsilon and the padding of Keras."""
    import torch

    for name, child in module.named_children():
        if isinstance(child, torch.nn.BatchNorm2d):
            child.eps = 1e-3
        if isinstance(child, torch.nn.Conv2d) and child.stride == (2, 2):
            child.padding = (0, 0)
            setattr(module, name, torch.nn.Sequential(torch.nn.ZeroPad2d((0, 1, 0, 1)), child))
        else:
            adapt_to_keras(child)


def predict(given: argparse.Namespace) -> None:
    """Write the file and the label of each photo of a folder and its folders."""
    import torch
    from PIL import Image

    stored = torch.load(given.output, weights_only=True)
    model = make_model(stored["body"], len(stored["classes"]), None)
    model.load_state_dict(stored["weights"])
    model.eval()
    view = make_view(stored["body"], False)
    with given.csv.open("w", newline="") as stream, torch.no_grad():
        writer = csv.writer(stream)
        writer.writerow(("file", "label"))
        for path in sorted(path for path in given.folder.rglob("*") if path.is_file()):
            label = model(view(Image.open(path).convert("RGB"))[None]).argmax()
            writer.writerow((path, stored["classes"][int(label)]))


if __name__ == "__main__":
    main()
