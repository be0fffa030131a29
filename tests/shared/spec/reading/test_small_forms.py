"""The small forms of `poc parity`: which run, when, and what is said of it."""

import json

import pytest

from poc.shared.actions import comparison
from poc.shared.actions.comparison import describe_parity_run
from poc.shared.analysis.parity.rungs import Rung
from poc.shared.analysis.parity.table import parity_table, rung_notes
from poc.shared.errors import UsageError
from poc.shared.spec.methods import table
from poc.shared.spec.methods.table import METHODS
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.small_forms import (
    SMALL_FORMS,
    describe_form,
    load_parity_run,
    small_form,
)
from poc.shared.spec.resolved import resolve_networks

# Beside 2,000 images of 28 x 28 in batches of 64 this is small.
MOST_PARAMETERS, MOST_PIXELS, BATCH = 10_000, 24 * 22, 8


def test_every_row_is_a_methods_and_every_method_has_a_form():
    assert [name for name in METHODS if name in SMALL_FORMS] == list(SMALL_FORMS)
    assert all(small_form(name) for name in METHODS)


def test_a_method_with_a_teacher_needs_no_row(monkeypatch):
    monkeypatch.setattr(table, "METHODS", {**METHODS, "rkd": METHODS["kd"]})
    run, form = load_parity_run(None, ["method=rkd"])
    assert form == {**load_parity_run(None, ["method=kd"])[1], "method": "rkd"}
    assert run.teacher.model.name == "lightnet_residual"


def test_a_method_without_a_form_says_that_it_is_missing(poc, monkeypatch):
    """A row of the table alone: one sentence that names the table and what else would do."""
    monkeypatch.setattr(table, "METHODS", {**METHODS, "new": METHODS["scratch"]})
    code, output, errors = poc("parity", "--method", "new")
    assert (code, output) == (2, "")
    assert errors.count("\n") == 1
    for part in ("'new'", "no small form", "shared/spec/reading/small_forms.py", "--model"):
        assert part in errors
    assignments = ["method=new", "model=lightnet_plain"]
    run, form = load_parity_run(None, assignments)
    assert (run.method, form) == ("new", None)


@pytest.mark.parametrize("method", METHODS)
def test_a_form_is_small_and_compares_noise_and_swapped_axes(method):
    run, form = load_parity_run(None, [f"method={method}"])
    assert form is not None
    assert run.method == method
    size = run.data.image_size or (run.method_settings.test_size,) * 2
    for stage in run.replace(input_shape=[*size, 3], num_classes=10).stages:
        staged = run.replace(input_shape=[*size, 3], num_classes=10).at_stage(stage.name)
        network = resolve_networks(staged).trained_network
        assert sum(p.size for p in network.parameters) < MOST_PARAMETERS
        # A hint is learned by the first layers alone, in which there is no dropout. Features are
        # those of evaluation.
        assert network.dropouts or stage.name == "hint" or METHODS[method].fits_head
        assert network.input_shape[0] * network.input_shape[1] <= MOST_PIXELS
        assert network.input_shape[2] == 3
    assert run.data.batch_size == BATCH
    # Squares alone where the method itself has a side.
    assert size[0] != size[1] or method == "fixres"


@pytest.mark.parametrize("method", METHODS)
def test_what_is_printed_is_what_one_would_type(method):
    run, form = load_parity_run(None, [f"method={method}"])
    assert load_run(None, describe_form(form).split()) == run
    line = describe_parity_run(run, form)[0]
    assert line.startswith(f"small form: method={method} model.name=")
    assert line.endswith("; --model, --data, --config or --set change it")


@pytest.mark.parametrize(
    ("assignment", "is_small"),
    [
        ("k=2", True),
        ("model.widths=[3]", True),
        ("seed=3", True),
        ("precision=float64", True),
        ("data.batch_size=4", True),
        ("optimizer.momentum=0.5", True),
        ("temperature=2", True),
        ("model.name=resnet18", False),
        ("model=resnet18", False),
        ("data.source=folder:photos", False),
        ("teacher.weights=runs/one", False),
        ("teacher.num_classes=7", False),
        ("initial_weights=imagenet", False),
    ],
)
def test_what_turns_the_form_off(assignment, is_small):
    run, form = load_parity_run(None, ["method=kd", assignment])
    assert (form is not None) == is_small
    plain = load_run(None, ["method=kd", assignment])
    assert (run != plain) == is_small
    if not is_small:
        assert run == plain
        assert not any(line.startswith("small form") for line in describe_parity_run(run, form))


