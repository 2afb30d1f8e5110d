"""The methods by name."""

from freewalk.harness.base.errors import ALSO_CALLED
from freewalk.harness.methods.backprop import BACKPROP
from freewalk.harness.methods.cma import CMA
from freewalk.harness.methods.evosax import EVOSAX
from freewalk.harness.methods.genetic import GENETIC
from freewalk.harness.methods.guess import GUESS
from freewalk.harness.methods.method import Method
from freewalk.harness.methods.numerical import NUMERICAL
from freewalk.harness.methods.snes import SNES
from freewalk.harness.methods.synthetic import SYNTHETIC
from freewalk.harness.methods.walk import WALK

METHODS: dict[str, Method] = {
    method.name: method for method in (WALK, BACKPROP, NUMERICAL, SYNTHETIC, GUESS, GENETIC, SNES, CMA, EVOSAX)
}
"""Every method, in the order in which it is shown; `freewalk.harness.parameters.parameters.add_method` adds to it."""

BUILT_IN: tuple[str, ...] = tuple(METHODS)
"""The names of those that come with freewalk."""

DEFAULT_METHOD = WALK.name

ALSO_CALLED.update({method.name: method.also_called for method in METHODS.values()})
