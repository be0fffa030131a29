"""Pooling that keeps its axes, Multiply and dropped branches of each backend against NumPy."""

import subprocess
import sys

import numpy as np
import pytest

from poc.shared.engine.numerics.noise import draw_noise
from poc.shared.errors import UsageError
from poc.shared.spec.networks.builder import NetworkBuilder
from poc.shared.spec.networks.layers.convolution import Conv2D
from poc.shared.spec.networks.layers.merging import Multiply
from poc.shared.spec.networks.layers.pooling import GlobalPool
from poc.shared.spec.networks.layers.residual import StochasticDepth

RATE = 0.3
SCRIPT = """
import importlib, sys
import numpy as np
backend, folder = sys.argv[1:]
layers = importlib.import_module(f"poc.{backend}_impl.layers").LAYERS
arrays = importlib.import_module(f"poc.{backend}_impl.arrays")
device = "/CPU:0" if backend == "tf" else "cpu"
given = np.load(folder + "/given.npz")
images, factors = (
    arrays.images_to_tensor(given[name], dtype="float64", device=device)
    for name in ("images", "factors")
)
rate = float(given["rate"])
branch = layers["stochastic_depth"](
    rate=rate, is_gate=False, training_factor=1 / (1 - rate), evaluation_factor=1, dtype="float64"
)
kept = arrays.noise_to_tensors({"kept": given["kept"]}, device=device)["kept"]
outputs = {
    "mean": layers["global_pool"](keep_axes=True, dtype="float64")(images),
    "max": layers["global_pool"](mode="max", keep_axes=True, dtype="float64")(images),
    "product": layers["multiply"](dtype="float64")(images, factors),
    "dropped": branch(images, kept, training=True),
    "passed": branch(images, training=False),
}
np.savez(folder + f"/{backend}.npz", **arrays.map_to_array(outputs))
"""


@pytest.mark.parametrize(
    "backend",
    [pytest.param("tf", marks=pytest.mark.tf), pytest.param("torch", marks=pytest.mark.torch)],
)
def test_against_numpy(backend, tmp_path):
    generator = np.random.default_rng(0)
    images, factors = generator.normal(size=(5, 3, 4, 2)), generator.normal(size=(5, 1, 1, 2))
    kept = np.array([True, False, True, True, False]).reshape(5, 1, 1, 1)
    np.savez(tmp_path / "given.npz", images=images, factors=factors, kept=kept, rate=RATE)
    subprocess.run([sys.executable, "-c", SCRIPT, backend, str(tmp_path)], check=True)
    expected = {
        "mean": np.stack([[[image.reshape(-1, 2).sum(axis=0) / 12]] for image in images]),
        "max": np.stack([[[image.reshape(-1, 2).max(axis=0)]] for image in images]),
        "product": np.stack(
            [
                [[pixel * factor[0, 0] for pixel in row] for row in image]
                for image, factor in zip(images, factors, strict=True)
            ]
        ),
        "dropped": np.stack(
            [
                image / (1 - RATE) if keep else np.zeros_like(image)
                for image, keep in zip(images, kept.ravel(), strict=True)
            ]
        ),
        "passed": images,
    }
    with np.load(tmp_path / f"{backend}.npz") as found:
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-13, atol=1e-13, err_msg=name)


def test_a_branch_dropped_by_row_draws_one_value_an_example():
    net = NetworkBuilder("case", (6, 5, 4))
    net.add("drop", StochasticDepth(survival=1 - RATE, mode="row"))
    mask = draw_noise(net.build(), seed=1, step=2, batch_size=2000)["drop"]
    assert mask.shape == (2000, 1, 1, 1)
    # Four standard errors of a share of 2000 draws.
    assert mask.mean() == pytest.approx(1 - RATE, abs=4 * np.sqrt(RATE * (1 - RATE) / 2000))


def test_factors_of_another_shape_are_refused():
    net = NetworkBuilder("case", (6, 5, 4))
    maps = net.add("maps", Conv2D(filters=3, kernel_size=(1, 1)))
    net.add("pool", GlobalPool(keep_axes=True), "images")
    with pytest.raises(UsageError, match=r"the layer scaled of case with factors .*\(1, 1, 4\)"):
        net.add("scaled", Multiply(), maps, "pool")
