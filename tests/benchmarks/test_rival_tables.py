"""The judged part, the answers and the table of `benchmarks/study_rivals.py`."""

import csv
import io

import pytest
from scipy import stats

from poc.benchmarks.rival_programs import PROGRAMS, Plan
from poc.benchmarks.rival_tables import (
    JUDGED,
    OPEN,
    Effort,
    Result,
    copy_parts,
    count_code_lines,
    draw_split,
    list_photos,
    pool_accuracy,
    pool_difference,
    read_answers,
    shorten,
    write_csv,
    write_table,
)
from poc.benchmarks.study_rivals import call, turn
from poc.shared.errors import UsageError

PHOTOS = {"cat": [f"{n}.jpg" for n in range(10)], "dog": [f"{n}.jpg" for n in range(20)]}


def result(answers, seed=0, program="study"):
    return Result(seed=seed, program=program, seconds=3.0, file_bytes=2_000_000, answers=answers)


def test_a_split_takes_its_share_of_each_class():
    parts = draw_split(PHOTOS, 0.3, 1)
    judged = [photo for photo, part in parts.items() if part == JUDGED]
    assert sorted(photo.partition("/")[0] for photo in judged) == ["cat"] * 3 + ["dog"] * 6
    assert len(parts) == 30
    assert parts == draw_split(PHOTOS, 0.3, 1)
    assert parts != draw_split(PHOTOS, 0.3, 2)


def test_a_class_of_two_is_in_both_parts():
    assert sorted(draw_split({"cat": ["a.jpg", "b.jpg"]}, 0.05, 0).values()) == [JUDGED, OPEN]


def test_parts_are_copied_once(tmp_path):
    source, output = tmp_path / "photos", tmp_path / "split"
    for label, names in PHOTOS.items():
        (source / label).mkdir(parents=True)
        for name in names:
            (source / label / name).write_text(f"{label} {name}")
    (source / "LICENSE").write_text("no photo")
    (source / "cat" / "notes.txt").write_text("no photo")
    photos = list_photos(source)
    assert {label: sorted(names) for label, names in PHOTOS.items()} == photos
    copy_parts(source, draw_split(photos, 0.3, 0), output)
    found = {
        part: {path.relative_to(output / part).as_posix() for path in (output / part).glob("*/*")}
        for part in (OPEN, JUDGED)
    }
    assert len(found[JUDGED]) == 9
    assert len(found[OPEN]) == 21
    assert not found[OPEN] & found[JUDGED]
    # A second call changes nothing, whatever it would draw.
    copy_parts(source, draw_split(photos, 0.3, 1), output)
    assert {p.relative_to(output / JUDGED).as_posix() for p in output.glob("judged/*/*")} == (
        found[JUDGED]
    )


def test_answers_are_found_by_class_and_name():
    text = "file,label,probability\n/any/where/cat/1.jpg,dog,0.9\ndog/2.jpg,dog,0.8\n"
    answers = read_answers(text, ["cat/1.jpg", "cat/2.jpg", "dog/2.jpg"])
    assert answers == {"cat/1.jpg": "dog", "cat/2.jpg": "", "dog/2.jpg": "dog"}
    # A photo without an answer is wrong.
    assert result(answers).hits == {"cat/1.jpg": False, "cat/2.jpg": False, "dog/2.jpg": True}


def test_an_answer_to_another_photo_is_an_error():
    with pytest.raises(ValueError, match=r"Got a row of 'cat/9\.jpg'"):
        read_answers("file,label\nopen/cat/9.jpg,cat\n", ["cat/1.jpg"])


def test_lines_of_code_are_those_that_do_something():
    texts = '"""Text.\n\nMore text.\n"""\n\n# A comment.\n'
    code = 'value = (\n    1\n)\n\n\ndef f():\n    """Text."""\n    return """a\nb"""\n'
    # value, 1, ), def, return, b.
    assert count_code_lines(texts + code) == 6


def test_a_photo_of_several_splits_counts_once():
    """Wilson's interval of 3 right of 4 is 0.301 to 0.954, judged once or twice."""
    answers = {"cat/1": "cat", "cat/2": "cat", "cat/3": "cat", "dog/1": "cat"}
    once = pool_accuracy([result(answers)])
    assert once == pool_accuracy([result(answers), result(answers, seed=1)])
    assert once[0] == 0.75
    assert once[1] == pytest.approx((0.3006, 0.9544), abs=1e-4)


