"""docs/method-cards.md, made from the methods: `python docs/make/method_cards_page.py > docs/method-cards.md`."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

from freewalk.harness.methods.registered import BUILT_IN, METHODS
from freewalk.harness.parameters.identity import SYMBOLS, identity, parameter_text

_HEAD: Final = """# The methods and their cards

Every method that `--method` takes, from the walk of the [original
program](https://github.com/csirmaz/nn_rnd_training) on, with its formula, its paper, and what theory and a test say of
it. `harness methods` prints the table, `harness methods NAME` a card. This page is made from the code:
`python docs/make/method_cards_page.py > docs/method-cards.md`. [Methods](methods.md) says how to choose one, and how to
write one of your own; [methods of the field](presets.md) that are settings of the walk have cards of their own.

```sh
harness methods
harness methods feedback-alignment
harness methods e-prop --json
```

A step's cost is counted in evaluations, forward passes of one datapoint. The symbols are those of all cards:

| symbol | meaning |
|---|---|
"""

_TABLE: Final = """
Every method runs on the backends `cpu` and `reference`; those with kernels for a GPU on `cuda` too, and the others on
the CPU where `--backend auto` finds a GPU.

| method | also called | networks | GPU | evaluations of a step | a step's gradient is right |
|---|---|---|---|---|---|
"""

_GRADIENT: Final = {
    "exact": "exactly",
    "estimated": "on average",
    "predicted": "in the last layer",
    "unknown": "not in general",
}
_SPECIAL: Final = re.compile(r"[\\*_\[\]|<>$~]")
_NETWORKS: Final = {"both": "free, layered", "free": "free", "layered": "layered"}


def method_cards_page() -> str:
    """Return docs/method-cards.md."""
    known = [identity(METHODS[name]) for name in BUILT_IN]
    symbols = "".join(f"| `{symbol}` | {_text(meaning)} |\n" for symbol, meaning in SYMBOLS.items())
    return _HEAD + symbols + _TABLE + "".join(map(_row, known)) + "".join(map(_card, known))


def _row(known: Mapping[str, Any]) -> str:
    name, gpu = known["method"], "yes" if "cuda" in known["backends"] else "no"
    also = ", ".join(f"`{other}`" for other in known["also_called"])
    return (
        f"| [`{name}`](#{name}) | {also} | {_NETWORKS[known['networks']]} | {gpu} | `{known['evaluations']}`"
        f" | {_GRADIENT[known['gradient']]} |\n"
    )


def _card(known: Mapping[str, Any]) -> str:
    equation = textwrap.fill(known["equation"], 116, break_on_hyphens=False)
    needs = f"- *Needs* the package {known['needs']}, of the extra `es`.\n" if known["needs"] else ""
    presets = ", ".join(f"`{preset}`" for preset in known["presets"])
    found = f"- *Presets:* {presets} are settings of it: [methods of the field](presets.md).\n" if presets else ""
    parameters = "".join(f"  - `{name}`: {_item(parameter_text(known, name), 4)}\n" for name in known["parameters"])
    return (
        f"\n## {known['method']}\n\n{_filled(known['summary'] + '.')}\n\n```text\n{equation}\n```\n\n"
        f"- *Unbiased for* {_item(known['unbiased'])}.\n"
        f"- *Variance:* {_item(known['variance'])}.\n"
        f"- *Evaluations of a step:* {_item(known['cost'])}.\n"
        f"- *Differs in:* {_item(known['deviations'])}.\n"
        f"- *Networks:* {_NETWORKS[known['networks']]}. *Backends:* {', '.join(known['backends'])}.\n"
        f"{_tuned(known)}{needs}{found}- *Held true by* `python -m pytest {known['held_by']}`.\n"
        f"- *Parameters:*\n{parameters}"
        f"- {_item(known['reference'])}.\n"
    )


def _tuned(known: Mapping[str, Any]) -> str:
    """Return what tune searches, each space as options have it."""
    spaces = "; or ".join(" ".join(f"`{key}={text}`" for key, text in space.items()) for space in known["spaces"])
    return f"- *Tuned over:* {_item(spaces)}.\n" if spaces else ""


def _item(text: str, indent: int = 2) -> str:
    return _filled(text).replace("\n", "\n" + indent * " ")


def _filled(text: str) -> str:
    return textwrap.fill(_text(text), 116, break_on_hyphens=False)


def _text(text: str) -> str:
    """Return a text whose formulas Markdown shows as they stand; what stands in backticks is code."""
    parts = text.split("`")
    parts[::2] = [_SPECIAL.sub(r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    sys.stdout.write(method_cards_page())