def test_a_setting_changes_the_form():
    run, _ = load_parity_run(None, ["model.widths=[3]", "data.image_size=[9,8]", "k=1"])
    assert run.model_spec.options["widths"] == [3]
    assert run.model_spec.options["dropout"] == 0.25
    assert run.model_spec.options["k"] == 1
    assert run.data.image_size == (9, 8)
    assert SMALL_FORMS["lightlayers"]["model"]["options"]["widths"] == [4, 6]


def test_an_option_of_the_default_model_is_one_of_a_model_of_ones_own():
    for assignment in ("width=0.25", "model.width=0.25"):
        run, form = load_parity_run(None, ["method=l2t-ww", assignment])
        assert form is None
        assert run.model_spec.name == "vgg9_bn"
        assert run.model_spec.options["width"] == 0.25


def test_a_config_is_a_run_of_ones_own(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('method = "scratch"\n')
    run, form = load_parity_run(path, [])
    assert form is None
    assert run == load_run(path)


def test_wrong_use_is_refused_as_everywhere():
    for assignments, message in (
        (["method=nothing"], "Got the method 'nothing'"),
        (["colour=red"], "Got the unknown key 'colour'"),
        (["k"], "Expected key=value"),
        (["k=0"], "k=0"),
    ):
        with pytest.raises(UsageError, match=message):
            load_parity_run(None, assignments)


def test_drawn_weights_are_said_to_be_drawn():
    words = (("kd", "teacher: random"), ("fixres", "weights: random"), ("scratch", None))
    for method, word in words:
        run, form = load_parity_run(None, [f"method={method}"])
        lines = describe_parity_run(run, form)[1:]
        assert [line.partition(",")[0] for line in lines] == ([word] if word else [])
    named, form = load_parity_run(None, ["method=transfer", "initial_weights=some.safetensors"])
    assert describe_parity_run(named, form) == []


RUNGS = [
    Rung("logits", "logits", 1e-16, 1e-10, 1),
    Rung("hint: 6 sgd steps: losses", "loss: 1", 2e-12, 1e-9, 6, 3e-11, 1e-3, True, ("Why",)),
    Rung("hint: 6 sgd steps: weights", "a", 2e-3, 1e-9, 6, 3e-11, 1e-3, True, ("Why",)),
    Rung("1 adam step: losses", "loss: 0", 2e-3, 1e-9, 6, 3e-3, 1e-4, False, ("Chaos",)),
]


def test_the_table_and_its_notes():
    columns = {column.header: list(column.cells) for column in parity_table(RUNGS).columns}
    assert columns["itself"] == ["", "3.0e-11", "3.0e-11", "3.0e-03"]
    assert columns["verdict"] == ["equal", "equal", "DIFFERENT", "not judged"]
    assert rung_notes(RUNGS) == ["hint: 6 sgd steps: Why.", "1 adam step: Chaos."]
    written = json.loads(json.dumps([rung.to_json() for rung in RUNGS]))
    assert written[1]["self_difference"] == 3e-11
    assert written[1]["learning_rate"] == 1e-3
    assert written[1]["notes"] == ["Why"]
    assert [row["verdict"] for row in written] == columns["verdict"]
    assert [row["is_passed"] for row in written] == [True, True, False, False]


@pytest.mark.parametrize("is_json", [False, True])
def test_the_command_says_what_it_climbs_on(is_json, monkeypatch, capsys):
    from poc.cli import cli

    seen = []
    monkeypatch.setattr(
        comparison, "check_parity", lambda run, report: seen.append(run) or RUNGS[:2]
    )
    arguments = ["parity", "--method", "l2t-ww", *(["--json"] if is_json else [])]
    cli.main(arguments, standalone_mode=False)
    output = capsys.readouterr()
    said = output.err if is_json else output.out
    assert "small form: method=l2t-ww model.name=lightnet_plain" in said
    assert "teacher: random, not trained" in said
    assert seen[0].model_spec.name == "lightnet_plain"
    if is_json:
        assert len(json.loads(output.out)) == 2
    else:
        assert "hint: 6 sgd steps: Why." in said
