"""Results that calls of the Python API return: a trained run, a comparison of both frameworks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from poc.shared.actions.new_images.labels import name_answers
from poc.shared.analysis.runs.predictions import read_predictions
from poc.shared.engine.folder.record import RunRecord
from poc.shared.engine.folder.run_folder import RunFolder
from poc.shared.engine.numerics.metrics import probabilities


@dataclass(frozen=True, kw_only=True, eq=False)
class RunResult:
    """A trained run: its folder, and the content of the folder, read when it is asked for.

    Attributes:
        folder: The run folder, as `poc.load_model`, `poc.predict` and `poc report` take it.
        row: The run's row of the comparison table, a pandas Series: `test_accuracy` (0 to 1, with
            `test_accuracy_low` and `test_accuracy_high`, a 95 % interval), `total_parameters`,
            `macs` (multiply-adds of an image), `total_seconds`, `peak_memory_bytes` and more.
        notes: Sentences about choices that were made for the user, such as a size of the images.
    """

    folder: Path
    row: pd.Series
    notes: Sequence[str] = ()

    @classmethod
    def of_row(cls, row: Mapping[str, object], notes: Sequence[str] = ()) -> Self:
        """Return the result of a run whose summary is `row`."""
        # Its content is read later, perhaps after a change of the current folder.
        folder = Path(str(row["folder"])).absolute()
        return cls(folder=folder, row=pd.Series(dict(row), dtype=object), notes=tuple(notes))

    @cached_property
    def history(self) -> pd.DataFrame:
        """Return one row per epoch: `epoch`, `train/loss`, `val/accuracy` and more.

        Losses are means over examples; accuracies are from 0 to 1, times in seconds.

        Raises:
            UsageError: A line of `metrics.jsonl` is damaged.
        """
        return pd.DataFrame(RunFolder(self.folder).read_metrics())

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Return the classes in the order of the logits."""
        return RunRecord.read(self.folder).class_names

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """Return the answers for the test part, one row per image; None without a test part.

        The columns are `id`, `true` and `label` (class names; several labels of an image are joined
        by `|`), and a probability per class. The
        rows are in the order of the ids.

        Raises:
            UsageError: `predictions.npz` is damaged.
        """
        found = read_predictions(self.folder, len(self.class_names))
        if found is None:
            return None
        true = name_answers(found.labels, self.class_names)
        lead = {"id": [str(name) for name in found.ids], "true": true}
        return probability_frame(found.logits, self.class_names, lead, found.predicted)


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """The same run in both frameworks.

    Attributes:
        runs: The runs, TensorFlow's first.
        parity: One row per rung of the parity ladder, with `name`, `worst` (the tensor that differs
            most), `error` and `tolerance` (relative), `verdict` and more; empty if it was not
            climbed.
        failure: The fault of the first rung that is not passed; None if all are.
        verdict: Sentences that say if the runs show a difference of the frameworks.
        notes: As of `RunResult`.
    """

    runs: tuple[RunResult, ...]
    parity: pd.DataFrame
    failure: str | None
    verdict: str
    notes: Sequence[str] = ()

    @property
    def table(self) -> pd.DataFrame:
        """Return one row per framework, with the columns of `RunResult.row`."""
        return pd.DataFrame([run.row.to_dict() for run in self.runs])


def probability_frame(
    logits: NDArray[np.floating],
    class_names: Sequence[str],
    lead: Mapping[str, Sequence[object]],
    answers: NDArray[np.int64],
) -> pd.DataFrame:
    """Return a table with a row per image: `lead`, `label`, and a probability per class.

    A class that is named like a column before it has the column `class NAME`.

    Args:
        logits: (N, num_classes).
        class_names: Classes in the order of the logits.
        lead: First columns, N values each.
        answers: (N,) position of the class in `label`, or (N, num_classes), 1 for each label.
    """
    first = {**lead, "label": name_answers(answers, class_names)}
    names = [f"class {name}" if name in first else name for name in class_names]
    shares = probabilities(logits, is_multi_label=answers.ndim == 2)
    return pd.concat([pd.DataFrame(first), pd.DataFrame(shares, columns=names)], axis=1)
