"""Which backend is taken, what is said about it, and what a GPU without kernels for a method means."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commanded import Harness

from freewalk.harness.engine import choice as engines
from freewalk.harness.engine.choice import backend_of, engines_for, note_of
from freewalk.harness.plan.budget import Budget
from freewalk.harness.plan.plan import Plan
from freewalk.kernels import backend as backend_module
from freewalk.kernels.backend import resolve_backend
from freewalk.kernels.cuda import device

BUDGET = Budget(epochs=1, steps_per_epoch=1, evaluation_points=4)
REASON = "there is no such thing: buy one"


@pytest.fixture
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_module, "why_unusable", lambda: REASON)


@pytest.mark.usefixtures("without_gpu")
def test_auto_takes_the_cpu_and_knows_why() -> None:
    backend = resolve_backend("auto")
    assert (backend.name, backend.note) == ("cpu", REASON)
    assert resolve_backend("cpu").note is None
    assert note_of(backend) == f"harness: backend auto computes on the CPU: {REASON}"
    assert note_of(resolve_backend("cpu")) is None


@pytest.mark.parametrize(("vendors", "said"), [([], False), (["0x8086", "0x1af4"], False), (["0x10de"], True)])
def test_nothing_is_said_where_there_is_no_gpu_at_all(
    vendors: list[str], said: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, vendor in enumerate(vendors):
        (tmp_path / f"0000:{number:02}").mkdir()
        (tmp_path / f"0000:{number:02}" / "vendor").write_text(f"{vendor}\n")
    monkeypatch.setattr(device, "_DEVICES", tmp_path)
    monkeypatch.setattr(device, "_DRIVERS", ())
    device.there_may_be_a_gpu.cache_clear()
    try:
        there = replace(resolve_backend("cpu"), note=REASON)
        monkeypatch.setattr(engines, "why_unusable", lambda: REASON)
        assert (note_of(there) is not None) == said
        assert note_of(replace(there, note="its data are not read there")) is not None
    finally:
        device.there_may_be_a_gpu.cache_clear()


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_that_is_not_there_is_refused_with_the_remedy(refused: Callable[..., str]) -> None:
    for command in ("sweep", "train"):
        said = refused(command, "--task", "xor", "--backend", "cuda")
        assert "--backend cuda" in said
        assert REASON in said


@pytest.mark.usefixtures("without_gpu")
def test_auto_says_so_once(harness: Harness, tiny: tuple[str, ...]) -> None:
    assert harness("sweep", *tiny).err.count(REASON) == 1
    assert REASON not in harness("sweep", *tiny, "--backend", "cpu", "--out", "other").err
    assert REASON not in harness("sweep", *tiny, "--quiet", "--out", "third").err


def test_without_the_package_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    find = device.importlib.util.find_spec
    monkeypatch.setattr(device.importlib.util, "find_spec", lambda name: None if name == "numba_cuda" else find(name))
    device.why_unusable.cache_clear()
    try:
        said = device.why_unusable()
    finally:
        device.why_unusable.cache_clear()
    assert said is not None
    assert "pip install 'numba-cuda[cu13]'" in said
    assert "'numba-cuda[cu12]'" in said
    assert "\n" not in said


def test_gradient_methods_are_refused_on_a_demanded_gpu(refused: Callable[..., str]) -> None:
    said = refused("sweep", "--task", "xor", "--method", "walk", "--method", "backprop", "--backend", "cuda")
    assert "backprop" in said
    assert "--backend auto" in said


def test_a_backend_with_batches_gets_the_walks_and_the_cpu_the_rest(plan: Callable[..., Plan]) -> None:
    whole = plan("hidden=2", "batch_size=4", tasks=["xor"], methods=["walk", "backprop"], seeds=range(3))
    gpu: Any = replace(resolve_backend("cpu"), name="cuda", most_in_a_pack=8, fewest_in_a_pack=2)
    left = [trial for trial in whole.trials if trial.seed != 0]
    (first, walks), (second, others) = engines_for(gpu, BUDGET, whole, left)
    assert first.backend is gpu
    assert {trial.cell.method for trial in walks} == {"walk"}
    assert {trial.cell.method for trial in others} == {"backprop"}
    assert len(walks) == len(others) == 2
    assert second.backend.name == "cpu"
    assert backend_of(gpu, "walk") is gpu
    assert backend_of(gpu, "backprop").name == "cpu"
    ((only, every),) = engines_for(resolve_backend("cpu"), BUDGET, whole, left)
    assert only.backend.name == "cpu"
    assert list(every) == left


def test_info_names_the_gpu_or_what_is_missing(harness: Harness) -> None:
    (line,) = [line for line in harness("info").out.splitlines() if line.startswith("gpu ")]
    reason = device.why_unusable()
    assert (reason in line) if reason else ("compute capability" in line)
