"""The checks of a device: green where it is right, red for each kind of fault."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from bench_standins import Clock, ProcessorAsGpu, Walks
from numpy.typing import NDArray

from freewalk.harness.bench.checks.all import all_checks
from freewalk.harness.bench.checks.cases import CASES, QUICK, Case, random_datapoint
from freewalk.harness.bench.checks.check import Check, Measure, run_checks
from freewalk.harness.bench.checks.noise import lost_near_zero
from freewalk.harness.bench.checks.sweep import Ending, agree
from freewalk.harness.bench.clock import Deadline
from freewalk.harness.bench.rows import CheckRow
from freewalk.kernels.cpu.trial import CpuWalk
from freewalk.kernels.data.task_functions import fill_arrays
from freewalk.kernels.model import noise
from freewalk.kernels.model.noise import normal_from_words
from freewalk.kernels.model.walk import Evaluation, Progress, WalkConfiguration


def run(accelerator: Any, only: str = "", *, quick: bool = True) -> dict[str, CheckRow]:
    checks = [check for check in all_checks(accelerator, quick=quick) if only in check.name]
    return {f"{row.check}: {row.case}": row for row in run_checks(checks, Deadline(math.inf))}


def red(rows: dict[str, CheckRow]) -> set[str]:
    return {row.check for row in rows.values() if row.verdict == "red"}


def test_verdicts() -> None:
    clock = Clock()

    def after(seconds: float, measure: Measure | Exception) -> Callable[[], Measure]:
        def go() -> Measure:
            clock.pass_(seconds)
            if isinstance(measure, Exception):
                raise measure
            return measure

        return go

    checks = [
        Check("a", "within", after(1, Measure("error", 1e-6, 1e-5, "note"))),
        Check("a", "at the bound", after(2, Measure("error", 0.0, 0.0))),
        Check("a", "beyond", after(3, Measure("error", 2e-5, 1e-5))),
        Check("a", "nan", after(0, Measure("error", math.nan, 1e-5))),
        Check("a", "raises", after(4, ValueError("no\n luck"))),
        Check("a", "last", after(1, Measure("error", 0.0, 0.0))),
    ]
    rows = list(run_checks(checks, Deadline(10, clock), clock))
    assert [row.verdict for row in rows] == ["green", "green", "red", "red", "red", "not run"]
    assert [row.seconds for row in rows] == [1, 2, 3, 0, 4, 0]
    assert (rows[0].measured, rows[0].allowed, rows[0].quantity, rows[0].note) == (1e-6, 1e-5, "error", "note")
    assert rows[4].note == "ValueError: no luck"
    assert rows[5].note == "time limit"


def test_a_right_device_is_green() -> None:
    rows = run(ProcessorAsGpu())
    assert {row.verdict for row in rows.values()} == {"green"}, red(rows)
    assert len({row.check for row in rows.values()}) == 6
    assert any(row.measured for row in rows.values()), "nothing was compared with anything else"


def test_the_full_list_covers_what_kernels_branch_on() -> None:
    """Names only: the cases themselves run on a GPU."""
    networks = [case.network for case in CASES]
    assert {n.softmax for n in networks} == {n.sequence_input for n in networks} == {True, False}
    assert {n.sequence_output for n in networks} == {case.masked for case in CASES} == {True, False}
    assert {n.loss for n in networks} == {"mean_squared_error", "categorical_crossentropy"}
    assert {n.hidden_activation for n in networks} == {"sigmoid", "tanh"}
    for name, wanted in (
        ("update", {"raw", "normalised"}),
        ("optimizer", {"sgd", "momentum", "adam"}),
        ("schedule", {"constant", "cosine"}),
        ("sides", {"one", "two"}),
        ("noise", {"gaussian", "rademacher"}),
    ):
        assert {getattr(case.configuration, name) for case in CASES} == wanted
    assert {case.name for case in CASES} >= set(QUICK)
    assert len({case.name for case in CASES}) == len(CASES)
    assert max(n.n_hidden for n in networks) == 1024


def test_random_data_are_uniform_and_of_any_shape() -> None:
    case = next(case for case in CASES if case.name == "softmax, cross-entropy, tanh, sequences")
    data = case.data()
    assert data.datapoint is random_datapoint
    x, y = fill_arrays(
        data.address, 0, seed=1, stream=2, step=3, n_datapoints=5000, timesteps=4, x_shape=(4, 4), y_shape=(4, 3)
    )
    for values, low in ((x, -1.0), (y, 0.0)):
        assert values.min() >= low
        assert values.max() < 1
        # five standard errors of a uniform mean
        np.testing.assert_allclose(values.mean(axis=0), (low + 1) / 2, atol=5 * (1 - low) / math.sqrt(12 * 5000))
        columns = values.reshape(5000, -1)
        assert np.abs(np.corrcoef(columns.T) - np.eye(columns.shape[1])).max() < 0.1


def _normals_of_float32(words: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Return the reference's normals for a radius that went through float32, as every device's does."""
    radius_word, angle_word = words[..., 0::2], words[..., 1::2]
    u = ((radius_word >> np.uint32(1)) | np.uint32(1)).astype(np.float32).astype(np.float64) / 2.0**31
    unit = normal_from_words(words).reshape(*angle_word.shape, 2)
    unit /= np.hypot(unit[..., 0], unit[..., 1])[..., None]
    return (np.sqrt(-2.0 * np.log(u))[..., None] * unit).reshape(words.shape)


