"""The run that options or keywords ask for."""

import pytest

from poc.shared.actions.requested_run import (
    OPTION_KEYS,
    named_settings,
    refuse_beside_resume,
    request_run,
    require_backend,
)
from poc.shared.engine.console.work_count import unheard
from poc.shared.errors import UsageError


def request(backend="torch", notes=None, **given):
    given = {"config": None, "assignments": [], **given}
    return request_run(backend, unheard, [].append if notes is None else notes.append, **given)


def test_every_option_sets_its_key():
    given = {name: index for index, name in enumerate(OPTION_KEYS) if name != "student"}
    settings = named_settings(**given, assignments=["a.b=c"])
    assert settings[-1] == "a.b=c"
    assert dict(text.split("=") for text in settings[:-1]) == {
        OPTION_KEYS[name]: str(value) for name, value in given.items()
    }


def test_options_become_a_run():
    run = request(method="scratch", model="lightnet_plain", epochs=3, assignments=["widths=[2,2]"])
    assert (run.backend, run.method, run.num_epochs) == ("torch", "scratch", 3)
    assert run.model_spec.options == {"widths": [2, 2]}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "a", "student": "b"}, r"^Got --model a and --student b"),
        ({"method": "transfer"}, r"^Got method='transfer' without --weights"),
        ({"assignments": ["lerning_rate=1"]}, r"learning_rate"),
    ],
)
def test_wrong_options_are_refused(given, words):
    with pytest.raises(UsageError, match=words):
        request(**given)


def test_random_weights_may_be_asked_for():
    assert request(method="transfer", weights="none").initial_weights is None


def test_a_config_may_name_the_backend(tmp_path):
    config = tmp_path / "run.toml"
    config.write_text('backend = "tf"\n')
    assert require_backend(None, config) == "tf"
    assert require_backend("torch", config) == "torch"
    for unnamed in (None, tmp_path / "empty.toml"):
        (tmp_path / "empty.toml").write_text("seed = 1\n")
        with pytest.raises(UsageError, match=r"^Got no --backend"):
            require_backend(None, unnamed)


def test_a_resumed_run_takes_no_other_settings():
    refuse_beside_resume(backend=None, overwrite=False, assignments=())
    with pytest.raises(UsageError, match=r"^Got --resume with --batch-size, --set, but.*--proc"):
        refuse_beside_resume(batch_size=3, assignments=("a=1",))
