"""`check_estimator` on estimators as people write them: each planted fault is named, and right ones are not blamed."""

import doctest
from typing import Any

import numpy as np
import pytest
from planted_estimators import (
    OWN,
    PLANTED,
    RIGHT,
    SQUARE,
    STDDEV,
    Planted,
    coarse,
    in_place,
    low_rank,
    normal,
    of_arrays,
    one_sided,
    orthogonal,
    own_forward_gradient,
    quadratic,
    ranks,
    shaped,
    signs,
    sphere,
    spsa,
    two_sided,
)

from freewalk.harness.estimates.checking import check
from freewalk.harness.estimates.checking.check import check_estimator
from freewalk.harness.estimates.checking.probes import Probe


@pytest.fixture
def unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the sight of the loss's calls away, as a compiled estimator does."""
    monkeypatch.setattr(Probe, "_write_down", lambda self, points, values: None)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_is_named_and_no_other(name: str) -> None:
    planted = PLANTED[name]
    report = check_estimator(planted.estimator, **{"calls": 100, **planted.options})
    assert not report.passed
    (fault,) = report.faults
    assert fault.kind == planted.kind, fault.sentence
    assert planted.words in fault.sentence
    assert f"fault: {fault.sentence}" in str(report)


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_estimator_is_not_blamed(name: str) -> None:
    estimator, options = RIGHT[name]
    for seed in range(5):
        report = check_estimator(estimator, seed=seed, calls=25, **options)
        assert report.passed, f"seed {seed}: {report}"


def test_faults_are_found_at_other_seeds_and_weights() -> None:
    for seed in range(5):
        weights = np.random.default_rng(seed).standard_normal((4 + seed, 7))
        report = check_estimator(two_sided(factor=STDDEV), weights, seed=seed, calls=60)
        assert report.faults[0].sentence.endswith("which is stddev: divide by stddev once more")


def test_what_was_measured_and_seen() -> None:
    report = check_estimator(two_sided(signs, k=3), stddev=STDDEV)
    low, high = report.slope_interval
    assert low < report.slope < high
    assert low < 1 < high
    low, high = report.second_moment_interval
    assert low < report.second_moment < high
    assert low < 32 / 3 < high
    assert report.expected == pytest.approx((3 - 1 + 30) / 3)
    seen = report.observed
    assert (seen.perturbations, seen.sides, seen.rank, seen.noise, seen.orthogonal) == (
        3,
        "two",
        None,
        "rademacher",
        False,
    )
    assert seen.stddev == pytest.approx(STDDEV)
    assert report.evaluations == seen.evaluations == 6
    assert report.as_dict()["passed"] is True
    assert "3 rademacher perturbations of standard deviation 0.01, two-sided, 6 evaluations each" in str(report)


@pytest.mark.parametrize(
    ("estimator", "expected", "rank", "noise", "orthogonal"),
    [
        (one_sided(), (4 - 1 + 32) / 4, None, "gaussian", False),
        (two_sided(low_rank(1)), (4 - 1 + 56) / 4, 1, "gaussian", False),
        (two_sided(low_rank(2)), (4 - 1 + 7 * 8 / 2 + (1 - 1 / 2) * 32) / 4, 2, "gaussian", False),
        (one_sided(low_rank(2, signs)), (4 - 1 + 31) / 4, 2, "rademacher", False),
        (orthogonal(8), 30 / 8, None, None, True),
        (sphere, 30, None, "sphere", False),
        (spsa, 30, None, "rademacher", False),
    ],
)
def test_the_second_moment_is_what_theory_says(
    estimator: Any, expected: float, rank: int | None, noise: str | None, orthogonal: bool
) -> None:
    report = check_estimator(estimator, calls=600)
    assert report.expected == pytest.approx(expected)
    assert (report.observed.rank, report.observed.orthogonal) == (rank, orthogonal)
    assert noise in (None, report.observed.noise)
    # four standard errors
    low, high = report.second_moment_interval
    assert abs(report.second_moment - expected) < (high - low) + 1e-9


