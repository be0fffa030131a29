"""The folder of a study stands for the run that it recommends."""

import pytest

from poc.cli import cli
from poc.shared.actions.new_images.recommended_run import find_recommended
from poc.shared.analysis.study.deciding import decide
from poc.shared.api.models import find_record
from poc.shared.commands.options import TRAINED_RUN
from poc.shared.errors import UsageError
from poc.tests.helpers.studies.tables import make_results


def write_study(folder, **changes):
    decision = decide(make_results({"net": 0.9, "other": 0.5}))
    (folder / "study.json").write_text("{}")
    (folder / "decision.json").write_text(decision.model_copy(update=changes).to_json())
    return decision


def test_a_study_stands_for_its_first_recommended_run(tmp_path):
    decision = write_study(tmp_path)
    assert find_recommended(tmp_path) == tmp_path / decision.recommended.runs[0]


def test_any_other_path_stays_as_it_is(tmp_path):
    assert find_recommended(tmp_path) == tmp_path
    assert find_recommended(tmp_path / "missing.onnx") == tmp_path / "missing.onnx"


def test_a_study_without_a_decision_is_refused(tmp_path):
    (tmp_path / "study.json").write_text("{}")
    with pytest.raises(UsageError, match="continues it"):
        find_recommended(tmp_path)


def test_a_study_that_recommends_no_network_is_refused(tmp_path):
    decision = write_study(tmp_path)
    alone = decision.recommended.model_copy(update={"runs": ("",)})
    write_study(tmp_path, recommended=alone)
    with pytest.raises(UsageError, match="no network"):
        find_recommended(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        *("evaluate", "calibrate", "explain", "demo", "export", "card", "package"),
        *("models removal", "weights factorize", "weights verify"),
    ],
)
def test_commands_about_one_run_take_the_folder_of_a_study(command, tmp_path):
    decision = write_study(tmp_path)
    group, _, name = command.rpartition(" ")
    own = cli.commands[group].commands[name] if group else cli.commands[name]
    first = own.params[0]
    assert first.type is TRAINED_RUN
    # Several runs are a tuple.
    found = first.type_cast_value(None, [str(tmp_path)] if first.nargs == -1 else str(tmp_path))
    found = found[0] if first.nargs == -1 else found
    assert found == tmp_path / decision.recommended.runs[0]


def test_python_takes_the_folder_of_a_study(tmp_path):
    decision = write_study(tmp_path)
    run = decision.recommended.runs[0]
    with pytest.raises(UsageError, match=rf"{run}', which has no run\.json"):
        find_record(tmp_path)
