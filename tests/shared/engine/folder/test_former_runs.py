"""Runs that an older version stored: read as they were, never continued as something else."""

import json

import pytest

from poc.shared.engine.folder.former_runs import RUN_FORMAT, changed_rule, check_continuation
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.launch.run import resume_run
from poc.shared.engine.launch.sweep_definition import store_definition
from poc.shared.engine.resolving.teacher import check_teacher, resolve_teacher
from poc.shared.errors import UsageError
from poc.shared.files.arrays import write_arrays
from poc.shared.files.whole import write_json
from poc.shared.spec.networks.initializers import draw_weights
from poc.shared.spec.reading.config import load_run
from poc.shared.spec.reading.stored_runs import read_as_meant
from poc.shared.spec.reading.sweep import load_sweep
from poc.shared.spec.resolved import declare_network, resolve_networks
from poc.shared.spec.run import RunSpec
from poc.shared.weights.start import check_initial_weights

SHAPE = {"input_shape": [32, 32, 3], "num_classes": 3}
WIDTH = {"width": 0.02}


def make_run(options, **fields):
    model = {"name": "vgg9_bn", "options": options}
    return RunSpec.parse({"method": "scratch", "model": model, **SHAPE, **fields}, "")


def store_run(path, options):
    """A run folder as it was written, `options` word for word."""
    run = make_run(options)
    stored = run.model_dump(mode="json")
    stored["model"]["options"] = options
    folder = RunFolder.create(path)
    write_json(path / "run.json", {"format": "poc run 1", "status": "finished", "run": stored})
    write_arrays(
        folder.checkpoints / "best.safetensors",
        draw_weights(declare_network(run).parameters, run.seed),
    )
    return path


@pytest.fixture
def old(tmp_path):
    return store_run(tmp_path / "old", WIDTH)


@pytest.fixture
def new(tmp_path):
    return store_run(tmp_path / "new", {**WIDTH, "last_pool": True})


def names(run):
    return [node.name for node in declare_network(run).nodes]


def test_an_old_run_is_read_without_the_last_pool_and_a_new_one_with_it(old, new):
    runs = [RunSpec.parse(RunFolder(folder).read_run()["run"], "") for folder in (old, new)]
    assert ["stage5/pool" in names(run) for run in runs] == [False, True]


def test_what_is_written_again_still_says_so(old):
    RunFolder(old).mark("finished")
    stored = json.loads((old / "run.json").read_text())
    assert stored["run"]["model"]["options"] == {**WIDTH, "last_pool": False}


def test_a_record_that_holds_no_run_is_left_alone(tmp_path):
    for record in ({"run": 3}, {"run": {"model": None}}, {"run": {"model": {"options": 3}}}, {}):
        write_json(tmp_path / "run.json", record)
        assert RunFolder(tmp_path).read_run() == record


def test_an_old_source_keeps_its_form(old, new):
    for folder, expected in ((old, False), (new, True)):
        run = make_run(WIDTH, method="kd", teacher={"weights": str(folder)})
        found = resolve_networks(resolve_teacher(run)).teacher_network
        assert found is not None
        assert ("stage5/pool" in {node.name for node in found.nodes}) == expected


@pytest.mark.parametrize("last_pool", [True, False])
def test_a_run_s_weight_file_is_refused_for_the_other_form(last_pool, old, new):
    fitting, other = (new, old) if last_pool else (old, new)
    options = {**WIDTH, "last_pool": last_pool}
    file = "checkpoints/best.safetensors"
    check_initial_weights(resolve_networks(make_run(options, initial_weights=str(fitting / file))))
    taught = {"method": "kd", "teacher": {"weights": str(fitting / file)}}
    check_teacher(resolve_networks(make_run(options, **taught)))
    what = f"has last_pool={not last_pool}, for last_pool={last_pool}.*Try --set model.last_pool="
    with pytest.raises(UsageError, match=what):
        check_initial_weights(
            resolve_networks(make_run(options, initial_weights=str(other / file)))
        )
    taught = {"method": "kd", "teacher": {"weights": str(other / file)}}
    with pytest.raises(UsageError, match=what):
        check_teacher(resolve_networks(make_run(options, **taught)))


def test_a_weight_file_that_lies_alone_is_taken(old, tmp_path):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((old / "checkpoints" / "best.safetensors").read_bytes())
    check_initial_weights(resolve_networks(make_run(WIDTH, initial_weights=str(alone))))


def age_sweep(path, change=lambda run: None):
    """Make a sweep's definition one of the first format."""
    stored = json.loads((path / "sweep.json").read_text())
    for cell in stored["cells"]:
        change(cell["run"])
    write_json(path / "sweep.json", {**stored, "format": "poc sweep 1"})


