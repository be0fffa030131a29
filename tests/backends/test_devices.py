"""What both backends do on GPUs, as far as a machine without one shows it."""

import pytest

from poc.tests.helpers.measured.separate_process import measured


@pytest.fixture(scope="module")
def of_tf():
    return measured("../workers/device_checks_tf.py")


@pytest.fixture(scope="module")
def of_torch():
    return measured("../workers/device_checks_torch.py")


@pytest.mark.tf
def test_a_gpu_trains_with_frozen_norms_under_determinism(of_tf) -> None:
    """TensorFlow's fused gradient of moving statistics raises an error there."""
    assert ["FusedBatchNormGradV3", False] in of_tf["norms"]["cpu"]
    assert of_tf["norms"]["gpu"] == []


@pytest.mark.tf
def test_each_rank_of_tensorflow_sees_one_gpu(of_tf) -> None:
    assert of_tf["ranks"] == {
        "0": [],
        "1": [["gpu 0", "GPU"]] * 3,
        "2": [["gpu 0", "GPU"], ["gpu 1", "GPU"], ["gpu 0", "GPU"]],
    }


@pytest.mark.tf
def test_a_seed_fixes_draws_of_tensorflow_without_determinism(of_tf) -> None:
    first, second, other = of_tf["draws"]
    assert first == second != other


@pytest.mark.torch
def test_ranks_that_share_a_gpu_add_up_without_nccl(of_torch) -> None:
    assert of_torch["libraries"] == {"own": "nccl", "shared": "gloo", "partly": "gloo"}


@pytest.mark.torch
def test_a_resumed_meta_optimizer_counts_its_steps_on_the_device(of_torch) -> None:
    assert of_torch["slots"] == dict.fromkeys(("exp_avg", "exp_avg_sq", "step"), "meta")


@pytest.mark.parity
def test_a_record_names_the_device_of_its_run(of_tf, of_torch) -> None:
    assert of_tf["devices"] == of_torch["devices"] == ["NVIDIA H200", "cpu"]
