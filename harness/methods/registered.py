"""The methods by name."""

from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.cma import CMA
from freewalk.harness.methods.direct_feedback_alignment import DIRECT_FEEDBACK_ALIGNMENT
from freewalk.harness.methods.direct_random_target_projection import DIRECT_RANDOM_TARGET_PROJECTION
from freewalk.harness.methods.evosax import EVOSAX
from freewalk.harness.methods.feedback_alignment import FEEDBACK_ALIGNMENT
from freewalk.harness.methods.genetic import GENETIC
from freewalk.harness.methods.guess import GUESS
from freewalk.harness.methods.kolen_pollack import KOLEN_POLLACK
from freewalk.harness.methods.method import Method
from freewalk.harness.methods.node import NODE
from freewalk.harness.methods.numerical import NUMERICAL
from freewalk.harness.methods.rflo import RFLO
from freewalk.harness.methods.rtrl import RTRL
from freewalk.harness.methods.sign_symmetry import SIGN_SYMMETRY
from freewalk.harness.methods.snes import SNES
from freewalk.harness.methods.synthetic import SYNTHETIC
from freewalk.harness.methods.uoro import UORO
from freewalk.harness.methods.walk import WALK
from freewalk.results.base.names import ALSO_CALLED

_BUILT_IN = (
    WALK,
    NODE,
    BACKPROP,
    NUMERICAL,
    SYNTHETIC,
    FEEDBACK_ALIGNMENT,
    DIRECT_FEEDBACK_ALIGNMENT,
    DIRECT_RANDOM_TARGET_PROJECTION,
    SIGN_SYMMETRY,
    KOLEN_POLLACK,
    RTRL,
    RFLO,
    UORO,
    GUESS,
    GENETIC,
    SNES,
    CMA,
    EVOSAX,
)
METHODS: dict[str, Method] = {method.name: method for method in _BUILT_IN}
"""Every method, in the order in which it is shown; `freewalk.harness.parameters.parameters.add_method` adds to it."""

BUILT_IN: tuple[str, ...] = tuple(METHODS)
"""The names of those that come with freewalk."""

DEFAULT_METHOD = WALK.name

ALSO_CALLED.update({method.name: method.also_called for method in METHODS.values()})
