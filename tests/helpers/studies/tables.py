"""Tables of results, made by hand or drawn."""

import numpy as np

from poc.shared.analysis.study.costs import Cost
from poc.shared.analysis.study.results import Answers, FinalRun, Results

SMALL, LARGE = (
    Cost(weight_bytes=1e5, latency_seconds=0.002, training_seconds=20.0),
    Cost(weight_bytes=4e7, latency_seconds=0.03, training_seconds=200.0),
)


def answers(prefix, hits):
    """Answers on images `PREFIX 000`, …; `hits` is a list of 0 and 1."""
    hits = np.asarray(hits, dtype=bool)
    return Answers([f"{prefix} {index:04d}" for index in range(len(hits))], hits)


def make_run(candidate, test, validation, framework="torch", **place):
    return FinalRun(
        candidate=candidate,
        framework=framework,
        test=answers("test", test),
        validation=answers("val", validation),
        folder=f"runs/{candidate}-{framework}-{place.get('seed', 0)}",
        **place,
    )


def draw_runs(accuracies, num_images=400, num_seeds=3, frameworks=("tf", "torch"), seed=0):
    """Runs on a holdout. Images are largely equally easy for all; validation has half as many."""
    random = np.random.default_rng(seed)
    runs = []
    ease = random.random(num_images + num_images // 2)
    for candidate, accuracy in accuracies.items():
        for number in range(num_seeds):
            own = random.random(len(ease))
            for framework in frameworks:
                value = accuracy[framework] if isinstance(accuracy, dict) else accuracy
                hits = np.where(own < 0.3, random.random(len(ease)), ease) < value
                runs.append(
                    make_run(
                        candidate,
                        hits[:num_images],
                        hits[num_images:],
                        framework,
                        seed=number,
                    )
                )
    return runs


def make_results(accuracies, costs=None, **options):
    """Results of drawn runs; `costs`: candidate -> cost in both frameworks."""
    keys = ("num_images", "num_seeds", "frameworks", "seed")
    runs = draw_runs(accuracies, **{key: options.pop(key) for key in keys if key in options})
    known = {
        (candidate, framework): cost
        for candidate, cost in (costs or {}).items()
        for framework in ("tf", "torch")
    }
    return Results(runs=runs, costs=known, **options)