def test_an_old_sweep_of_the_model_is_not_continued_with_the_new_form(tmp_path):
    assignments = ["model.name=vgg9_bn", "method=scratch"]
    cells = load_sweep(None, assignments, ["seed=0,1"])
    store_definition(cells, tmp_path, "")
    store_definition(cells, tmp_path, "")
    age_sweep(tmp_path, lambda run: run["model"]["options"].pop("last_pool"))
    with pytest.raises(UsageError, match="has changed"):
        store_definition(cells, tmp_path, "")
    former = load_sweep(None, [*assignments, "last_pool=false"], ["seed=0,1"])
    store_definition(former, tmp_path, "")


# What decides a run's numbers otherwise than in the first format.
CHANGED = {
    "the cosine begins where the warm-up ends": ["schedule.name=cosine", "warmup_steps=3"],
    "AdamW no longer decouples kernel_l2": ["optimizer.name=adamw"],
    "flips and colours come before the shifted crop": ["train_view.crop=shifted"],
    "ten crops are cut as torchvision cuts them": ["eval_view.crop=ten"],
}
UNCHANGED = {
    "a cosine alone": ["schedule.name=cosine"],
    "milestones after a warm-up": ["schedule.name=step", "warmup_steps=3", "milestones=[0.5]"],
    "AdamW without the layers' own decay": ["optimizer.name=adamw", "kernel_l2=0.0"],
    "AdamW and layers that ask for none": ["optimizer.name=adamw", "layer=conv2d"],
    "other crops": ["train_view.crop=random_resized", "eval_view.crop=five"],
}


def store_interrupted(path, assignments, **record):
    run = load_run(None, assignments).model_dump(mode="json")
    RunFolder.create(path).write_run({"status": "interrupted", "run": run, **record})


@pytest.mark.parametrize("rule", CHANGED)
def test_what_began_by_another_rule_is_not_continued(rule, tmp_path):
    store_interrupted(tmp_path / "run", CHANGED[rule], format="poc run 1")
    with pytest.raises(UsageError, match=f"--resume.*{rule}.*starting it again"):
        resume_run(tmp_path / "run", command="", report=print)
    cells = load_sweep(None, CHANGED[rule], ["seed=0,1"])
    store_definition(cells, tmp_path / "sweep", "")
    store_definition(cells, tmp_path / "sweep", "")
    age_sweep(tmp_path / "sweep")
    with pytest.raises(UsageError, match=f"sweep.*{rule}"):
        store_definition(cells, tmp_path / "sweep", "")


def test_a_net_that_does_not_ask_for_its_l2_and_fixres_are_among_them():
    chain = ["model=conv2d_chain", "layer=light", "optimizer.name=adamw"]
    assert changed_rule(load_run(None, chain)) == "AdamW no longer decouples kernel_l2"
    fixres = ["method=fixres", "train_size=32", "test_size=64"]
    assert changed_rule(load_run(None, fixres)) == "flips and colours come before the shifted crop"
    assert changed_rule(load_run(None, [*fixres, "finetune_view=test"])) is None


@pytest.mark.parametrize("what", UNCHANGED)
def test_everything_else_goes_on(what, tmp_path):
    run = load_run(None, UNCHANGED[what])
    assert changed_rule(run) is None
    check_continuation(run, "--resume 'x'", "poc run 1")


@pytest.mark.parametrize("rule", CHANGED)
def test_what_this_version_began_goes_on(rule):
    check_continuation(load_run(None, CHANGED[rule]), "--resume 'x'", RUN_FORMAT)


def test_a_teacher_under_its_former_name_is_read():
    """Run folders and sweeps of before called it source; the data's own source is another thing."""
    stored = {
        "run": {"method": "kd", "source": {"weights": "w"}, "data": {"source": "embedded"}},
        "settings": {"source.weights": "w", "data.source": "embedded", "seed": 1},
        "sweep": {"jobs": 1, "settings": {"source.weights": "w"}},
    }
    meant = read_as_meant(stored)
    assert meant["run"] == {
        "method": "kd",
        "teacher": {"weights": "w", "model": None},
        "data": {"source": "embedded"},
    }
    assert meant["settings"] == {"teacher.weights": "w", "data.source": "embedded", "seed": 1}
    assert meant["sweep"] == {"jobs": 1, "settings": {"teacher.weights": "w"}}
    assert read_as_meant(meant) == meant


def test_a_length_that_did_nothing_is_left_out():
    def read(**options):
        run = {"method": "fitnets", "method_options": options}
        return read_as_meant({"run": run})["run"]["method_options"]

    assert read(stages="one", hint_epochs=3) == {"stages": "one"}
    assert read(stages="two", hint_epochs=3) == {"stages": "two", "hint_epochs": 3}
    RunSpec.parse({"method": "fitnets", "method_options": read(stages="one", hint_epochs=3)}, "")
