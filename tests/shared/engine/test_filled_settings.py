"""The recipe in a run: photos are known as such, the data fills it in, the folder keeps it."""

from contextlib import suppress

import numpy as np
import pytest
from PIL import Image

from poc.shared.data.sources.arrays import ArraySource
from poc.shared.data.views.photos import are_photos, is_photo
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.folder.save_schedule import Saver
from poc.shared.engine.resolving.after_data import resolve
from poc.shared.engine.server.operations import ServedOperations
from poc.shared.engine.teacher import starting_weights
from poc.shared.errors import Terminated, UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.networks.layers.declaration import Initializer, Parameter
from poc.shared.spec.networks.models import ModelSpec
from poc.shared.spec.open_settings import OPEN_SETTINGS
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.pretrained import Described, WeightDefaults
from poc.shared.spec.reading.recipe import TrainingImages, fill_in
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import drawn_weights
from poc.tests.helpers.workers import stub

NOBODY_SAYS = WeightDefaults(
    describe=lambda path, values: Described(),
    locate=lambda path, values: path,
    note=lambda text: None,
)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


IMAGES = TrainingImages(num_images=100, are_photos=True, has_norms=True)


def head_kernel(*assignments, method="transfer", model="efficientnet_lite0", fill=True):
    """How the last kernel of a run is drawn: (distribution, largest drawn value)."""
    run = load_run(None, [f"model={model}", *assignments], defaults=NOBODY_SAYS, method=method)
    run = fill_in(run, IMAGES) if fill else run
    run = run.replace(input_shape=[64, 64, 3], num_classes=5)
    kernel = next(
        p for p in resolve_networks(run).trained_network.parameters if p.name == "head/kernel"
    )
    return kernel.initializer.distribution, float(
        np.abs(drawn_weights(resolve_networks(run))[kernel.name]).max()
    )


def test_a_new_head_starts_small():
    """Lite0's own is within 1 / sqrt(5) = 0.447, that of the recipe within 1 / sqrt(1280)."""
    declared, recipe = head_kernel(fill=False), head_kernel()
    assert declared[0] == "uniform_fan_out"
    assert declared[1] == pytest.approx(0.447, abs=1e-3)
    assert recipe[0] == "torch_uniform"
    assert recipe[1] == pytest.approx(0.02795, abs=1e-4)
    assert head_kernel(method="fixres") == recipe
    assert head_kernel("head_initializer=declared") == declared
    assert head_kernel("new_head=false") == declared


def test_a_run_from_a_file_starts_with_such_a_head(tmp_path):
    """The body is the file's; the head is not that of the architecture, nor the file's."""
    model = ModelSpec(name="lightnet_plain", options={"layer": "conv2d", "widths": [2, 64]})
    network = model.declare((28, 28, 1), 7)
    path = tmp_path / "body.safetensors"
    file = draw_weights(network.parameters, 3)
    write_arrays(path, file)
    options = {"model": model.model_dump(), "initial_weights": str(path), "num_classes": 5}
    run = RunSpec.parse(
        {
            **options,
            "method": "transfer",
            "method_options": {"head_initializer": "torch_uniform"},
            "input_shape": [28, 28, 1],
        },
        "",
    )
    weights = starting_weights(resolve_networks(run))
    body = [name for name in file if not name.startswith("head/")]
    assert all((weights[name] == file[name]).all() for name in body)
    wanted = draw_weights(
        [
            Parameter(
                name="head/kernel",
                shape=(64, 5),
                initializer=Initializer(distribution="torch_uniform", fan_in=64, fan_out=5),
            )
        ],
        run.seed,
    )
    assert (weights["head/kernel"] == wanted["head/kernel"]).all()
    assert np.abs(weights["head/kernel"]).max() <= 1 / 8


