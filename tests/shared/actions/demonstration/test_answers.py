"""Answers of open runs: those of `poc predict`, both frameworks, and sentences about the rest."""

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from poc.shared.actions.demonstration import answers as module
from poc.shared.actions.demonstration.answers import open_answers, plan_run, plan_runs
from poc.shared.actions.demonstration.page import answer_upload
from poc.shared.actions.demonstration.uploads import Uploads
from poc.shared.actions.explanations.explain import Wish
from poc.shared.actions.new_images.predict import predict_images
from poc.shared.data.sources.inspection import ignore
from poc.shared.engine.console.work_count import unheard
from poc.shared.engine.folder.decision import write_decision
from poc.shared.engine.numerics.metrics import probabilities
from poc.shared.engine.worker.handle import Worker, WorkerCrashed
from poc.shared.errors import UsageError
from poc.tests.shared.actions.explanations.test_explain_files import STRANGE, photos, run, trained
from poc.tests.shared.engine.folder.test_decision import make_decision

__all__ = ["photos", "run", "trained"]


def open_runs(folders, backend=None):
    plans = plan_runs(folders, backend, "best", ignore)
    return open_answers(folders, plans, unheard)


def shares_of(html):
    """The numbers of the table."""
    return [float(number) for number in re.findall(r"</span></span>([0-9.]+)</td>", html)]


def test_both_frameworks_answer_as_poc_predict_does(run, photos):
    paths = [photos / "cat" / "0.png", photos / "dog" / "3.png"]
    expected = predict_images(run, [str(path) for path in paths])
    shares = probabilities(expected.scaled, is_multi_label=False)
    with open_runs([run]) as answers:
        for path, answer, own in zip(paths, expected.answers, shares, strict=True):
            html = answers.answer(path)
            label = expected.class_names[answer]
            assert html.count(f"<strong>{label}</strong>") == 2
            assert re.findall(r'poc-soft">(tf|torch)</span>', html) == ["tf", "torch"]
            rows = re.findall(r'<th scope="row">(.*?)</th>', html)
            assert rows[0] == label
            assert shares_of(html)[:2] == [round(float(own[answer]), 4)] * 2
            assert shares_of(html)[2:] == [round(float(own[1 - answer]), 4)] * 2
            assert "as trained, not calibrated" in html
            assert 'src="data:image/png;base64,' in html
            assert "next to the Grad-CAM map of tf and torch" in html


def test_networks_are_built_once(run, photos, monkeypatch):
    called = Counter()
    call = Worker.call

    def count(self, operation, **arguments):
        called[operation.__name__, self.backend] += 1
        return call(self, operation, **arguments)

    monkeypatch.setattr(Worker, "call", count)
    with open_runs([run]) as answers:
        at_start = Counter(called)
        for number in range(3):
            answers.answer(photos / "cat" / f"{number}.png")
    for backend in ("tf", "torch"):
        assert at_start["start_predicting", backend] == at_start["start_explaining", backend] == 1
        # The first photo finds them warm.
        assert at_start["predict_batch", backend] == at_start["explain_batch", backend] == 1
        assert called["predict_batch", backend] == called["explain_batch", backend] == 4
    assert {name for name, _ in called} == {
        "start_predicting", "start_explaining", "predict_batch", "explain_batch"
    }  # fmt: skip


def test_an_unsure_photo_has_no_label_and_says_why(run, photos):
    rejection = {"rule": "accuracy", "share": 0.9, "log_odds": 30.0, "probability": 0.9999}
    decision = make_decision(run, names=["cat", "dog"], threshold=None, rejection=rejection)
    write_decision(run, decision)
    with open_runs([run]) as answers:
        html = answers.answer(photos / "cat" / "0.png")
    assert html.count("too unsure for an answer (below 0.9999)") == 2
    assert "at temperature 2.000, from `poc calibrate`" in html
    assert "<strong>" not in html


def test_what_cannot_be_read_gets_a_sentence_and_the_next_photo_an_answer(run, photos, tmp_path):
    whole = (photos / "cat" / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "a.svg").write_text("<svg onload='alert(1)'/>")
    Image.fromarray(np.zeros((1, 20_000), np.uint8)).save(tmp_path / "narrow.png")
    with open_runs([run]) as answers:
        for name in ("cut.png", "a.svg", "gone.png"):
            html = answers.answer(tmp_path / name)
            (sentence,) = re.findall(r'role="alert">(.*)</p>', html)
            assert sentence.startswith(name)
            assert sentence.endswith(": drop a JPEG, PNG or WebP file of a photo.")
            assert "<table>" not in html
        assert "<table>" in answers.answer(photos / "cat" / "0.png")


def test_names_are_text(run, photos, tmp_path):
    path = tmp_path / STRANGE
    path.write_bytes((photos / "cat" / "0.png").read_bytes())
    with open_runs([run]) as answers:
        assert "<b>" not in answers.answer(path)
        path.write_text("no image")
        html = answers.answer(path)
    assert "&lt;b&gt;$x$ &amp; 100%.png is no image" in html


def test_two_runs_answer_side_by_side_each_in_its_own_framework(run, photos):
    with open_runs([run, run]) as answers:
        assert [list(each.networks) for each in answers.runs] == [["torch"], ["torch"]]
        html = answers.answer(photos / "cat" / "0.png")
    assert html.count("<section") == html.count("<h2>") == 2
    with open_runs([run, run], backend="tf") as answers:
        assert [list(each.networks) for each in answers.runs] == [["tf"], ["tf"]]
    with pytest.raises(UsageError, match="Got 3 runs"):
        plan_runs([run] * 3, None, "best", ignore)


def test_a_network_without_a_map_is_explained_by_occlusion(run, monkeypatch):
    asked = []
    plan_explanations = module.plan_explanations

    def refuse(folder, wish, note):
        asked.append(wish.method)
        if wish.method == "gradcam":
            raise UsageError("Got the model m, which has no map of several pixels. Expected …")
        return plan_explanations(folder, wish, note)

    monkeypatch.setattr(module, "plan_explanations", refuse)
    assert plan_run(run, Wish(), ignore).method.name == "occlusion"
    assert asked == ["gradcam", "occlusion"]
    with pytest.raises(UsageError, match="nowhere"):
        plan_run(run / "nowhere", Wish(), ignore)


def test_a_dead_process_is_named(run, photos, monkeypatch):
    def die(self, item):
        raise WorkerCrashed("the tf worker died")

    with open_runs([run]) as answers:
        monkeypatch.setattr(module.OpenRun, "explain", die)
        html = answers.answer(photos / "cat" / "0.png")
    assert "process has ended: stop `poc demo`, and start it again." in html


def test_an_upload_is_deleted_whatever_becomes_of_it(run, photos, tmp_path):
    (tmp_path / "in").mkdir()
    uploads = Uploads(tmp_path / "in")
    outside = tmp_path / "outside.png"
    outside.write_bytes((photos / "cat" / "0.png").read_bytes())
    with open_runs([run]) as answers:
        for content, words in ((outside.read_bytes(), "<table>"), (b"no", "is no image")):
            path = uploads.folder / "hash" / "a.png"
            path.parent.mkdir()
            path.write_bytes(content)
            assert words in answer_upload(answers, uploads, str(path))
            assert not path.parent.exists()
        for path in (None, str(outside), "http://127.0.0.1/a.png"):
            assert "There is no photo" in answer_upload(answers, uploads, path)
    assert outside.exists()
