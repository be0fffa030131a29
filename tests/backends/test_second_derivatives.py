"""Second derivatives of layers that have formulas of their own, against NumPy's differences."""

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from poc.tests.backends.test_layers import draw_case, relative_error
from poc.tests.conftest import start_worker, write_interpreter
from poc.tests.helpers.layers.cases import CASES
from poc.tests.helpers.workers.curvature_probe import curvature
from poc.tests.reference import layers as reference

SCRIPT = Path(__file__).parents[1] / "helpers" / "workers" / "curvature_probe.py"
NAMES = [name for name in CASES if name.startswith(("layer norm", "layer scale"))]
ACTIVATIONS = [f"activation {name}" for name in ("gelu", "gelu_tanh", "hard_swish")]
# Differences of exact gradients: their error falls with the fourth power of the step.
STEP, BOUND = 2e-4, 1e-8


@pytest.fixture(scope="module")
def prober(backend, tmp_path_factory):
    folder = tmp_path_factory.mktemp(f"{backend}_curvature")
    interpreter = write_interpreter(folder / "python", SCRIPT)
    variable = f"POC_{backend.upper()}_PYTHON"
    with ExitStack() as stack:
        yield stack.enter_context(start_worker(backend, folder, **{variable: str(interpreter)}))


def differentiate_twice(network, arrays, directions):
    """Hessian of sum(sin(output)) times the directions, by a five-point difference."""

    def total(values):
        output, _ = reference.apply_network(network, values, values["images"], {}, True)
        return np.sin(output).sum()

    def gradient(distance):
        moved = {name: value + distance * directions[name] for name, value in arrays.items()}
        return reference.differentiate(total, moved)

    found = {distance: gradient(distance * STEP) for distance in (-2, -1, 1, 2)}
    return {
        name: (8 * (found[1][name] - found[-1][name]) - (found[2][name] - found[-2][name]))
        / (12 * STEP)
        for name in arrays
    }


@pytest.mark.parametrize("case", [*NAMES, *ACTIVATIONS])
def test_a_second_derivative_is_exact(case, prober):
    network = CASES[case]
    weights, images, _, _ = draw_case(network, batch=2)
    arrays = {"images": images / 3, **weights}
    generator = np.random.default_rng(2)
    directions = {name: generator.normal(size=value.shape) for name, value in arrays.items()}
    expected = differentiate_twice(network, arrays, directions)
    for found in prober.call(
        curvature,
        case=case,
        weights=weights,
        images=arrays["images"],
        directions=directions,
    ):
        for name, value in expected.items():
            assert relative_error(found[name], value) < BOUND, name
