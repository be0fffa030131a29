"""The model of images and seeds: by hand, against a slow reference, and over simulated studies."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from poc.shared.analysis.statistics.differences import Difference, Remedy, round_up
from poc.shared.analysis.statistics.intervals import mcnemar
from poc.shared.analysis.statistics.uncertainty import (
    MIDDLE_SHARE,
    PAGE_SCATTER,
    ROW_SCATTER,
    SHARES,
    Evidence,
    SeedModel,
    add_groups,
    solve_reach,
    tail,
    weigh_accuracies,
    weigh_answers,
    widen,
    widen_for_few,
)
from poc.shared.engine.numerics.metrics import Z_95, wilson_interval

NO_SEEDS = np.eye(len(SHARES))[0]


def load_benchmark() -> ModuleType:
    """`benchmarks/verdicts.py`, which lies outside the package."""
    path = Path(__file__).parents[4] / "benchmarks" / "verdicts.py"
    spec = importlib.util.spec_from_file_location("verdicts_benchmark", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def draw(seed: int, num_seeds: int, num_images: int, accuracy: float = 0.8) -> np.ndarray:
    """(S, N) answers, half of them the same for all seeds."""
    random = np.random.default_rng(seed)
    ease = random.random(num_images)
    own = random.random((num_seeds, num_images))
    return np.where(random.random(num_images) < 0.5, ease, own) < accuracy


def test_evidence_by_hand() -> None:
    """Two seeds, four images: shares 1, .5, .5, .5; runs 1 and .25; squares .1875 and .28125."""
    found = weigh_answers(np.array([[1, 1, 1, 1], [1, 0, 0, 0]], dtype=bool))
    unit = 4 * 0.625 * 0.375 + 0.25
    rest = 2 * (1.875 / 2 - 0.1875) - 4 * 0.28125 + 0.25
    assert found.mean == 0.625
    assert found.design_effect == pytest.approx((0.1875 + 0.25) / unit)
    assert found.scatter == pytest.approx(4 * 0.28125 / unit)
    assert found.noise == pytest.approx(rest / 4 / unit)
    assert found.noise_share == pytest.approx(0.1875 / unit)


def test_one_seed_is_one_answer_an_image() -> None:
    assert weigh_answers(np.array([[1, 0, 1, 1]], dtype=bool)) == Evidence(0.75, 4, 1)
    assert weigh_accuracies([0.75], 4) == Evidence(0.75, 4, 1)


def test_accuracies_alone_leave_all_that_was_seen_to_the_seeds() -> None:
    """Variance .02 of (.6, .8), and a quarter of an image squared, in units of .21."""
    found = weigh_accuracies([0.6, 0.8], 100)
    assert (found.design_effect, found.noise) == (1.0, 0.0)
    assert found.scatter == pytest.approx((0.02 + 0.25 / 1e4) / (0.21 + 0.25 / 100))


def test_widened_by_z_squared_over_n_is_wilsons_interval() -> None:
    assert widen(390 / 624, Z_95**2 / 624) == pytest.approx(wilson_interval(390, 624))
    assert widen(1.0, Z_95**2 / 10) == pytest.approx(wilson_interval(10, 10))


def test_the_reach_of_one_normal_law_is_z() -> None:
    assert solve_reach(np.array([4.0]), np.array([1.0]), 0.05) == pytest.approx(2 * Z_95, rel=1e-6)
    assert tail(2 * Z_95, np.array([4.0]), np.array([1.0])) == pytest.approx(0.05)


def reference_posterior(rows: list[Evidence]) -> tuple[list[np.ndarray], np.ndarray]:
    """Posterior of each row, and of the first two together, by sums over every combination."""
    size = len(SHARES)

    def lognormal(middle: float, scatter: float) -> list[float]:
        values = [math.exp(-((math.log(k / middle) / scatter) ** 2) / 2) for k in SHARES]
        return [value / sum(values) for value in values]

    def density(row: Evidence, share: float) -> float:
        """Of the scatter, chi-squared with S - 1 degrees of freedom, factors of it left out."""
        expected = share**2 + row.noise
        freedom = row.num_runs - 1
        return expected ** (-freedom / 2) * math.exp(-freedom * row.scatter / expected / 2)

    page = lognormal(MIDDLE_SHARE, PAGE_SCATTER)
    single = [np.zeros(size) for _ in rows]
    pair = np.zeros((size, size))
    for weight, middle in zip(page, SHARES, strict=True):
        prior = lognormal(middle, ROW_SCATTER)
        tables = [
            np.array([p * density(row, k) for p, k in zip(prior, SHARES, strict=True)])
            for row in rows
        ]
        for index, table in enumerate(tables):
            others = math.prod(other.sum() for place, other in enumerate(tables) if place != index)
            single[index] += weight * table * others
        rest = math.prod(table.sum() for table in tables[2:])
        pair += weight * np.outer(tables[0], tables[1]) * rest
    return [values / values.sum() for values in single], pair / pair.sum()


def test_the_posterior_is_that_of_the_slow_reference() -> None:
    rows = [weigh_answers(draw(seed, count, 300)) for seed, count in enumerate((3, 1, 2))]
    model = SeedModel(rows)
    single, pair = reference_posterior(rows)
    for index, values in enumerate(single):
        assert model.of_row(index) == pytest.approx(values, abs=1e-12)
    assert model.of_pair(0, 1) == pytest.approx(pair, abs=1e-12)


def test_seeds_far_apart_widen_their_own_row_most_and_the_other_rows_too() -> None:
    calm = weigh_answers(draw(0, 3, 1000))
    wild = weigh_answers(np.stack([draw(1, 1, 1000, a)[0] for a in (0.6, 0.75, 0.9)]))
    alone, beside = SeedModel([calm, calm]), SeedModel([calm, wild])
    assert beside.seed_deviation(0) > 1.2 * alone.seed_deviation(0)
    assert beside.seed_deviation(1) > 2 * beside.seed_deviation(0)


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.tuples(st.integers(1, 4), st.floats(0, 1)), min_size=1, max_size=4),
    st.integers(1, 400),
)
def test_an_interval_holds_its_mean_and_is_wider_than_the_images_alone_ask_for(
    seed: int, rows: list[tuple[int, float]], num_images: int
) -> None:
    model = SeedModel(
        [weigh_answers(draw(seed + i, s, num_images, a)) for i, (s, a) in enumerate(rows)]
    )
    for index, row in enumerate(model.rows):
        low, high = model.interval(index)
        assert 0 <= low <= row.mean + 1e-12
        assert row.mean - 1e-12 <= high <= 1
        images = widen(row.mean, Z_95**2 * row.design_effect / num_images)
        assert high - low >= images.high - images.low - 1e-9


@pytest.mark.parametrize("accuracy", [0.0, 0.5, 0.7, 0.9, 1.0])
def test_two_seeds_on_65_images_are_within_a_fifth(accuracy: float) -> None:
    """The old rule printed 0.000 to 1.000 where the two accuracies lay ten points apart."""
    answers = np.stack([draw(3, 1, 65, accuracy)[0], draw(3, 1, 65, accuracy - 0.1)[0]])
    low, high = SeedModel([weigh_answers(answers)]).interval(0)
    assert (high - low) / 2 < 0.2


def difference(first: np.ndarray, second: np.ndarray, weights: np.ndarray | None = None):
    rows = (weigh_answers(first), weigh_answers(second))
    joint = SeedModel(list(rows)).of_pair(0, 1) if weights is None else weights
    return Difference(rows, joint, first.mean(axis=0) - second.mean(axis=0))


def test_without_seeds_the_p_value_is_mcnemars_normal_form() -> None:
    """30 images against 12: z = 18 / sqrt(42); the seeds' smallest share adds next to nothing."""
    index = np.arange(500)
    first, second = index < 430, (index >= 30) & (index < 442)
    test = mcnemar(first, second)
    assert (test.only_first, test.only_second) == (30, 12)
    found = difference(first[None], second[None], np.outer(NO_SEEDS, NO_SEEDS))
    normal = math.erfc(18 / math.sqrt(42) / math.sqrt(2))
    assert found.p_value == pytest.approx(normal, rel=0.05)
    assert found.p_value == pytest.approx(test.p_value, rel=0.5)