def test_only_the_last_layer_of_a_head_is_drawn_so():
    """VGG's head is three layers; the first two stay as published."""
    run = load_run(
        None, ["model=vgg16", "image_size=[32,32]"], defaults=NOBODY_SAYS, method="transfer"
    )
    run = fill_in(run, IMAGES)
    run = run.replace(input_shape=[32, 32, 3], num_classes=5)
    before = {p.name: p.initializer for p in declare_network(run).parameters}
    after = {p.name: p.initializer for p in resolve_networks(run).trained_network.parameters}
    changed = {name for name in before if before[name] != after[name]}
    last = declare_network(run).head.name
    assert changed <= {f"{last}/kernel"}
    assert after[f"{last}/kernel"].distribution == "torch_uniform"


def paint(height, width, *, spread=60, share=1.0):
    """Grey noise; in the first rows, so large a share of it, red is brighter by `spread`."""
    noise = np.random.default_rng(0).integers(0, 190, (height, width, 1))
    image = np.repeat(noise, 3, axis=2)
    image[: round(height * share), :, 0] += spread
    return image.astype(np.uint8)


def test_what_a_photo_is():
    assert is_photo(paint(64, 80))
    assert is_photo(paint(100, 100, share=0.05))
    assert not is_photo(paint(63, 80))
    assert not is_photo(paint(100, 100, share=0.04))
    # An X-ray in a JPEG of three channels, and one of a single channel.
    assert not is_photo(paint(100, 100, spread=23))
    assert not is_photo(paint(100, 100)[..., :1])


def test_most_of_the_training_images_decide():
    mixed = np.stack([paint(64, 64, spread=60 * (index % 3 > 0)) for index in range(9)])
    source = ArraySource("test", {"train": (mixed, np.arange(9) % 2)})
    assert are_photos(source, np.arange(9))
    assert not are_photos(source, np.array([0, 3, 6, 1]))
    assert not are_photos(source, np.array([0, 1]))


@pytest.fixture
def photos(tmp_path):
    """12 images in colour a class."""
    for index in range(24):
        folder = tmp_path / "set" / ("cat" if index % 2 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.roll(paint(64, 64), index, axis=0)).save(folder / f"{index}.png")
    return f"folder:{tmp_path / 'set'}"


def test_opening_the_data_fills_in_and_tells(photos):
    told = []
    written = load_run(None, [f"data.source={photos}", "batch_size=4"], defaults=NOBODY_SAYS)
    resolved, data = resolve(written, told.append)
    with data:
        # 0.64 of 24, by class: 15.4, so 16 or 15.
        assert len(data.split.train) in (15, 16)
        assert data.train.num_batches == 4
        assert data.shown.train_view.crop == "random_resized"
        assert told[-1] == data.notes[-1]
    assert resolved.spec.num_epochs == 300
    assert told[-1] == (
        f"Recipe for {len(data.split.train)} training images: 300 epochs of 4 steps (1,200), Adam "
        "0.003, cosine after 60 steps of warm-up, flips and mild crops."
    )


def test_a_network_without_norms_is_seen_as_such(photos):
    settings = [f"data.source={photos}", "model=vgg16"]
    run = load_run(None, settings, defaults=NOBODY_SAYS, method="scratch")
    resolved, data = resolve(run)
    data.close()
    assert resolved.spec.optimizer.learning_rate == 1e-3


@pytest.fixture
def uneven(tmp_path):
    """Published parts: 9 cats and 3 dogs to train on, one each to validate and to test."""
    counts = {"train": {"cat": 9, "dog": 3}, "val": {"cat": 1, "dog": 1}}
    generator = np.random.default_rng(0)
    for part, classes in {**counts, "test": counts["val"]}.items():
        for name, count in classes.items():
            folder = tmp_path / "uneven" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(0, 256, (8, 8, 1), dtype=np.uint8)[..., 0]
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "uneven"


def test_balanced_weights_are_counted_over_the_training_part(uneven):
    told = []
    run = load_run(None, [f"data.source=folder:{uneven}", "class_weights=balanced"])
    resolved, data = resolve(run, told.append)
    with data:
        # 12 / (2 * 9) and 12 / (2 * 3).
        assert resolved.spec.loss.class_weights == (12 / 18, 2.0)
        line = "Class weights (balanced): from 0.6667 for 'cat' to 2 for 'dog'."
        assert line in told
        assert line in data.notes
    # A run that has numbers keeps them, whatever its data is.
    again, data = resolve(run.replace(loss={"class_weights": [1.0, 5.0]}))
    data.close()
    assert again.spec.loss.class_weights == (1.0, 5.0)


