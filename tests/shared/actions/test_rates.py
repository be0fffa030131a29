"""`poc rates`: both backends see one curve; what is written, refused, and left after a stop."""

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from click.testing import CliRunner

from poc.cli import cli
from poc.shared.actions.rates import describe_rates, describe_sweep, write_folder
from poc.shared.engine.numerics.rate_curve import no_range, plan_rates
from poc.shared.engine.worker.operations import Operations
from poc.shared.spec.reading.config import load_run
from poc.tests.helpers.commands.processes import ONE_THREAD, RUN, stub_environment

SETTINGS = [
    *("method=scratch", "model=lightnet_plain", "model.widths=[4,6]", "model.layer=conv2d"),
    *("split.train_per_class=10", "batch_size=20", "optimizer.learning_rate=0.5"),
    *("sampling=balanced", "train_view.policy=randaugment"),
]
RATES = plan_rates(1e-5, 1e-2, 12)
# The steps before the losses feel how the frameworks round, and the bounds of the ladder.
AGREEMENT = {"float64": 1e-9, "float32": 1e-3}


@pytest.mark.parametrize("precision", AGREEMENT)
def test_both_backends_see_one_curve(precision, workers):
    run = load_run(None, [*SETTINGS, f"precision={precision}"])
    first, second = (
        worker.call(
            Operations.sweep_rates,
            run=run.replace(backend=worker.backend).model_dump(mode="json"),
            learning_rates=RATES,
        )
        for worker in workers
    )
    assert len(first["losses"]) == len(second["losses"]) == len(RATES)
    assert not first["is_diverged"]
    np.testing.assert_allclose(first["losses"], second["losses"], rtol=AGREEMENT[precision])
    assert first["run"] == {**second["run"], "backend": "tf"}


def sweep_of(losses, **changes):
    run = load_run(None, SETTINGS).model_dump(mode="json")
    return {"losses": losses, "is_diverged": True, "stage": "", "run": run, **changes}


def falling(rates, scale=1.0):
    """A fall from 2 to 1 between 1e-4 and 1e-2, and a rise."""
    exponents = np.log10(rates)
    return (scale * np.interp(exponents, [-6, -4, -2, -1, 1], [2, 2, 1, 3, 9])).tolist()


def test_what_is_written(tmp_path):
    rates = plan_rates(1e-6, 10.0, 100)
    swept = {
        "tf": sweep_of(falling(rates)[:90]),
        "torch": sweep_of(falling(rates, 1.01), stage="hint"),
    }
    content = describe_sweep(rates, swept, "poc rates")
    write_folder(tmp_path / "new" / "rates", content)
    names = sorted(path.name for path in (tmp_path / "new" / "rates").iterdir())
    assert names == ["rates.json", "rates_dark.svg", "rates_light.svg"]
    stored = json.loads((tmp_path / "new" / "rates" / "rates.json").read_text())
    assert stored == content
    assert (stored["format"], len(stored["rates"])) == ("poc rates 1", 100)
    assert len(stored["backends"]["tf"]["smoothed"]) == 90
    assert stored["run"]["optimizer"]["learning_rate"] == 0.5
    assert 1e-4 < stored["range"]["low"] < stored["range"]["high"] < 1e-2
    for name in names[1:]:
        root = ET.fromstring((tmp_path / "new" / "rates" / name).read_text())
        assert "Suggested range" in root.attrib["aria-label"]
        assert root.attrib["aria-label"].count("lowest smoothed loss") == 2


def test_what_is_printed_is_a_range_and_where_it_goes():
    rates = plan_rates(1e-6, 10.0, 100)
    swept = {"tf": sweep_of(falling(rates)), "torch": sweep_of(falling(rates))}
    lines = describe_rates(describe_sweep(rates, swept, ""))
    assert lines[0].startswith("tf: ")
    assert "diverges after 10" in lines[1]
    assert "falls fastest" in lines[2]
    assert "Suggested range: " in lines[3]
    assert "--set optimizer.learning_rate=" in lines[3]
    assert "poc sweep --grid optimizer.learning_rate=" in lines[3]
    # No fall in one of them: no range, whatever the other says.
    swept["torch"] = sweep_of([2.0] * 100, is_diverged=False)
    content = describe_sweep(rates, swept, "")
    text = "\n".join(describe_rates(content))
    assert content["range"] == no_range(content["backends"]["torch"]["range"]["reason"])
    assert "no range" in text
    assert "optimizer.learning_rate" not in text


def test_a_sweep_that_diverges_at_once_still_writes_its_picture(tmp_path):
    rates = plan_rates(1e-6, 10.0, 50)
    content = describe_sweep(rates, {"tf": sweep_of([]), "torch": sweep_of([2.0])}, "")
    write_folder(tmp_path / "rates", content)
    assert "diverges at the lowest rates" in "\n".join(describe_rates(content))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "l2t-ww", "--teacher", "TEACHER"], "several updates"),
        (["--set", "accumulation_steps=4"], "one batch per rate"),
        (["--lowest", "0"], "--lowest 0 and --highest 10"),
        (["--lowest", "1", "--highest", "1"], "two rates above 0"),
        (["--highest", "inf"], "--highest inf"),
        (["--lowest", "nan"], "--lowest nan"),
        (["--steps", "10"], "--steps 10"),
        (["--output", "."], "which exists"),
        (["--set", "schedule.nme=cosine"], "schedule.nme"),
        (["--backend", "jax"], "jax"),
    ],
)
def test_refusals_before_a_framework_starts(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").write_text("file")
    monkeypatch.setattr("poc.shared.actions.rates.Worker", None)
    if "TEACHER" in arguments:
        monkeypatch.setattr("poc.shared.actions.requested_run.check_before_data", lambda spec: None)
    found = CliRunner().invoke(cli, ["rates", *arguments])
    assert found.exception is not None
    assert words in str(found.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["some"]


def start(folder, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "poc.cli", "rates", *RUN[:10], *arguments],
        cwd=folder,
        env={**os.environ, **ONE_THREAD, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_command_writes_and_prints_json(tmp_path):
    process = start(tmp_path, "--backend", "torch", "--json", **stub_environment(tmp_path, 0))
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    printed = json.loads(output)
    assert printed == json.loads((tmp_path / "rates" / "rates.json").read_text())
    assert list(printed["backends"]) == ["torch"]
    assert "sweep of the rate" not in output
    again = start(tmp_path, "--backend", "torch", **stub_environment(tmp_path, 0))
    _, errors = again.communicate(timeout=120)
    assert (again.returncode, "which exists" in errors) == (2, True)


def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path):
    environment = stub_environment(tmp_path, 0.2)
    process = start(tmp_path, "--backend", "torch", **environment)
    # Progress is a line in a file: the first one says that the sweep has begun.
    while "sweep of the rate" not in (line := process.stderr.readline()):
        assert line, "the sweep has not begun"
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "writes nothing before its end" in errors
    assert not (tmp_path / "rates").exists()
