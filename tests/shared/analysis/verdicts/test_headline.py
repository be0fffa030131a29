"""The headline: plain sentences that never say other than the tables of their page."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from poc.cli import cli
from poc.shared.actions.comparison import difference_verdict
from poc.shared.analysis.report.tables import main_table
from poc.shared.analysis.runs.groups import Group, group_runs, match_backends
from poc.shared.analysis.runs.predictions import Predictions
from poc.shared.analysis.runs.reading import DataRecord, Run, RunRecord
from poc.shared.analysis.statistics.differences import Remedy
from poc.shared.analysis.tables.terminal import sweep_table
from poc.shared.analysis.tables.verdicts import pair_table, rival_table
from poc.shared.analysis.verdicts.findings import list_names
from poc.shared.analysis.verdicts.headline import Headline, write_headline
from poc.shared.analysis.verdicts.pairs import Pair, compare_pairs
from poc.shared.analysis.verdicts.phrases import write_remedy
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.spec.run import RunSpec
from poc.tests.shared.analysis.report.test_page import make_run, report

OPTIMIZERS = (("adam", 0.001), ("sgd", 0.01))
NAMES = [f"class {index}" for index in range(3)]


def make_answers(hits: np.ndarray, *, k: int, backend: str, seed: int, data: str = "a") -> Run:
    """A run that is right where `hits` (N,) says so; the first class is 4 of 10 images."""
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2] * (len(hits) // 10 + 1), dtype=np.int64)
    labels = labels[: len(hits)]
    predicted = np.where(hits, labels, (labels + 1) % len(NAMES))
    options = {"name": "lightnet_plain", "options": {"k": k}}
    spec = RunSpec.parse({"backend": backend, "seed": seed, "model": options}, "")
    counts = {"test": len(hits)}
    return Run(
        name=f"{k}-{backend}-{seed}",
        record=RunRecord(
            status="finished",
            run=spec.model_dump(mode="json"),
            data=DataRecord(
                source=data, split_fingerprint=data * 64, counts=counts, class_names=NAMES
            ),
            environment={},
        ),
        row={"seed": seed, "backend": backend, "test_accuracy": float(hits.mean())},
        epochs=(),
        predictions=Predictions(
            logits=np.eye(len(NAMES), dtype=np.float32)[predicted],
            labels=labels,
            ids=np.array([f"{data}{index:05}" for index in range(len(hits))]),
        ),
    )


def make_groups(
    seed: int, accuracies: list[float], num_seeds: list[int], num_images: int
) -> list[Group]:
    """Rows k=1 tf, k=1 torch, k=2 tf, …; images are hard or easy for all."""
    random = np.random.default_rng(seed)
    ease = random.random(num_images)
    runs = []
    for row, (accuracy, count) in enumerate(zip(accuracies, num_seeds, strict=True)):
        for index in range(count):
            own = random.random(num_images)
            answers = np.where(random.random(num_images) < 0.6, ease, own) < accuracy
            backend = ("tf", "torch")[row % 2]
            runs.append(make_answers(answers, k=row // 2 + 1, backend=backend, seed=index))
    return group_runs(runs)


def read_names(text: str) -> list[str]:
    """`a, b and c` -> its names."""
    return [name for name in re.split(r", | and ", text) if name]


def check_best(sentence: str, groups: list[Group], winners: dict[frozenset[str], str | None]):
    """Every name in the first sentence against the judged pairs."""
    best = max(groups, key=lambda group: float(np.mean(group.values("test_accuracy")))).label
    assert sentence.startswith(best)
    if len(groups) == 2:
        names = [group.label for group in groups]
        # Two frameworks of one method: the next sentence says how they compare.
        assert (" is the best: " in sentence) == (winners[frozenset(names)] == best)
        assert "better than" not in sentence
        return
    others = [group.label for group in groups if group.label != best]
    beaten = {name for name in others if winners[frozenset({best, name})] == best}
    assert (" is the best: " in sentence) == (beaten == set(others))
    said = re.search(r"(?:is|It is) better than (.*?)(?:, but|;|\.$)", sentence)
    unsaid = re.search(r"not shown to be better than (.*?)(?:;|\.$)", sentence)
    for found, expected in ((said, beaten), (unsaid, set(others) - beaten)):
        assert (found is not None) == bool(expected)
        if found and len(expected) <= 4:
            assert set(read_names(found[1])) == expected
        elif found:
            assert found[1] == f"{len(expected)} other rows"
            assert "the table names each" in sentence or len(expected) == len(others)


def check_frameworks(headline: Headline, groups: list[Group], pairs: list[Pair]) -> None:
    """Who leads where; rows that are not shown to differ are in no such sentence."""
    text = "\n".join(headline.sentences)
    decided, unsettled = {}, 0
    for tf, torch in match_backends(groups):
        pair = next(pair for pair in pairs if {pair.first, pair.second} == {tf.label, torch.label})
        if pair.is_of_one_seed and pair.is_far_apart:
            unsettled += 1
            continue
        k = tf.label.split()[0]
        decided[k if k != "tf" else ""] = None if pair.winner is None else pair.winner.split()[-1]
    said = dict(re.findall(r"The frameworks differ(?: with (k=\d))?: (tf|torch) is more", text))
    assert said == {key: value for key, value in decided.items() if value}
    assert text.count("with one seed each") == unsettled
    assert ("frameworks are not shown to differ" in text) == (None in decided.values())


def check_baseline(headline: Headline, groups: list[Group], pairs: list[Pair]) -> None:
    """Rows better, worse, or neither than the majority baseline."""
    text = "\n".join(headline.sentences)
    found: dict[str, set[str]] = {"better": set(), "unclear": set(), "worse": set()}
    for pair in (pair for pair in pairs if pair.is_baseline):
        kind = "unclear" if pair.winner is None else "better"
        found["worse" if pair.winner == pair.second else kind].add(pair.first)
    constant = r"the majority baseline 0\.\d{3} \(.*?\)"
    unclear = re.search(rf"Not shown to be better than {constant}: (.*)\.", text)
    worse = re.search(rf"Worse than {constant}: (.*)\.", text)
    assert set(read_names(unclear[1]) if unclear else []) == found["unclear"]
    assert set(read_names(worse[1]) if worse else []) == found["worse"]
    is_all = "is better than the majority baseline" in text
    assert is_all == (len(found["better"]) == len(groups))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_sentences_tables_and_intervals_agree_over_random_pages(data: st.DataObject) -> None:
    num_rows = data.draw(st.integers(2, 8))
    rows = st.lists(st.sampled_from([0.2, 0.4, 0.5, 0.7, 0.75, 0.95]), min_size=num_rows)
    accuracies = data.draw(rows.map(lambda values: values[:num_rows]))
    seeds = data.draw(st.lists(st.integers(1, 3), min_size=num_rows, max_size=num_rows))
    groups = make_groups(
        data.draw(st.integers(0, 2**32 - 1)),
        accuracies,
        seeds,
        data.draw(st.sampled_from([20, 65, 400])),
    )
    pairs = compare_pairs(groups)
    winners = {frozenset({pair.first, pair.second}): pair.winner for pair in pairs}
    for pair in pairs:
        assert pair.low is not None
        assert pair.high is not None
        ahead = [pair.first] * (pair.low > 0) + [pair.second] * (pair.high < 0)
        assert bool(ahead) == pair.is_far_apart
        # Of two frameworks with one seed each none is crowned.
        assert (ahead if not pair.is_of_one_seed else []) == ([pair.winner] if pair.winner else [])
    for group in groups:
        assert group.interval is not None
        assert group.interval.low <= np.mean(group.values("test_accuracy")) <= group.interval.high
    headline = write_headline(groups, pairs)
    check_best(headline.sentences[0], groups, winners)
    check_frameworks(headline, groups, pairs)
    check_baseline(headline, groups, pairs)
    rivals = rival_table(headline.rivals)
    assert rivals is not None
    written = {frozenset(row[:2]): row[-1] for row in pair_table(pairs).rows}
    for row in rivals.rows:
        cells = dict(zip(rivals.columns, row, strict=True))
        verdict = cells["verdict"]
        assert verdict == written[frozenset((headline.rivals[0].best, cells["row"]))]
        is_open = verdict in ("no difference shown", "one seed each: not judged")
        assert is_open == bool(cells.get("what would settle it"))


def test_a_headline_by_hand() -> None:
    """Three rows of which two are the same: the words, whole."""
    index = np.arange(400)
    runs = []
    for seed in range(3):
        shift = 4 * seed
        runs.append(make_answers(index >= 44 + shift, k=1, backend="tf", seed=seed))
        runs.append(make_answers(index >= 46 + shift, k=1, backend="torch", seed=seed))
        runs.append(make_answers(index >= 200 + shift, k=2, backend="tf", seed=seed))
    groups = group_runs(runs)
    sentences = write_headline(groups, compare_pairs(groups)).sentences
    low, high = groups[0].interval or (0, 0)
    assert sentences[:3] == [
        f"k=1 tf has the highest mean, test accuracy 0.880 (95 % interval {low:.3f} to "
        f"{high:.3f}). It is better than k=2 tf, but not shown to be better than k=1 torch.",
        sentences[1],
        "Every row is better than the majority baseline 0.400 (always “class 0”).",
    ]
    assert re.fullmatch(
        r"The frameworks are not shown to differ: 0\.5 points \(-\d\.\d to \d\.\d\)\.", sentences[1]
    )
    assert sentences[3].startswith("k=1 tf and k=1 torch are 0.5 points (")
    assert sentences[3].endswith(" would show it.")
    assert sentences[4:] == ["These verdicts are adjusted for the number of comparisons, 6."]


@pytest.mark.parametrize(
    ("wrong", "first", "second"),
    [
        (46, "tf has the highest mean, test", r"are not shown to differ: 0\.5 .*; if that is the"),
        (44, "tf shares the highest mean with torch, test", r"are not shown to differ: 0\.0 "),
        (
            200,
            "tf has the highest mean, test",
            r"are 39\.0 points .* apart.*, with one seed each\. More seeds show whether they ",
        ),
    ],
)
def test_two_frameworks_of_one_method_are_compared_once(
    wrong: int, first: str, second: str
) -> None:
    """356 of 400 right in tf; the baseline is 160 of them."""
    index = np.arange(400)
    runs = [
        make_answers(index >= count, k=1, backend=name, seed=0)
        for name, count in (("tf", 44), ("torch", wrong))
    ]
    groups = group_runs(runs)
    sentences = write_headline(groups, compare_pairs(groups)).sentences
    assert sentences[0].startswith(f"{first} accuracy 0.890 (95 % interval ")
    assert re.search(f"^The frameworks {second}", sentences[1])
    text = "\n".join(sentences)
    assert text.count("better than torch") == 0
    assert text.count("apart: if that is the true difference") == 0
    assert text.count("would show it") == (wrong != 200)
    assert text.count(" points (") == 1 + text.count(" points (sd)")
    assert "the majority baseline 0.400 (always “class 0”)" in sentences[2]
    assert sentences[-1] == "These verdicts are adjusted for the number of comparisons, 3."


def test_one_comparison_is_adjusted_for_nothing() -> None:
    groups = group_runs([make_answers(np.arange(40) < 20, k=1, backend="tf", seed=0)])
    text = "\n".join(write_headline(groups, compare_pairs(groups)).sentences)
    constant = "the majority baseline 0.400 (always “class 0”)"
    assert f"Not shown to be better than {constant}: {groups[0].label}." in text
    assert "adjusted" not in text


def make_rows(axes: list[dict[str, object]], changes: list[dict[str, Any]]) -> list[Group]:
    """A row for each change of a run's settings, with the axes of its sweep."""
    runs = []
    for index, (own, change) in enumerate(zip(axes, changes, strict=True)):
        run = make_answers(np.arange(40) < 20 + index, k=1, backend="tf", seed=0)
        spec = RunSpec.parse({**run.record.run, **change}, "").model_dump(mode="json")
        record = run.record.model_copy(update={"run": spec, "sweep": {"settings": own}})
        runs.append(replace(run, name=str(index), record=record))
    return group_runs(runs)