class _RadiusOfFloat32(ProcessorAsGpu):
    def unit_noise(self, *arguments: Any) -> Any:
        with mock.patch.object(noise, "normal_from_words", _normals_of_float32):
            return super().unit_noise(*arguments)


def test_the_rounding_of_a_right_device_is_no_fault() -> None:
    """Among so many normals, some have a radius near 0, of which float32 keeps few digits."""
    words = [[2**32 - 1 - k, angle] for k in range(0, 2**16, 37) for angle in (0, 2**29, 2**31 + 7)]
    pairs = np.array(words, np.uint32)
    found, wanted = _normals_of_float32(pairs), normal_from_words(pairs)
    assert np.abs(found - wanted).max() > 1e-4
    assert (np.abs(found - wanted) <= 1.001 * lost_near_zero(wanted)).all()
    assert lost_near_zero(np.array([0.0, 1e-2, -1.0])).tolist() == [2.0**-12, 2.0**-24 / 1e-2, 2.0**-24]
    rows = run(_RadiusOfFloat32(), "normals", quick=False)
    assert {row.verdict for row in rows.values()} == {"green"}, rows


class _OtherSeed(ProcessorAsGpu):
    def unit_noise(self, network: Any, seed: int, step: int, datapoints: Any, noise: Any) -> Any:
        return super().unit_noise(network, seed ^ 1, step, datapoints, noise)


class _NormalsOff(ProcessorAsGpu):
    def unit_noise(self, network: Any, seed: int, step: int, datapoints: Any, noise: Any) -> Any:
        found = super().unit_noise(network, seed, step, datapoints, noise)
        return found if noise == "rademacher" else found + np.float32(1e-4)


class _ShortOfOne(ProcessorAsGpu):
    def unit_noise(self, network: Any, seed: int, step: int, datapoints: Any, noise: Any) -> Any:
        return super().unit_noise(network, seed, step, datapoints, noise)[1:]


@pytest.mark.parametrize(
    ("device", "wanted"),
    [
        (_OtherSeed, {"random words: device = NumPy", "normals: device = NumPy"}),
        (_NormalsOff, {"normals: device = NumPy"}),
        (_ShortOfOne, {"random words: device = NumPy", "normals: device = NumPy"}),
    ],
)
def test_faults_of_the_noise(device: type[ProcessorAsGpu], wanted: set[str]) -> None:
    rows = run(device(), "device = NumPy")
    assert red(rows) == wanted
    if device is _ShortOfOne:
        assert all("ValueError: shape" in row.note for row in rows.values())


class _SlightlyOff(CpuWalk):
    """Its perturbations are a thousandth too large."""

    def __init__(self, network: Any, configuration: WalkConfiguration, data: Any, **options: Any) -> None:
        super().__init__(network, replace(configuration, stddev=configuration.stddev * 1.001), data, **options)


class _MeasuresOff(CpuWalk):
    def evaluate(self) -> Evaluation:
        found = super().evaluate()
        return found._replace(max_error=found.max_error * 1.001)


