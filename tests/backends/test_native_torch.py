"""Native PyTorch modules: equal to torchvision's and to the engine's, and at home in PyTorch."""

import shutil

import pytest

from poc.shared.spec.networks.architectures.table import MODELS
from poc.tests.helpers.architectures.table import SMALL_CASES
from poc.tests.helpers.measured.separate_process import measured

pytestmark = pytest.mark.torch

# One small net of each family, which is a module of shared/spec/networks/architectures.
FAMILIES = (
    *("simple_cnn", "lightnet_residual study k=2", "resnet32_cifar stochastic depth by batch"),
    *("googlenet", "inception_v3", "inception_resnet_v2", "resnet18", "resnet50v2", "vgg16"),
    *("mobilenet_v2 torchvision", "efficientnet_b0 torchvision", "convnext_tiny"),
    *("dinov2_s14 registers", "densenet_cifar"),
)
OTHERS = (
    *("conv2d_chain", "resnet32_cifar stochastic depth by row", "highway", "vgg9_bn 10"),
    *("efficientnet_lite0", "mobilenet_v3_small torchvision"),
)
# Those whose tests take seconds, in one process.
QUICK, QUICK_TO_EXPORT, QUICK_TO_LOAD = FAMILIES[:3], FAMILIES[:1], ("resnet18", "mobilenet_v2")


def mark_slow(names, quick):
    """The names as cases, slow ones marked."""
    return [
        pytest.param(name, id=name, marks=[] if name in quick else [pytest.mark.slow])
        for name in names
    ]


ROWS = mark_slow((*FAMILIES, *OTHERS), QUICK)
# Nets that torchvision computes alike. Its GoogLeNet is another one: batch norms after convolutions
# without biases, and 3x3 kernels in the branch for 5x5.
TORCHVISION = (
    *(*QUICK_TO_LOAD, "efficientnet_b0", "resnet50", "vgg16_bn"),
    *("mobilenet_v3_small", "mobilenet_v3_large", "convnext_tiny", "vit_b16"),
)
# Both call the same kernels in the same order, so the error is 0 but for another choice of kernel:
# a few roundings of float32. Another draw or another layer differs by 1e-3 and more.
SAME = 1e-6
# Compilers reorder sums: some hundred roundings of float32 through all layers.
COMPILED = 1e-4


def found_by(script, quick, *arguments):
    """A function of a name: what the script finds. The quick names share a process."""
    known = {}

    def find(name):
        if name not in known:
            names = quick if name in quick else [name]
            known.update(measured(script, *arguments, *names))
        return known[name]

    return find


@pytest.fixture(scope="module")
def nets():
    return found_by("native_nets_torch.py", QUICK)


@pytest.fixture(scope="module")
def published():
    return found_by("native_torchvision.py", QUICK_TO_LOAD)


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("tools"))
    script = "native_interchange_torch.py"
    return found_by(script, QUICK_TO_EXPORT, folder, "export,onnx,aot_eager")


def test_every_family_has_a_row():
    def families(models):
        return {MODELS[model].options.__module__ for model in models}

    assert families(SMALL_CASES[name].model for name in FAMILIES) == families(MODELS)


@pytest.mark.parametrize("name", ROWS)
def test_the_engine_computes_the_same_from_the_same_weights(name, nets):
    found = nets(name)
    assert found["is_training"]
    assert found["weights"] == 0
    assert found["evaluation"] < SAME
    assert found["training"] < SAME
    assert found["open gates"] < SAME
    assert found["statistics"] < SAME


@pytest.mark.parametrize("name", ROWS)
def test_training_moves_statistics_and_nothing_else(name, nets):
    found = nets(name)
    assert found["unmoved"] == found["moved"] == []
    has_norms = any(n.layer.kind == "batch_norm" for n in network_of(name).nodes)
    assert found["counts"] == ([1] if has_norms else [])


def network_of(name):
    from poc.shared.spec.resolved import declare_network

    return declare_network(SMALL_CASES[name].run())


@pytest.mark.parametrize("name", ROWS)
def test_a_module_is_copied_pickled_filled_and_printed(name, nets):
    found = nets(name)
    for way in ("copied", "pickled", "filled"):
        assert found[way] == 0, way
    # In float64 all that float32 rounded comes back.
    assert found["double"] < 1e-4
    assert found["unshown"] == []


@pytest.mark.parametrize("name", ROWS)
def test_the_engine_never_draws(name, nets):
    found = nets(name)
    if not found["drops"]:
        pytest.skip("the net has no random layer")
    refused, frozen_error = found["refused"]
    assert refused.startswith("Got training=True without a mask of ")
    # A frozen layer needs none, and does what it does in evaluation.
    assert frozen_error == 0


