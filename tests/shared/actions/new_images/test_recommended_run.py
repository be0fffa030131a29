"""The folder of a study stands for the run that it recommends."""

import pytest

from poc.shared.actions.new_images.recommended_run import find_recommended
from poc.shared.analysis.study.deciding import decide
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
