"""A command: options given once, spellings of earlier versions, and every parameter of a grid as an option."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from freewalk.harness.base.errors import UsageError
from freewalk.harness.commands.gathering import gather, let_documents_speak, settled_by_documents
from freewalk.harness.commands.hints import unexpected
from freewalk.harness.commands.spellings import old_options, say_old
from freewalk.harness.parameters.parameters import PARAMETERS


class Command(click.Command):
    """A command of the harness.

    Where it has a grid, or takes parameters of plug-ins, each parameter that it has no option for is one as well, which
    no help lists: `--stddev 0.1` is `--grid stddev=0.1`.

    Parameters
    ----------
    without
        Parameters that it does not take.
    """

    def __init__(self, *arguments: Any, without: Collection[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self._without = without
        self._made: dict[str, click.Option] = {}
        self.params += old_options(self.name or "", self.params)
        names = {one.name for one in self.params}
        self.gathers_in = next((name for name in ("grid", "settings") if name in names), None)
        """Which of its parameters takes the texts key=value."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its parameters, those of a grid among them."""
        return [*super().get_params(ctx), *self.of_the_grid()]

    def of_the_grid(self) -> Iterator[click.Option]:
        """Yield the options that no help lists: those of a grid's parameters, plug-ins' among them."""
        if self.gathers_in is None:
            return
        taken = {spelling for one in self.params for spelling in one.opts}
        for name in PARAMETERS:
            spelling = f"--{name.replace('_', '-')}"
            if spelling not in taken and name not in self._without:
                if name not in self._made:
                    text = PARAMETERS[name].help
                    self._made[name] = click.Option([spelling, name], metavar="VALUES", hidden=True, help=text)
                yield self._made[name]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read a command line."""
        if ctx.resilient_parsing:  # to complete it: nothing is wrong yet
            return super().parse_args(ctx, args)
        try:
            self._check(ctx, args)
        except click.NoSuchOption:
            if self.gathers_in is None or not self._load_plugins(ctx, args):
                raise
            self._check(ctx, args)
        except click.UsageError as error:
            error.ctx = ctx
            raise
        rest = super().parse_args(ctx, args)
        settled = settled_by_documents(ctx)
        if self.gathers_in is not None:
            gather(ctx, self.gathers_in, [one.name or "" for one in self.of_the_grid()], settled)
        let_documents_speak(ctx, settled)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        code = super().invoke(ctx)
        say_old(ctx)
        return code

    def _check(self, ctx: click.Context, args: list[str]) -> None:
        """Raise UsageError for what is left over, and for options of one value that are given several.

        Click would take the last without a word.
        """
        _, left_over, order = self.make_parser(ctx).parse_args(list(args))
        if left_over:
            raise click.UsageError(unexpected(left_over[0], args, self.get_params(ctx)), ctx)
        for option in order:
            is_single = isinstance(option, click.Option) and not (option.multiple or option.is_flag or option.count)
            is_axis = option.name in self._made
            # settings of a sweep are overridden by what scripts append; an axis is not, since both values may be meant
            if is_single and order.count(option) > 1 and (is_axis or self.name != "sweep"):
                remedy = "write all its values in one list" if is_axis else "give it once"
                spelling = max(option.opts, key=len)
                raise UsageError(f"{spelling} is given {order.count(option)} times; {remedy}")

    def _load_plugins(self, ctx: click.Context, args: list[str]) -> bool:
        """Load what may bring the parameter that an unknown option names; return whether there are any new ones."""
        from freewalk.harness.plan.grid import load_named
        from freewalk.harness.plan.plugins import load_entry_points

        before = len(PARAMETERS)
        parser = self.make_parser(ctx)
        parser.ignore_unknown_options = True
        given = parser.parse_args(list(args))[0]
        values = {one.name: one.consume_value(ctx, given)[0] for one in self.params if one.name in ("plugins", "grid")}
        named = {name: value if isinstance(value, list | tuple) else () for name, value in values.items()}
        load_entry_points()
        load_named(named.get("grid", ()), named.get("plugins", ()))
        return len(PARAMETERS) > before

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete options and arguments; parameters of a grid once a letter of them is there."""
        found = super().shell_complete(ctx, incomplete)
        if incomplete.startswith("--") and len(incomplete) > 2:
            spelled = (max(one.opts, key=len) for one in self.of_the_grid())
            found += [CompletionItem(one) for one in spelled if one.startswith(incomplete.replace("_", "-"))]
        return found
