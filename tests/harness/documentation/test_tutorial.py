"""The commands of the tutorial and its neighbour print what the pages say, but for the times."""

from pathlib import Path

import pytest
from transcript import blocks, outputs, rewritten, timeless

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.slow
@pytest.mark.parametrize(("page", "n_programs"), [("tutorial.md", 7), ("troubleshooting.md", 1)])
def test_a_page_shows_what_its_programs_print(page: str, n_programs: int, tmp_path: Path) -> None:
    n_run = 0
    for block, printed in outputs(blocks((DOCS / page).read_text(encoding="utf-8")), tmp_path):
        again = f"python tests/harness/transcript.py docs/{page}"
        assert timeless(printed) == timeless(block.printed or ""), f"if that is meant: {again}"
        n_run += 1
    assert n_run == n_programs


def test_a_page_is_rewritten(tmp_path: Path) -> None:
    page = (
        "# Page\n\n```sh\nnot run\n```\n\n<!-- a.txt -->\n```toml\nkey = 1\n```\n\nWords.\n\n"
        "```sh\ncat a.txt\necho 20 ms\n```\n\n```text\nold\n```\n\n```python\nprint(1 + 1)\n```\n\n```text\n```\n"
    )
    new = rewritten(page, tmp_path)
    assert new == page.replace("old\n", "key = 1\n20 ms\n").replace("```text\n```", "```text\n2\n```")
    assert rewritten(new, tmp_path) == new


def test_numbers_are_compared_and_times_are_not() -> None:
    assert timeless("a  5/5   20 ms") == timeless("a 5/5 1,300.5 s\n")
    assert timeless("a 5/5 20 ms") != timeless("a 4/5 20 ms")


def test_a_program_that_fails_is_no_output(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="exit code 3"):
        list(outputs(blocks("```sh\nexit 3\necho no\n```\n\n```text\nno\n```\n"), tmp_path))
