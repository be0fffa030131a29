"""`import poc` registers its Keras layers with Keras, and brings no framework."""

import os
import subprocess
import sys

import pytest

REPORT = """
import sys
print("tensorflow" in sys.modules, "poc.tf_impl.layers" in sys.modules)
print(*sorted(name for name in keras.saving.get_custom_objects() if name.startswith("poc>")))
"""
# As many as there are kinds of layers, each under the name of its class.
REGISTERED = (
    "poc>Activation poc>Add poc>BatchNorm poc>Concatenate poc>Conv2D poc>Dense poc>DepthwiseConv2D "
    "poc>Dropout poc>Flatten poc>GlobalPool poc>Highway poc>LayerNorm poc>LayerScale "
    "poc>LearnedTokens poc>LightConv2D poc>LightDense poc>MeanTokens poc>Multiply "
    "poc>NearestNeighbours poc>PointwiseConv2D poc>Pool2D poc>PositionEmbedding poc>ScaledAdd "
    "poc>SelfAttention poc>SeparableConv2D poc>StochasticDepth poc>TakeToken poc>ToMap poc>ToTokens"
)
# A package `keras` that says its backend, and a note of what is imported by name.
STUB = """
import importlib
imported = []
importlib.import_module = imported.append
"""


def run(code, **environment):
    """The last two lines that a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()[-2:]


@pytest.mark.tf
@pytest.mark.parametrize("imports", ["import keras, poc", "import poc, keras"])
def test_layers_are_registered_in_both_orders_of_imports(imports):
    assert run(imports + REPORT) == ["True True", REGISTERED]


@pytest.mark.torch
def test_another_backend_of_keras_brings_no_tensorflow():
    assert run("import poc, keras" + REPORT, KERAS_BACKEND="torch") == ["False False", ""]


@pytest.fixture
def stub(tmp_path):
    """Runs code with a stub of Keras in front, and gives what was imported by name."""

    def run_stub(code, package):
        folder = tmp_path / "keras"
        folder.mkdir()
        (folder / "__init__.py").write_text(package)
        path = f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        report = "\nprint(*imported)\nprint(type(sys.meta_path[0]).__name__)"
        return run(path + STUB + code + report)

    return run_stub


CONFIG = "class config:\n    backend = staticmethod(lambda: {!r})\n"
LAYERS, FINDER = "poc.tf_impl.layers", "_KerasFinder"


@pytest.mark.parametrize(
    ("code", "backend", "imported", "is_waiting"),
    [
        ("import poc", "tensorflow", "", True),
        ("import poc, keras", "tensorflow", LAYERS, False),
        ("import keras, poc", "tensorflow", LAYERS, False),
        ("import poc, keras", "torch", "", False),
        ("import keras, poc", "jax", "", False),
        # Looking for Keras, as other libraries do, is no import of it.
        (
            "import poc, importlib.util\nassert importlib.util.find_spec('keras')",
            "tensorflow",
            "",
            True,
        ),
        (
            "import poc, importlib.util\nimportlib.util.find_spec('keras')\nimport keras",
            "tensorflow",
            LAYERS,
            False,
        ),
        # The submodule brings its package first.
        ("import poc, keras.layers", "tensorflow", LAYERS, False),
    ],
)
def test_layers_are_imported_right_after_keras(code, backend, imported, is_waiting, stub, tmp_path):
    found = stub(
        f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'keras', 'layers.py').touch()\n" + code,
        CONFIG.format(backend),
    )
    assert found[0] == imported
    assert (found[1] == FINDER) == is_waiting


def test_a_keras_without_a_backend_is_left_alone(stub):
    assert stub("import poc, keras", "")[0] == ""


def test_a_failing_import_of_keras_is_not_hidden_and_may_be_tried_again(stub):
    code = """
import poc
for _ in range(2):
    try:
        import keras
    except ZeroDivisionError:
        imported.append("failed")
"""
    assert stub(code, "1 / 0") == ["failed failed", FINDER]


def test_keras_may_be_missing():
    code = """
import sys, poc
sys.meta_path[1:] = []
try:
    import keras
except ModuleNotFoundError as error:
    print("missing", error.name)
    print("keras" in sys.modules)
"""
    assert run(code) == ["missing keras", "False"]


def test_poc_is_imported_quickly_and_without_numpy():
    code = """
import sys, time
started = time.process_time()
import poc
seconds = time.process_time() - started
print(*sorted({"numpy", "keras", "tensorflow", "torch"} & set(sys.modules)))
print(seconds < 0.1)
"""
    assert run(code) == ["", "True"]