class _SharesOff(CpuWalk):
    def evaluate(self) -> Evaluation:
        found = super().evaluate()
        return found._replace(row_accuracy=abs(found.row_accuracy - 0.005))


class _OtherStart(CpuWalk):
    def __init__(self, network: Any, configuration: Any, data: Any, *, seed: int, **options: Any) -> None:
        super().__init__(network, configuration, data, seed=seed + 1, **options)


class _LosesAStep(CpuWalk):
    def train(self, n_steps: int) -> Progress:
        return super().train(n_steps - 1)


@pytest.mark.parametrize(
    ("walk", "note"),
    [
        (_SlightlyOff, "of the update"),
        (_MeasuresOff, "of the largest error"),
        (_SharesOff, "of the share of right rows"),
        (_OtherStart, "ValueError: the trial starts with other weights"),
        (_LosesAStep, "ValueError: 3 steps taken instead of 4"),
    ],
)
def test_faults_of_a_trial(walk: type[CpuWalk], note: str) -> None:
    class Device(ProcessorAsGpu):
        pass

    Device.walk = walk
    rows = run(Device(), "trial")
    assert red(rows) == {"trial: device = reference", "batch of trials: device = processor"}
    assert rows["trial: device = reference: 3-30-2, raw"].note == note


class _Jitter(CpuWalk):
    """The last bit of a weight depends on when it was asked for."""

    asked = 0

    @property
    def weights(self) -> NDArray[np.float64]:
        weights = super().weights
        _Jitter.asked += 1
        if _Jitter.asked % 2:
            weights[0, 0] = np.nextafter(weights[0, 0], 1)
        return weights


class _Neighbours(ProcessorAsGpu):
    """In a batch, the first trial sees one bit of how many others there are."""

    def many(self, network: Any, data: Any, trials: Any, **options: Any) -> Walks:
        batch = super().many(network, data, trials, **options)
        inner = batch.weights

        def weights(k: int) -> NDArray[np.float64]:
            found = inner(k)
            found[0, 0] = np.nextafter(found[0, 0], len(trials))
            return found * (1 + 1e-15 * (len(trials) > 1))

        batch.weights = weights  # type: ignore[method-assign]
        return batch


def test_bits_that_change() -> None:
    class Device(ProcessorAsGpu):
        walk = _Jitter

    assert red(run(Device(), "same bits")) == {"same bits"}
    rows = run(_Neighbours(), "same bits")
    assert [name for name, row in rows.items() if row.verdict == "red"] == [
        "same bits: trials of a batch alone = together"
    ]


class _HalfRate(ProcessorAsGpu):
    def many(self, network: Any, data: Any, trials: Any, **options: Any) -> Walks:
        slower = [
            replace(t, configuration=replace(t.configuration, learning_rate=t.configuration.learning_rate / 2))
            for t in trials
        ]
        return super().many(network, data, slower, **options)


def test_a_sweep_that_learns_at_another_pace() -> None:
    rows = run(_HalfRate(), "sweep")
    assert red(rows) == {"sweep: device = processor"}
    (note,) = {row.note for row in rows.values() if "shifted-sums" in row.case}
    assert "reached at 45, reached at 60, reached at 55" in note.split("; ")[1]


@pytest.mark.parametrize(
    ("found", "wanted", "alike"),
    [
        (Ending("reached", 45), Ending("reached", 45), True),
        (Ending("reached", 45), Ending("reached", 50), True),
        (Ending("reached", 45), Ending("reached", 55), False),
        (Ending("reached", 210), Ending("reached", 200), True),
        (Ending("reached", 215), Ending("reached", 200), False),
        (Ending("exhausted", None), Ending("exhausted", None), True),
        (Ending("exhausted", None), Ending("reached", 200), False),
        (Ending("collapsed", None), Ending("exhausted", None), False),
    ],
)
def test_endings(found: Ending, wanted: Ending, alike: bool) -> None:
    assert agree(found, wanted) is alike


def test_adam_has_a_tolerance_of_its_own() -> None:
    allowed = {case.tolerance for case in CASES if case.configuration.optimizer == "adam"}
    assert allowed == {0.05}
    raw = Case("", WalkConfiguration(stddev=0.1, batch_size=1, timesteps=1, optimizer="adam"))
    assert raw.tolerance == 1e-4