def test_rows_of_a_sweep_are_named_by_what_it_varied() -> None:
    """Not by the learning rate that follows from the optimiser."""
    changes = [{"optimizer": {"name": name, "learning_rate": rate}} for name, rate in OPTIMIZERS]
    axes: list[dict[str, object]] = [{"optimizer.name": name} for name, _ in OPTIMIZERS]
    groups = make_rows(axes, changes)
    expected = ["optimizer=adam", "optimizer=sgd"]
    assert [group.label for group in groups] == expected
    headline = write_headline(groups, compare_pairs(groups))
    assert headline.sentences[0].startswith("optimizer=sgd has the highest mean")
    assert headline.labels == {"0": expected[0], "1": expected[1]}
    # Beside one that is of no sweep: by the settings, as everywhere else.
    first, second = (group.runs[0] for group in groups)
    alone = replace(second, record=second.record.model_copy(update={"sweep": {}}))
    rates = ["learning_rate=0.001", "learning_rate=0.01"]
    assert [group.label for group in group_runs([first, alone])] == rates


def test_a_size_is_named_as_the_sweep_names_it() -> None:
    sizes = ((96, 96), (160, 160))
    changes = [{"data": {"source": "a", "image_size": size}} for size in sizes]
    axes: list[dict[str, object]] = [{"test_size": size[0]} for size in sizes]
    assert [group.label for group in make_rows(axes, changes)] == ["test_size=96", "test_size=160"]


