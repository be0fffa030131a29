"""Training a head on kept features of InceptionV3: the same head, in a fraction of the time."""

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.run import launch_run
from poc.shared.files.arrays import read_arrays
from poc.shared.spec.run import RunSpec

COUNT, SIDE = 24, 139
BACKENDS = [
    pytest.param("tf", marks=pytest.mark.tf),
    pytest.param("torch", marks=pytest.mark.torch),
]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "noise.npz"
    generator = np.random.default_rng(0)
    arrays = {
        "images": generator.integers(0, 256, (COUNT, SIDE, SIDE, 3), dtype=np.uint8),
        "labels": np.arange(COUNT) % 2,
    }
    np.savez(path, **arrays)
    return path


def train(photos, output, backend, cache, num_epochs):
    """Metrics of every epoch, and the test logits of the last one."""
    run = RunSpec.parse(
        {
            "backend": backend,
            "method": "transfer",
            "method_options": {"feature_cache": cache},
            "model": {"name": "inception_v3"},
            "num_epochs": num_epochs,
            "data": {
                "source": f"npz:{photos}",
                "batch_size": 8,
                "normalization": "tf",
                "split": {"kind": "fractions", "fractions": [0.67, 0.0, 0.33]},
            },
        },
        "",
    )
    launch_run(run, output, command="", overwrite=False, report=lambda event: None)
    with np.load(output / "predictions.npz") as file:
        return RunFolder(output).read_metrics(), file["logits"]


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_further_epochs_cost_less_than_a_fiftieth_of_the_first(photos, tmp_path, backend):
    lines, _ = train(photos, tmp_path / "run", backend, "memory", 6)
    seconds = [line["epoch_seconds"] for line in lines]
    # The last epoch also writes its checkpoints.
    assert 50 * np.median(seconds[1:-1]) < seconds[0]
    assert len(read_arrays(tmp_path / "run" / "checkpoints" / "best.safetensors")) > 300


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_kept_features_give_the_head_and_logits_of_computed_ones(photos, tmp_path, backend):
    heads, logits = {}, {}
    for cache in ("off", "memory"):
        _, logits[cache] = train(photos, tmp_path / cache, backend, cache, 3)
        heads[cache] = read_arrays(tmp_path / cache / "checkpoints" / "best.safetensors")
    for name, value in heads["off"].items():
        np.testing.assert_allclose(heads["memory"][name], value, rtol=0, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(logits["memory"], logits["off"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["transfer", "scratch"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_only_epochs_on_images_have_a_rate_of_images(tmp_path, backend, method):
    """The first epoch of a frozen body computes features, the others train on them."""
    options = {"layer": "conv2d", "head": "dense", "widths": [2, 3], "dropout": 0.0}
    run = RunSpec.parse(
        {
            "backend": backend,
            "method": method,
            "model": {"name": "lightnet_plain", "options": options},
            "num_epochs": 3,
            "data": {"split": {"train_per_class": 8}, "batch_size": 32},
        },
        "",
    )
    row = launch_run(run, tmp_path, command="", overwrite=False, report=lambda event: None)
    lines = RunFolder(tmp_path).read_metrics()
    names = [[name for name in line if name.endswith("_per_second")] for line in lines]
    images, kept, computed = ["images_per_second"], ["kept_images_per_second"], "computed"
    if method == "scratch":
        assert names == [images] * 3
    else:
        assert names == [[f"{computed}_images_per_second"], kept, kept]
    assert [name for name in row if name.endswith("_per_second")] == names[-1]
    assert row[names[-1][0]] == np.median([line[names[-1][0]] for line in lines[1:]])
    # A run of less than half a second does not tell.
    assert 0 <= (row["other_processor_share"] or 0) <= 1
