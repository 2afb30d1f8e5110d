"""The files of a report: what is written where, whole or not at all, and nothing of others overwritten."""

import importlib.util
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from report_data import make_tables, make_trials, mixed, reached

from freewalk.results.base.errors import StoreError
from freewalk.results.base.writing import write_bytes
from freewalk.results.files.export import read_csv, write_csv
from freewalk.results.report.making import Report, refuse_foreign, write_report
from freewalk.results.report.reading import read_tables
from freewalk.results.schema.report_schema import METHODS, RANKING, SENSITIVITY

NAMES = ["report.html", "summary.csv", "ranking.csv", "methods.csv", "sensitivity.csv"]
needs_pyarrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


def make_report(**changes: Any) -> Report:
    parameters = {"stddev": [0.1, 0.5, 1.0], "batch_size": [1, 2]}
    return Report(make_tables(make_trials(mixed, parameters, seeds=4), **changes))


@pytest.fixture(scope="module")
def report() -> Report:
    return make_report()


def test_files_and_tables(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path / "new" / "folder", version="1")
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in (tmp_path / "new" / "folder").iterdir()) == sorted(NAMES)
    tables = report.tables
    for path, name, frame in zip(
        paths[1:],
        ("summary", RANKING, METHODS, SENSITIVITY),
        (tables.summary, tables.ranking, tables.methods, tables.sensitivity),
        strict=True,
    ):
        pd.testing.assert_frame_equal(read_csv(path, name), frame)  # type: ignore[arg-type]


def test_plots_are_files_of_their_own(report: Report, tmp_path: Path) -> None:
    paths = write_report(report, tmp_path, version="1", plots=["png", "svg"], theme="dark")[5:]
    names = ["loss", "metric", "success", "map-0", "influence", "cost-0", "cost-1"]
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        f"plots/xor-{name}.{kind}" for kind in ("png", "svg") for name in names
    ]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")
    svg = (tmp_path / "plots" / "xor-loss.svg").read_text()
    assert "#15181c" in svg, "the dark surface"
    assert "#fe00" not in svg, "the page's stand-in colours"
    assert "<text" not in svg, "letters are paths: any viewer shows the same"


@needs_pyarrow
def test_parquet_keeps_types_and_values(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path, version="1", parquet=True)
    for name, frame in report.frames().items():
        found = pd.read_parquet(tmp_path / f"{name}.parquet")
        assert list(found.columns) == list(frame.columns)
        assert found.dtypes.astype(str).tolist() == frame.dtypes.astype(str).tolist()
        values, wanted = (table.astype(object).where(table.notna(), None).to_numpy() for table in (found, frame))
        assert values.tolist() == wanted.tolist()
    write_report(report, tmp_path, version="2", parquet=True)


def test_writing_again_replaces(report: Report, tmp_path: Path) -> None:
    write_report(report, tmp_path, version="1")
    (tmp_path / "ranking.csv").write_text("schema_version,old\n")
    write_report(report, tmp_path, version="2")
    assert "freewalk 2" in (tmp_path / "report.html").read_text()
    assert "old" not in (tmp_path / "ranking.csv").read_text()


@pytest.mark.parametrize("name", [*NAMES, "plots/xor-loss.png"])
def test_others_files_stay(report: Report, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("my notes")
    with pytest.raises(StoreError, match=f"{path.name} is there and was not written by a report"):
        write_report(report, tmp_path, version="1", plots=["png"])
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path], "nothing has been written"
    assert path.read_text() == "my notes"


def test_folders_and_broken_links_in_the_way(report: Report, tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(StoreError, match=r"report\.html is there"):
        write_report(report, tmp_path, version="1")
    (tmp_path / "report.html").rmdir()
    (tmp_path / "report.html").symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"report\.html is there"):
        write_report(report, tmp_path, version="1")


def test_another_sweeps_report_stays(report: Report, tmp_path: Path) -> None:
    write_report(make_report(sweep_id="fff000"), tmp_path, version="1")
    with pytest.raises(StoreError, match="is the report of another sweep: move it away or pick another --out"):
        write_report(report, tmp_path, version="1")


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_bytes(b"content", tmp_path / "file" / "report.html")
    write_bytes(b"content", tmp_path / "there")
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["file", "there"], "no temporary file is left"
    refuse_foreign([tmp_path / "absent"], "abc")


def test_a_write_that_breaks_off_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    write_bytes(b"old", tmp_path / "report.html")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StoreError, match=r"cannot write .*report\.html: No space left on device; free the cause"):
        write_bytes(b"new", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_sweep_that_is_csv_files_only(tmp_path: Path) -> None:
    trials = make_trials(mixed, {"stddev": [0.1, 1.0]})
    write_csv(trials, tmp_path / "trials.csv")
    (tmp_path / "sweep.toml").write_text('name = "mine"\n[[grid]]\nstddev = [0.1, 1.0]\ntask = ["xor"]\n')
    tables = read_tables(tmp_path, {})
    assert (tables.name, tables.axes, tables.sweep_id) == ("mine", {"stddev", "task"}, "abc123")
    assert tables.curves is None
    assert tables.environment == {}
    pd.testing.assert_frame_equal(read_tables(tmp_path / "trials.csv", {}).summary, tables.summary)
    (tmp_path / "sweep.toml").write_text("not [ TOML")
    assert (read_tables(tmp_path, {}).name, read_tables(tmp_path, {}).axes) == (tmp_path.name, frozenset())
    (tmp_path / "sweep.toml").write_bytes(b"\xff\xfe")
    assert read_tables(tmp_path, {}).configuration == ""
    (tmp_path / "sweep.toml").write_text("# long\n" + "x" * 200_000)
    assert read_tables(tmp_path, {}).configuration.endswith("the rest is in sweep.toml\n")


def test_merged_sweeps_have_a_name_of_their_own(tmp_path: Path) -> None:
    trials = make_trials(lambda row: reached(10))
    trials.loc[0, "sweep_id"] = "other"
    write_csv(trials, tmp_path / "trials.csv")
    merged = read_tables(tmp_path, {}).sweep_id
    assert len(merged) == 12
    assert merged not in ("abc123", "other")