def test_a_sweeps_table_and_sentences_name_rows_alike() -> None:
    """A cell that failed has its settings."""
    common = {"status": "finished", "total_parameters": 5, "seed": 0, "failure": "killed"}
    rows = [
        {**common, "cell": "a", "settings": {"k": 1, "backend": "tf"}},
        {**common, "cell": "b", "settings": {"k": 1, "backend": "torch"}},
        {**common, "cell": "c", "settings": {"k": 2, "backend": "tf"}, "status": "failed"},
    ]
    table = sweep_table(rows, {"a": "k=1 tf", "b": "k=1 torch"})
    assert list(table.columns[0].cells) == ["k=1 tf", "k=1 torch", "backend=tf,k=2"]
    assert list(sweep_table(rows[:1]).columns[0].cells) == ["the one cell"]
    # Two cells that a report takes for one row are two lines still.
    assert len(sweep_table(rows[:2], {"a": "tf", "b": "tf"}).rows) == 2


def test_rows_of_the_same_mean_share_it() -> None:
    """Both frameworks are right on the same 70 of 100 images, a third row on 60."""
    hits = np.arange(100) < 70
    runs = [make_answers(hits, k=1, backend=name, seed=0) for name in ("tf", "torch")]
    groups = group_runs([*runs, make_answers(np.arange(100) < 60, k=2, backend="tf", seed=0)])
    first, *_ = write_headline(groups, compare_pairs(groups)).sentences
    assert first.startswith("k=1 tf shares the highest mean with k=1 torch, test accuracy 0.700")
    alone, *_ = write_headline(groups[::2], compare_pairs(groups[::2])).sentences
    assert alone.startswith("k=1 tf has the highest mean") or " is the best" in alone