def test_balanced_weights_need_an_image_of_every_class(uneven):
    """The split sees to it, before anything is counted."""
    for path in (uneven / "train" / "dog").iterdir():
        path.unlink()
    settings = [f"data.source=folder:{uneven}", "class_weights=balanced", "data.on_error=skip"]
    run = load_run(None, settings)
    with pytest.raises(UsageError, match=r"leaves class 'dog' .* without one in the train part"):
        resolve(run)


def test_weights_of_other_classes_are_refused_when_the_data_is_known(uneven):
    run = load_run(None, [f"data.source=folder:{uneven}", "class_weights=[1, 2, 3]"])
    with pytest.raises(UsageError, match="of length 3, for 2 classes"):
        resolve(run)


MODEL = {"name": "lightnet_plain", "options": {"widths": [2, 2], "k": 1}}
SMALL = {"data": {"split": {"train_per_class": 10}, "batch_size": 1}, "model": MODEL}


def train(folder, run, *, is_resumed=False):
    """The notes of a run, by the stub."""
    output = folder if is_resumed else RunFolder.create(folder).path
    events = []
    operations = ServedOperations(stub, events.append, 0.0)
    with suppress(Terminated):
        operations.train(
            run=run, folder=str(output), command="poc", save_every="10min", is_resumed=is_resumed
        )
    return [event["text"] for event in events if event["event"] == "note"]


def test_the_run_folder_holds_numbers_and_a_resume_keeps_them(tmp_path, monkeypatch):
    """100 images by 1 are 100 steps: 12 epochs. Stopped and resumed it ends as if it had not."""
    run = {**SMALL, "open_settings": list(OPEN_SETTINGS[:4])}
    notes = train(tmp_path / "whole", run)
    line = next(text for text in notes if text.startswith("Recipe"))
    assert "12 epochs of 100 steps (1,200), Adam 0.003, cosine after 60 steps" in line
    record = RunFolder(tmp_path / "whole").read_run()
    assert (record["run"]["num_epochs"], record["run"]["open_settings"]) == (12, [])
    assert record["run"]["schedule"]["warmup_steps"] == 60
    assert line in record["data"]["notes"]
    monkeypatch.setattr(Saver, "is_due", stub.stop_at([250]))
    train(tmp_path / "parts", run)
    stopped = RunFolder(tmp_path / "parts").read_run()
    assert (stopped["status"], stopped["run"]) == ("interrupted", record["run"])
    monkeypatch.undo()
    notes = train(tmp_path / "parts", stopped["run"], is_resumed=True)
    assert not [text for text in notes if text.startswith("Recipe")]
    rows = [RunFolder(tmp_path / name).read_metrics() for name in ("whole", "parts")]
    rates = [[row["learning_rate"] for row in lines] for lines in rows]
    assert rates[0] == rates[1]
    assert len(rates[0]) == 12
    losses = [[row["train/loss"] for row in lines] for lines in rows]
    assert losses[0] == losses[1]


def test_the_run_folder_holds_the_counted_weights(uneven, tmp_path, monkeypatch):
    """Numbers, which a resume keeps without counting again."""
    run = {
        "data": {"source": f"folder:{uneven}", "batch_size": 4},
        "loss": {"class_weights": "balanced"},
        "model": MODEL,
        "num_epochs": 2,
    }
    monkeypatch.setattr(Saver, "is_due", stub.stop_at([4]))
    notes = train(tmp_path / "run", run)
    record = RunFolder(tmp_path / "run").read_run()
    assert record["run"]["loss"]["class_weights"] == [12 / 18, 2.0]
    assert [text for text in notes if text.startswith("Class weights")]
    monkeypatch.undo()
    notes = train(tmp_path / "run", record["run"], is_resumed=True)
    assert not [text for text in notes if text.startswith("Class weights")]
    finished = RunFolder(tmp_path / "run").read_run()
    assert (finished["status"], finished["run"]) == ("finished", record["run"])