def test_a_closed_gate_is_among_the_cases(nets):
    assert nets("resnet32_cifar stochastic depth by batch")["closed gates"]


@pytest.mark.parametrize("name", mark_slow(TORCHVISION, QUICK_TO_LOAD))
def test_torchvision_has_the_same_network(name, published):
    found = published(name)
    assert found["unpublished"] == found["not taken back"] == []
    for key in ("evaluation", "training", "statistics", "back"):
        assert found[key] < SAME, key
    has_norms = not name.startswith(("convnext", "vit"))
    assert found["moved"] > 0.01 if has_norms else found["moved"] < 0.01
    assert found["counts"] == ([[1], [1]] if has_norms else [[], []])
    # ResNets and ViTs draw nothing.
    draws = not name.startswith(("resnet", "vit"))
    assert (found["other draws"] or 0) > 1e-3 if draws else found["other draws"] is None


@pytest.fixture(scope="module")
def training():
    return measured("native_training_torch.py")


def test_a_plain_loop_learns(training):
    found = training["loop"]
    assert found["before"] == pytest.approx(found["chance"], rel=0.2)
    assert found["after"][0] < 0.9 * found["before"]
    # Every weight, every statistic and every counter moves in training, and none in evaluation.
    assert found["unmoved by training"] == []
    assert found["unmoved by evaluation"] == found["unmoved afterwards"] == found["all"]
    assert found["after"][0] == found["after"][1]
    assert found["counted"] == [found["steps"]]


def test_a_module_obeys_its_own_mode_and_can_be_replaced(training):
    found = training["parts"]
    assert found["still"] == ["stage1.norm.running_mean", "stage1.norm.running_var"]
    assert found["replaced"] == [4, 3]
    assert found["half"] == "torch.bfloat16"
    assert found["attribute"]
    assert found["reachable"]


def test_a_flattened_map_is_canonical_outside_of_the_model(training):
    is_canonical, error = training["flattened"]
    assert is_canonical
    assert error == 0


def test_names_that_meet_are_kept_apart(training):
    """`double` is a method of PyTorch, `features` one that torchvision's names need."""
    names = ["one.two", "one.two_.three", "one_", "double_.up", "features"]
    assert sorted(training["names"]) == sorted(names)


@pytest.mark.parametrize(
    ("case", "values", "evaluation"),
    [
        ("dropout", [0, 1.33333], 1),
        ("spatial", [0, 1.33333], 1),
        ("spatial vector", [0, 1.33333], 1),
        ("row", [0, 1.33333], 1),
        ("paper", [0, 1], 0.75),
    ],
)
def test_a_random_layer_draws_its_own_masks(case, values, evaluation, training):
    found = training["draws"][case]
    assert found["values"] == pytest.approx(values)
    # Four standard errors of a share of 4000 draws at rate 0.25.
    assert found["dropped"] == pytest.approx(0.25, abs=0.0274)
    assert found["is_shared"]
    assert found["differs"]
    assert found["evaluation"] == found["told"] == pytest.approx([evaluation])


def test_a_gate_draws_one_value_for_a_batch(training):
    found = training["draws"]["gate"]
    assert found["values"] == [0, 1]
    # Four standard errors of a share of 1000 draws.
    assert found["dropped"] == pytest.approx(0.25, abs=0.0548)
    assert found["is_shared"]
    assert found["evaluation"] == [0.75]


def test_a_given_mask_is_taken_and_a_rate_of_zero_draws_nothing(training):
    found = training["draws"]
    assert found["given"] == [[2.0 * kept for kept in row] for row in found["kept"]]
    assert found["no rate"]["values"] == [1]


@pytest.mark.parametrize("tool", ["export", "onnx", "aot_eager"])
@pytest.mark.parametrize("name", mark_slow(FAMILIES, QUICK_TO_EXPORT))
def test_tools_of_pytorch_compute_the_same(name, tool, tools):
    errors = tools(name)[tool]
    # A batch of the size that the tool saw, and another one.
    assert len(errors) == 2
    assert max(errors) < COMPILED


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILIES)
def test_a_compiled_module_computes_the_same(name, tmp_path):
    """With PyTorch's default compiler, which needs one of C++."""
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler is installed")
    errors = measured("native_interchange_torch.py", str(tmp_path), "inductor", name)[name]
    assert max(errors["inductor"]) < COMPILED