def test_many_rows_are_counted_in_the_sentence_and_named_in_the_table() -> None:
    groups = make_groups(0, [0.95, *[0.5] * 9], [2] * 10, 400)
    headline = write_headline(groups, compare_pairs(groups))
    assert headline.sentences[0].endswith("It is better than 9 other rows.")
    table = rival_table(headline.rivals)
    assert table is not None
    assert sorted(row[0] for row in table.rows) == sorted(group.label for group in groups[1:])


def test_rows_of_one_seed_say_what_is_taken_for_granted() -> None:
    groups = make_groups(0, [0.9, 0.5], [1, 1], 400)
    text = "\n".join(write_headline(groups, compare_pairs(groups)).sentences)
    assumed = "There is one seed per row. It is assumed, not measured, that another seed moves an"
    assert f"{assumed} accuracy by about" in text
    groups = make_groups(0, [0.9, 0.5], [3, 1], 400)
    text = "\n".join(write_headline(groups, compare_pairs(groups)).sentences)
    lent = "There is one seed of torch. It is estimated from the other rows that another seed moves"
    assert f"{lent} an accuracy by about" in text


def test_other_data_have_their_own_headline_and_no_pair() -> None:
    hits = np.arange(200) < 150
    runs = [
        make_answers(hits, k=k, backend="tf", seed=0, data=data) for k in (1, 2) for data in "ab"
    ]
    groups = group_runs(runs)
    pairs = compare_pairs(groups)
    assert [pair.reason for pair in pairs if pair.reason] == ["other data"] * 4
    sentences = write_headline(groups, pairs).sentences
    assert {sentence[:6] for sentence in sentences[:-1]} == {"On a: ", "On b: "}
    assert sentences[-1].startswith("These verdicts are adjusted")


