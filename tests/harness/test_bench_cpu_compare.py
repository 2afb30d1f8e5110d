"""Two runs compared: what is slower for sure, what only drifted, what cannot be told; and runs that do not fit."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from freewalk.harness.base.errors import UsageError
from freewalk.harness.bench.cpu.compare import (
    ALPHA,
    Comparison,
    check_same_processor,
    compare,
    main,
    markdown,
    read_samples,
)

Runs = dict[tuple[str, str], list[float]]


def run(seed: int, *, drift: float = 1.0, n: int = 15, **factors: float) -> Runs:
    """Make up a run: steps of 1 to 2 ms with 3 % of noise, all slower by a drift, one by a factor of its own."""
    random = np.random.default_rng(seed)
    names = {"freewalk": 1e-3, "generator": 5e-4, "jax": 9e-3, "numpy": 12e-3}
    found = {}
    for name, seconds in names.items():
        spread = 1 + 0.03 * random.standard_normal(n)
        found["default", name] = (drift * seconds * factors.get(name, 1.0) * spread).tolist()
    return found


def verdicts(old: Runs, new: Runs) -> dict[str, str]:
    return {row.implementation: row.verdict for row in compare(old, new)}


def test_the_same_is_the_same_whatever_the_machine_s_mood() -> None:
    for seed in range(20):
        found = verdicts(run(seed), run(seed + 100, drift=1.0 + 0.1 * (seed % 5)))
        assert found == {"freewalk": "same", "generator": "same", "jax": "same"}


def test_a_regression_is_found_through_the_drift() -> None:
    rows = {row.implementation: row for row in compare(run(0), run(1, drift=0.8, freewalk=1.25, jax=1.5))}
    ours = rows["freewalk"]
    assert ours.verdict == "slower"
    assert ours.is_regression
    assert ours.normalised
    assert ours.ratio == pytest.approx(1.25, rel=0.05)
    assert ours.new_ms == pytest.approx(1.0, rel=0.05)
    assert (rows["jax"].verdict, rows["jax"].is_regression) == ("slower", False)
    assert rows["generator"].verdict == "same"


def test_what_is_sure_but_small_does_not_count_nor_what_is_large_but_not_sure() -> None:
    assert verdicts(run(0), run(1, freewalk=1.06))["freewalk"] == "same"
    assert verdicts(run(0, n=4), run(1, n=4, freewalk=1.5))["freewalk"] == "same"  # 1 / 70 is the least p there
    assert verdicts(run(0, n=3), run(1, n=3, freewalk=1.5))["freewalk"] == "too few"
    assert verdicts(run(0), run(1, freewalk=0.7))["freewalk"] == "faster"


def test_p_is_that_of_the_quotients() -> None:
    old, new = run(0), run(1, freewalk=1.2)
    quotients = [
        np.array(samples["default", "freewalk"]) / np.array(samples["default", "numpy"]) for samples in (new, old)
    ]
    (row,) = [row for row in compare(old, new) if row.implementation == "freewalk"]
    assert row.p == pytest.approx(stats.mannwhitneyu(*quotients, alternative="greater").pvalue)


def test_holm_asks_more_of_many() -> None:
    """Of one comparison, 5 against 5 can be sure (1 / 252); of ten, no longer."""
    old = {(str(k), "freewalk"): [1.0, 1.01, 1.02, 1.03, 1.04] for k in range(10)}
    new = {key: [2 * value for value in values] for key, values in old.items()}
    one = ("0", "freewalk")
    assert ALPHA > 1 / 252
    (row,) = compare({one: old[one]}, {one: new[one]})
    assert (row.verdict, row.normalised, row.p) == ("slower", False, pytest.approx(1 / 252))
    assert {row.verdict for row in compare(old, new)} == {"same"}


def test_rounds_that_only_one_of_the_two_has_do_not_count() -> None:
    old, new = run(0), run(1)
    old["default", "numpy"] = old["default", "numpy"][:6]
    new["default", "numpy"] = new["default", "numpy"][:6]
    new["default", "freewalk"][6:] = [1.0] * 9
    assert verdicts(old, new)["freewalk"] == "same"
    assert ("gone", "freewalk") not in {(row.workload, row.implementation) for row in compare(old, new)}


def write(folder: Path, samples: Runs, model: str = "this") -> Path:
    folder.mkdir()
    with (folder / "samples.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["schema_version", "workload", "implementation", "round", "seconds_a_step"])
        for (workload, name), values in samples.items():
            writer.writerows([1, workload, name, k, repr(value)] for k, value in enumerate(values))
    (folder / "environment.json").write_text(json.dumps({"cpu": {"model": model}}))
    return folder


def test_samples_are_read_as_they_were_written(tmp_path: Path) -> None:
    samples = run(0)
    assert read_samples(write(tmp_path / "a", samples)) == samples


def test_runs_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere: has no samples\.csv"):
        read_samples(tmp_path / "nowhere")
    empty = write(tmp_path / "empty", {})
    with pytest.raises(UsageError, match="cut short"):
        read_samples(empty)
    (empty / "samples.csv").write_text("workload,implementation,seconds_a_step\na,b,fast\n")
    with pytest.raises(UsageError, match="damaged"):
        read_samples(empty)
    (empty / "samples.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="damaged"):
        read_samples(empty)
    check_same_processor(empty, "this")
    with pytest.raises(UsageError, match="was run on 'this', this is 'that'"):
        check_same_processor(empty, "that")
    (empty / "environment.json").write_text("[]")
    with pytest.raises(UsageError, match=r"no readable environment\.json"):
        check_same_processor(empty, "this")


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, same, slow = (
        str(write(tmp_path / name, samples))
        for name, samples in (("old", run(0)), ("same", run(1)), ("slow", run(2, freewalk=1.4)))
    )
    assert main([old, same]) == 0
    assert "0 slower, 0 faster, 3 same" in capsys.readouterr().out
    assert main([old, slow]) == 1
    assert "1 slower" in capsys.readouterr().out
    assert main([old]) == 2
    assert "usage" in capsys.readouterr().err
    assert main([old, "nowhere"]) == 2
    assert "has no samples.csv" in capsys.readouterr().err


def test_the_page_s_section_begins_with_what_changed() -> None:
    fixed: Any = (1.0, 2.0, 1.5, True, 1e-6)
    rows = [Comparison("w", "freewalk", *fixed, "same"), Comparison("w", "generator", *fixed, "slower")]
    page = markdown(rows, "runs/old")
    assert page.startswith("## Compared with runs/old: 1 slower, 0 faster, 1 same")
    assert page.index("generator") < page.index("| freewalk")
    assert "Mann-Whitney" in page
