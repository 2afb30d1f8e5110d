"""docs/presets.md, made from the presets: `python docs/make/presets_page.py > docs/presets.md`."""

from __future__ import annotations

import sys
import textwrap
from typing import Final

from freewalk.harness.parameters.presets.relatives import RELATIVES, Relative
from freewalk.kernels.model.variance import variance_constant

_SHAPE: Final = (36, 32)
"""n and m of shifted-sums with 30 hidden neurons."""

_HEAD: Final = """# Methods of the field

Many methods that need only the loss are the walk with certain settings. These are presets: `--grid NAME` in a sweep of
any task, several beside each other, and `--grid key=value` replaces a setting; `--preset NAME` in `harness train`;
`harness presets NAME` prints what stands here. This page is made from the code:
`python docs/make/presets_page.py > docs/presets.md`.

```sh
harness sweep --task xor --grid openai-es --grid mezo --grid fzoo --seeds 0:10 --evaluations 400000
harness sweep --task parity --grid eggroll-signs --grid rank=1,4,full --grid learning_rate=0.03,0.1
harness train --task xor --preset spsa
```

A step of each is compared with the formula of its paper or its authors' program on the same perturbations, written out
in NumPy, and that of `openai-es` with evosax's: `python -m pytest tests/harness/parameters/test_relatives.py`. Sizes
(`batch_size`, `datapoints`) and learning rates are for the networks of these pages: they are no part of a definition.

In the equations d are perturbations of variance 1, K of them a step, and L is the mean loss of the datapoints that a
perturbation sees. c is the [variance constant](method.md#the-family) before shaping, with which the squared cosine of
an estimate and the gradient is about $K / (K - 1 + c)$ in the mean; the numbers are for 36 by 32 weights.

| preset | settings of the family | c | evaluations of a step |
|---|---|---|---|
"""

_FAMILY: Final = ("tangent", "sides", "rank", "noise", "datapoints", "share_data", "shaping", "optimizer")


def presets_page() -> str:
    """Return docs/presets.md."""
    rows = "".join(_row(name, relative) for name, relative in RELATIVES.items())
    return _HEAD + rows + "".join(_card(name, relative) for name, relative in RELATIVES.items())


def _row(name: str, relative: Relative) -> str:
    family = ", ".join(f"{key}={relative.settings[key]}" for key in _FAMILY if key in relative.settings)
    c = variance_constant(relative.walk, [_SHAPE])
    return f"| `{name}` | {family} | {relative.constant} = {c:,.0f} | {relative.cost} |\n"


def _card(name: str, relative: Relative) -> str:
    settings = " ".join(f"--grid {key}={value}" for key, value in relative.settings.items())
    return (
        f"\n## {name}\n\n{_filled(relative.summary + '.')}\n\n```text\n{_filled(relative.equation)}\n```\n\n"
        f"- *Estimates* {_item(relative.estimates)}.\n- *Differs in:* {_item(relative.deviations)}.\n"
        f"- *Settings:* `{settings}`\n- {_item(relative.reference)}.\n"
    )


def _item(text: str) -> str:
    return _filled(text).replace("\n", "\n  ")


def _filled(text: str) -> str:
    return textwrap.fill(text, 116, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(presets_page())