def test_the_seeds_part_of_a_difference_by_hand() -> None:
    """Equal answers but for 8 of 100 images, one known share: 64 / 1e4 and two shares' squares."""
    index = np.arange(100)
    first, second = (index < 80)[None], (index < 72)[None]
    place = int(np.argmin(abs(SHARES - 0.03)))
    weights = np.zeros((len(SHARES), len(SHARES)))
    weights[place, place] = 1.0
    found = difference(first, second, weights)
    answers = 0.76 * 0.24 + 0.25 / 100
    deviation = math.sqrt(8 / 100**2 + answers * 2 * SHARES[place] ** 2)
    assert found.value == pytest.approx(0.08)
    assert found.p_value == pytest.approx(math.erfc(0.08 / deviation / math.sqrt(2)))
    assert found.reach(0.05) == pytest.approx(Z_95 * deviation, rel=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(5, 300), st.floats(0.001, 0.5))
def test_a_difference_is_past_its_reach_exactly_where_p_is_below_the_level(
    seed: int, num_seeds: int, num_images: int, level: float
) -> None:
    found = difference(draw(seed, num_seeds, num_images), draw(seed + 1, 2, num_images, 0.7))
    assert (abs(found.value) > found.reach(level)) == (found.p_value < level)
    assert 0 < found.p_value <= 1


def test_equal_answers_are_settled_by_nothing() -> None:
    answers = draw(0, 2, 200)
    found = difference(answers, answers)
    assert found.p_value == 1.0
    assert found.find_remedy(0.05) == Remedy()