def test_remedies_in_words() -> None:
    assert write_remedy(Remedy(400, 5)) == "about 400 more test images or 5 more seeds per row"
    assert write_remedy(Remedy(seeds=1)) == "about 1 more seed per row"
    both = write_remedy(Remedy(both=(1500, 6)))
    assert both == "about 1,500 more test images with 6 more seeds per row"
    assert write_remedy(Remedy()) == "no number of images or seeds within reach"


def test_no_name_is_left_out() -> None:
    assert list_names([f"row {index}" for index in range(9)]).count("row") == 9
    assert (list_names(["a"]), list_names(["a", "b", "c"])) == ("a", "a, b and c")


def test_the_headline_opens_the_page_and_the_terminal(tmp_path: Path) -> None:
    for k, accuracy in ((1, 0.5), (2, 0.8), (3, 0.9)):
        make_run(tmp_path / "study" / str(k), k=k, accuracy=accuracy, num_epochs=2)
    result = report(tmp_path / "report", tmp_path / "study")
    markdown = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    first = result["headline"][0]
    assert markdown.splitlines()[2] == first.replace("~", "&#126;")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert page.index(first) < page.index('<dl class="facts">')
    assert "more (" not in first
    done = CliRunner().invoke(
        cli, ["report", str(tmp_path / "study"), "--output", str(tmp_path / "again")]
    )
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == first
    for row in result["rows"]:
        assert row["row"] in done.output


def test_the_baseline_has_an_interval_too() -> None:
    """160 of 400: Wilson .353 to .449."""
    groups = make_groups(0, [0.9, 0.5], [2, 2], 400)
    for group in groups:
        for run in group.runs:
            run.row.update(total_parameters=1, trainable_parameters=1, weight_bytes=4)
    table = main_table(groups)
    assert table.rows[-1][list(table.columns).index("95 % interval")] == "0.353 to 0.449"


@pytest.mark.parametrize(("accuracy", "expected"), [(0.9, "are 30.0 points"), (0.8, "are not")])
def test_the_verdict_of_a_comparison_of_two_frameworks(
    accuracy: float, expected: str, tmp_path: Path
) -> None:
    rows = []
    for backend, value in (("tf", 0.6 if accuracy > 0.85 else accuracy), ("torch", accuracy)):
        folder = make_run(tmp_path / backend, backend=backend, accuracy=value)
        rows.append({**RunFolder(folder).read_summary(), "folder": str(folder)})
    verdict = difference_verdict(rows)
    assert f"The frameworks {expected}" in verdict
    assert "There is one seed per row" in verdict