def test_others_as_a_baseline_cost_a_perturbation() -> None:
    losses = one_sided(k=4, baseline=lambda loss, w, losses: (losses.sum() - losses) / 3)
    report = check_estimator(losses, calls=600)
    assert report.expected == pytest.approx(1 + 31 / 3)
    low, high = report.second_moment_interval
    assert abs(report.second_moment - 34 / 3) < high - low


def test_the_weights_are_handed_over_as_copies_of_their_type() -> None:
    weights = {"w": SQUARE.astype(np.float32), "b": np.zeros(3)}
    kinds, before = set(), {name: part.copy() for name, part in weights.items()}

    def spoiling(loss: Any, at: Any, seed: int) -> Any:
        kinds.add((type(at), at["w"].dtype, at["b"].dtype))
        found = of_arrays(one_sided())(loss, at, seed)
        for part in at.values():
            part[...] = np.nan
        return found

    check_estimator(spoiling, weights, calls=20)
    assert kinds == {(dict, np.dtype(np.float32), np.dtype(np.float64))}
    assert all(np.array_equal(part, before[name]) for name, part in weights.items())


def test_the_same_report_whenever_it_is_made() -> None:
    assert check_estimator(one_sided(), calls=40, seed=3) == check_estimator(one_sided(), calls=40, seed=3)


UNSEEN = {
    "sign": Planted(two_sided(k=16, factor=-1), "sign", "the sign is flipped"),
    "stddev": Planted(two_sided(k=16, factor=STDDEV), "factor", "stddev once more", {"stddev": STDDEV}),
    "sum": Planted(two_sided(k=16, factor=16), "factor", "divide by 16", {"perturbations": 16}),
    "rank": Planted(
        two_sided(low_rank(4, root=0), k=16), "factor", "the rank", {"rank": 4, "stddev": STDDEV, "calls": 1000}
    ),
    "baseline": Planted(one_sided(baseline=lambda *_: 0.0), "baseline", "a constant that is added to the loss"),
    "rounding": Planted(coarse(np.float32, 1e-7), "rounding", "when a constant is added"),
    "ranks": Planted(shaped(ranks), "shaping", "shaping='ranks'"),
    "clipping": Planted(two_sided(answer=lambda d: np.clip(d, -1, 1)), "clipping", "clipped"),
    "seed": Planted(lambda loss, w, seed: one_sided()(loss, w, 0), "seed", "the seed is ignored"),
    "not restored": Planted(in_place(restore=0.0), "not restored", "left changed"),
    "transposed": Planted(one_sided(update=lambda z: z.T, k=16), "direction", "or a transpose", {"weights": SQUARE}),
    "a bias forgotten": Planted(
        one_sided(lambda rng, s: normal(rng, s) * [1, 1, 1, 1, 0], k=16), "direction", "of weights", {"calls": 1000}
    ),
    "the same key": Planted(
        two_sided(lambda rng, s: np.random.default_rng(int(rng.bit_generator.seed_seq.entropy)).standard_normal(s)),
        "second moment",
        "not independent",
        {"perturbations": 4, "noise": "gaussian"},
    ),
}


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("name", UNSEEN)
def test_faults_of_an_estimator_whose_perturbations_cannot_be_seen(name: str) -> None:
    planted = UNSEEN[name]
    report = check_estimator(planted.estimator, **planted.options)
    assert report.observed.stddev is None
    assert report.evaluations is None
    kinds = [fault.kind for fault in report.faults]
    assert planted.kind in kinds, kinds
    assert planted.words in report.faults[kinds.index(planted.kind)].sentence
    assert "the perturbations could not be seen" in str(report)


@pytest.mark.usefixtures("unseen")
@pytest.mark.parametrize("name", list(RIGHT)[::3])
def test_a_right_estimator_that_cannot_be_seen_is_not_blamed(name: str) -> None:
    estimator, options = RIGHT[name]
    report = check_estimator(estimator, calls=30, **options)
    assert report.passed, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_right_estimators_are_not_blamed_by_chance(name: str) -> None:
    estimator, options = RIGHT[name]
    for seed in range(5, 20):
        report = check_estimator(estimator, seed=seed, **options)
        assert report.passed, f"seed {seed}: {report}"