def test_a_remedy_is_the_smallest_that_is_enough() -> None:
    found = difference(draw(0, 3, 200, 0.85), draw(1, 3, 200, 0.78))
    remedy = found.find_remedy(0.05)
    assert remedy.images is not None
    assert remedy.seeds is not None
    assert found.is_settled(0.05, 1 + remedy.images / 200, 0)
    assert not found.is_settled(0.05, 1 + 0.8 * remedy.images / 200, 0)
    assert found.is_settled(0.05, 1.0, remedy.seeds)
    assert not found.is_settled(0.05, 1.0, remedy.seeds - 1)


def test_a_single_seed_needs_seeds_before_images() -> None:
    """Four points, one seed each, 10,000 images: a thousandfold of images would not show it."""
    found = difference(draw(0, 1, 10_000, 0.80), draw(1, 1, 10_000, 0.76))
    remedy = found.find_remedy(0.05)
    assert remedy.images is None
    assert remedy.seeds is not None
    assert 1 <= remedy.seeds <= 10


def test_numbers_are_rounded_up() -> None:
    found = [round_up(count) for count in (1, 10, 11, 33, 420, 451, 12_345)]
    assert found == [1, 10, 15, 35, 450, 500, 15_000]


@pytest.mark.slow
@pytest.mark.parametrize(("num_seeds", "num_images"), [(1, 1000), (2, 65), (3, 200), (5, 1000)])
def test_simulated_studies_keep_what_the_page_promises(num_seeds: int, num_images: int) -> None:
    """300 pages of each kind; bounds are the promise and two standard errors of this many."""
    benchmark = load_benchmark()
    (cell,) = benchmark.simulate((benchmark.judge,), num_seeds, num_images, 300)
    assert 0.92 <= cell.coverage <= 0.985
    assert cell.false_rate <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)
    assert cell.false_rate_beside <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 300)
    assert cell.half_width < 0.2


def test_a_few_studies_keep_it_and_the_old_rule_does_not() -> None:
    """One seed: the old interval left the seed out. Two seeds: it was wider than a fifth."""
    benchmark = load_benchmark()
    rules = (benchmark.judge, benchmark.judge_by_the_old_rule)
    new, old = benchmark.simulate(rules, 1, 1000, 60)
    assert new.coverage >= 0.92
    assert new.false_rate <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 60)
    assert old.coverage < 0.9
    assert old.false_rate > 0.15
    new, old = benchmark.simulate(rules, 2, 65, 60)
    assert 0.9 <= new.coverage <= 0.99
    assert new.half_width < 0.12
    assert old.coverage > 0.98
    assert old.half_width > 0.18


def test_groups_of_one_image_change_little() -> None:
    """Only Student's law of 300 groups is left in the design effect."""
    answers = draw(3, 4, 300)
    plain, grouped = weigh_answers(answers), weigh_answers(answers, np.arange(300))
    assert grouped.design_effect == pytest.approx(plain.design_effect, rel=0.02)
    assert grouped.noise == pytest.approx(plain.noise, rel=0.02)
    assert grouped.scatter == plain.scatter


def test_images_of_a_group_that_agree_count_once() -> None:
    """Each image four times, in one group: the variance is that of the images alone."""
    answers = draw(4, 3, 100)
    once = weigh_answers(answers, np.arange(100))
    often = weigh_answers(np.repeat(answers, 4, axis=1), np.repeat(np.arange(100), 4))
    of_one = once.design_effect / once.num_images
    assert often.design_effect / often.num_images == pytest.approx(of_one, rel=0.02)


def test_few_groups_take_students_law() -> None:
    """Ten equal groups: t of 9 degrees of freedom, 2.262, over 1.960, squared, times 10 / 9."""
    groups = np.repeat(np.arange(10), 7)
    assert widen_for_few(groups, 0.05) == pytest.approx((2.2622 / 1.96) ** 2 * 10 / 9, rel=1e-4)
    assert widen_for_few(np.arange(10**5), 0.05) == pytest.approx(1, abs=1e-4)


def test_a_large_group_makes_the_others_count_less() -> None:
    """Sizes 9, 1, 1, 1 are worth 144 / 84 = 1.7 equal groups, of which two is the least."""
    groups = np.array([0] * 9 + [1, 2, 3])
    assert widen_for_few(groups, 0.05) == widen_for_few(np.array([0, 1]), 0.05)


def test_sums_of_groups() -> None:
    values = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert add_groups(values, np.array([1, 0, 1])).tolist() == [[2.0, 4.0], [5.0, 10.0]]
    assert add_groups(values, None) is values


def test_a_difference_within_groups_is_less_certain() -> None:
    """Images of a patient that all change sides together are one observation."""
    rows = (Evidence(0.8, 400, 10**6), Evidence(0.7, 400, 10**6))
    random = np.random.default_rng(0)
    paired = np.repeat(np.where(random.random(40) < 0.3, random.choice([-1.0, 1.0], 40), 0.0), 10)
    paired += 0.1 - paired.mean()
    weights = np.outer(NO_SEEDS, NO_SEEDS)
    alone = Difference(rows, weights, paired)
    grouped = Difference(rows, weights, paired, np.repeat(np.arange(40), 10))
    assert alone.p_value < 0.001
    assert grouped.p_value > 0.05
