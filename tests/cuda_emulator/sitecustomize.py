"""Loaded by every Python that run.py starts, and by those that they start: puts the emulator into numba-cuda."""

from __future__ import annotations

import os

if os.environ.get("FREEWALK_CUDA_EMULATOR") and not os.environ.get("NUMBA_ENABLE_CUDASIM"):
    from emulator.hook import install

    install()