def test_estimates_of_ones_own_loss() -> None:
    report = check_estimator(two_sided(), **OWN, calls=400)
    assert report.passed
    assert report.slope == pytest.approx(1, abs=0.2)


def test_a_stddev_that_smooths_the_loss_is_no_fault_of_the_estimator() -> None:
    def steep(w: Any) -> float:
        return float(np.tanh(100 * (w - SQUARE)).sum())

    report = check_estimator(
        two_sided(signs, k=16), loss=steep, gradient=lambda w: np.full((5, 5), 100.0), weights=SQUARE
    )
    (fault,) = report.faults
    assert fault.kind == "smoothing"
    assert fault.value == pytest.approx(np.tanh(1), rel=0.05)
    assert "take a smaller stddev" in fault.sentence


def test_a_gradient_of_another_loss_is_told_from_smoothing() -> None:
    report = check_estimator(
        two_sided(signs, k=16), loss=quadratic, gradient=lambda w: 2 * (w + 1), weights=SQUARE, calls=100
    )
    (fault,) = report.faults
    assert fault.kind == "gradient"
    assert "rises by 0.5 times" in fault.sentence


def test_a_fault_is_named_on_ones_own_loss_too() -> None:
    (fault,) = check_estimator(two_sided(factor=2.0, k=3), **OWN, stddev=STDDEV).faults
    assert "divide a pair's difference by 2 stddev" in fault.sentence


def test_an_estimator_that_takes_no_loss_is_judged_by_its_estimates() -> None:
    def half(loss: Any, w: Any, seed: int) -> Any:
        return own_forward_gradient(loss, w, seed) / 2

    (fault,) = check_estimator(half, **OWN, calls=3000).faults
    assert (fault.kind, fault.value) == ("factor", pytest.approx(0.5, abs=0.1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": 3}, r"estimator must be a function \(loss, weights, seed\), got int"),
        ({"estimator": lambda w: w}, r"estimator must take three arguments: estimator\(loss, weights, seed\)"),
        ({"loss": quadratic}, "loss is given without gradient: give both"),
        ({"gradient": quadratic}, "gradient is given without loss: give both"),
        ({**OWN, "weights": None}, "loss is given without weights"),
        ({**OWN, "loss": lambda w: np.nan}, "the loss is nan at these weights; check at weights where"),
        ({**OWN, "gradient": lambda w: 0 * w}, "the gradient is zero at these weights"),
        ({**OWN, "gradient": lambda w: np.nan * w}, "the gradient is not finite at these weights"),
        ({**OWN, "gradient": lambda w: w[0]}, r"gradient: weights must have shape \(5, 5\), got \(5,\)"),
        ({"calls": 3}, "calls must be at least 20, got 3"),
        ({"stddev": -1.0}, "stddev must be greater than 0, got -1.0"),
        ({"perturbations": 0}, "perturbations must be greater than 0, got 0"),
        ({"shaping": "rank"}, "shaping must be one of none, std, ranks, got 'rank'"),
        ({"weights": []}, "there are no weights to check"),
        ({"weights": {"a": {"b": np.ones(2)}}}, "flatten nested ones"),
        ({"weights": np.array([1.0, np.inf])}, "weights must be finite"),
        ({"estimator": lambda loss, w, seed: w}, "the estimator does not call the loss that it is handed: give loss"),
        (
            {"estimator": lambda loss, w, seed: w * loss(w[0])},
            r"the estimator called the loss with weights of shape \(5,\), not \(6, 5\)",
        ),
    ],
)
def test_bad_input_is_refused_in_a_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        check_estimator(**{"estimator": one_sided(), **arguments})
    assert "\n" not in str(raised.value)


def test_what_an_estimator_raises_comes_through() -> None:
    def broken(loss: Any, w: Any, seed: int) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        check_estimator(broken)


def test_large_weights_are_kept_a_few_at_a_time() -> None:
    report = check_estimator(two_sided(k=2, factor=STDDEV), np.zeros((150, 120)), calls=20)
    assert report.faults[0].sentence.endswith("divide by stddev once more")


def test_the_examples_of_the_docstring() -> None:
    assert doctest.testmod(check).failed == 0
    assert doctest.testmod(check).attempted >= 4
