"""What is not finite stops the run at its step, by name; what was saved before stays."""

import numpy as np
import pytest

from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.training import non_finite as diagnosis
from poc.shared.errors import CheckFailed
from poc.tests.faults.test_resume import RUN, train
from poc.tests.helpers.workers import stub

KERNEL = "block1/conv1/reduce/kernel"


def keys_of_steps(tmp_path):
    """What each step sees, in their order: the batch is another at every step."""
    keys, honest = [], stub.pseudo_gradients
    with pytest.MonkeyPatch.context() as patch:

        def record(weights, images, *rest):
            keys.append(images.tobytes())
            return honest(weights, images, *rest)

        patch.setattr(stub, "pseudo_gradients", record)
        train(tmp_path / "clean", RUN)
    assert len(set(keys)) == len(keys)
    return keys


def planted(key, change):
    """Gradients that go wrong where a step sees `key`, also when it is taken again."""
    honest = stub.pseudo_gradients

    def gradients(weights, images, *rest):
        loss, found = honest(weights, images, *rest)
        return change(loss, found) if images.tobytes() == key else (loss, found)

    return gradients


def break_gradient(loss, gradients):
    name = next(iter(gradients))
    gradients[name] = gradients[name] * np.nan
    return loss, gradients


def break_loss(loss, gradients):
    return np.inf, gradients


# Plant, first words of the message.
PLANTS = {
    "gradient": (break_gradient, "Got values of the gradient of "),
    "loss": (break_loss, "Got values of the loss that are not finite"),
}


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("kind", PLANTS)
@pytest.mark.parametrize("step", [0, 3, 4, 5, 9, 12, 14])
def test_the_step_and_the_tensor_are_named(kind, step, tmp_path, monkeypatch):
    change, words = PLANTS[kind]
    key = keys_of_steps(tmp_path)[step]
    monkeypatch.setattr(stub, "pseudo_gradients", planted(key, change))
    with pytest.raises(CheckFailed) as caught:
        train(tmp_path / "run", RUN)
    message = str(caught.value)
    assert message.startswith(words)
    assert f"not finite at step {step} (epoch {step // 5 + 1})" in message
    folder = RunFolder(tmp_path / "run")
    checkpoint = folder.read_checkpoint()
    assert (checkpoint.loop.step if checkpoint else 0) == step - step % 5
    assert ("nothing was saved" in message) == (checkpoint is None)
    assert len(folder.read_metrics()) == step // 5
    assert folder.read_run()["error"] == message
    print(f"not finite ({kind}) at step {step}: kept {step - step % 5} steps")


@pytest.mark.filterwarnings("ignore:invalid value")
def test_saving_within_an_epoch_never_keeps_what_is_not_finite(tmp_path, monkeypatch):
    key = keys_of_steps(tmp_path)[7]
    monkeypatch.setattr(stub, "pseudo_gradients", planted(key, break_gradient))
    with pytest.raises(CheckFailed, match="the checkpoint after step 6 is kept"):
        train(tmp_path / "run", RUN, save_every="1")
    checkpoint = RunFolder(tmp_path / "run").read_checkpoint()
    assert checkpoint.loop.step == 7
    assert all(np.isfinite(value).all() for value in checkpoint.weights.values())


@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_search_that_would_take_too_long_is_left_out(tmp_path, monkeypatch):
    key = keys_of_steps(tmp_path)[3]
    monkeypatch.setattr(diagnosis, "MAX_REPEATED_STEPS", 0)
    monkeypatch.setattr(stub, "pseudo_gradients", planted(key, break_loss))
    with pytest.raises(CheckFailed, match="Got values of the loss that are not finite at step 3"):
        train(tmp_path / "run", RUN)