def test_a_difference_is_that_of_pairs():
    """On photos that are judged once, the interval is that of a paired t-test."""
    mine = result({"a/1": "a", "a/2": "a", "a/3": "b", "b/1": "b", "b/2": "b"})
    theirs = result({"a/1": "b", "a/2": "a", "a/3": "a", "b/1": "a", "b/2": "a"}, program="other")
    difference, interval = pool_difference([mine], [theirs])
    assert difference == pytest.approx(0.4)
    expected = stats.ttest_1samp([1, 0, -1, 1, 1], 0).confidence_interval(0.95)
    assert interval == pytest.approx((expected.low, expected.high))
    assert pool_difference([mine], [result(theirs.answers, seed=1)]) is None


def test_photos_in_several_splits_are_no_independent_ones():
    """The same answers in two splits leave the interval; as many other photos make it narrower."""
    pairs = {"a/1": "a", "a/2": "a", "a/3": "b", "b/1": "b"}
    others = {"a/1": "b", "a/2": "a", "a/3": "a", "b/1": "a"}
    once = pool_difference([result(pairs)], [result(others)])
    twice = pool_difference(
        [result(pairs), result(pairs, seed=1)], [result(others), result(others, seed=1)]
    )
    assert twice[0] == once[0]
    assert twice[1] == pytest.approx(once[1])
    more = {f"{photo}0": label for photo, label in pairs.items()}
    other_more = {f"{photo}0": label for photo, label in others.items()}
    wide = pool_difference([result(pairs | more)], [result(others | other_more)])
    assert wide[1].high - wide[1].low < once[1].high - once[1].low


def test_the_csv_has_a_line_per_program_and_split():
    failed = Result(seed=1, program="keras", seconds=2.0, note="no memory, sorry")
    text = write_csv([result({"a/1": "a", "b/1": "a"}), failed], {0: 2, 1: 2})
    first, second = csv.DictReader(io.StringIO(text))
    assert first["accuracy"] == "0.5000"
    assert (first["right"], first["judged"]) == ("1", "2")
    assert (second["accuracy"], second["note"]) == ("", "no memory, sorry")


def test_the_table_names_what_failed_and_what_did_not_run():
    rows = [
        result({"a/1": "a", "a/2": "a"}),
        result({"a/1": "a", "a/2": "b"}, program="keras"),
        Result(seed=0, program="torch", seconds=1.0, note="Traceback:\nOSError: a|b"),
    ]
    efforts = {
        "study": Effort(commands=2, lines=0),
        "keras": Effort(commands=2, lines=70),
        "torch": Effort(commands=2, lines=90),
    }
    lines = write_table(rows, efforts, {"autogluon": "does not install"}).splitlines()
    assert lines[2].startswith("| study | 1.000 [0.342, 1.000] | - | 1.00 | 3 | 2.0 | 2 | 0 |")
    assert "| -50.0 [-685.3, +585.3] |" in lines[3]
    assert "failed: OSError: a/b" in lines[4]
    assert "not run: does not install" in lines[5]
    # Each row has as many cells as the header.
    assert {line.count("|") for line in lines} == {9}


def test_a_long_reason_is_cut():
    assert shorten("x" * 500) == "x" * 119 + "…"


def test_every_program_names_its_files(tmp_path):
    plan = Plan(photos=tmp_path, weights=tmp_path, output=tmp_path, budget="5m", seeds=1)
    assert plan.seconds == 300.0
    with pytest.raises(UsageError, match="Expected a number with its unit"):
        _ = Plan(photos=tmp_path, weights=tmp_path, output=tmp_path, budget="5", seeds=1).seconds
    assert next(iter(PROGRAMS)) == "study"
    assert all(program.effort.commands == 2 for program in PROGRAMS.values())
    assert PROGRAMS["keras-mobilenet"].effort.lines > 40


def test_programs_take_turns():
    assert turn(["a", "b", "c"], 4) == ["b", "c", "a"]


def test_a_program_without_an_end_is_ended(tmp_path):
    log = tmp_path / "log"
    assert call(["true"], log, 5.0) == ""
    assert call(["sh", "-c", "echo no room; exit 3"], log, 5.0) == "no room"
    assert "ended after" in call(["sleep", "30"], log, 0.2)
