"""The directive `command-line`: a section for every command, from the texts that `--help` shows."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

_MARKUP = re.compile(r"([\\`*_\[\]<>#|$&~{}!])")
_OPTION = re.compile(r"(?<!\S)--[a-z][a-z-]*")
_PAGE = re.compile(r"\bdocs/([a-z-]+\.md)")
_UNWRAPPED = "\b"  # click's sign for a paragraph whose lines stay as they are


def _escaped(text: str) -> str:
    """Return a text as Markdown that shows it, options as code, pages of the site as links."""
    words = _MARKUP.sub(r"\\\1", " ".join(text.split()))
    return _PAGE.sub(r"[\g<0>](../\1)", _OPTION.sub(r"`\g<0>`", words))


def _paragraphs(text: str) -> Iterator[str]:
    """Yield a help text's paragraphs as Markdown."""
    for paragraph in re.split(r"\n[ \t]*\n", inspect.cleandoc(text)):
        lines = paragraph.strip("\n").splitlines()
        if lines and lines[0].strip() == _UNWRAPPED:
            yield "\n".join(["```text", *lines[1:], "```"])
        else:
            yield _escaped(paragraph)


def _forms(option: click.Option, context: click.Context) -> str:
    """Return an option's names and what follows them, such as ``--out DIR``."""
    names = ", ".join([*option.opts, *option.secondary_opts])
    return names if option.is_flag or option.count else f"{names} {option.make_metavar(context)}"


def _option(option: click.Option, context: click.Context) -> Iterator[str]:
    record = option.get_help_record(context)
    if record is None:  # hidden
        return
    variables = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or ())
    environment = f" Environment: {', '.join(f'`{name}`' for name in variables)}." if variables else ""
    yield f"::::{{option}} {_forms(option, context)}"
    yield f"{_escaped(record[1])}{environment}"
    yield "::::"
    yield ""


def _section(name: str, command: click.Command) -> Iterator[str]:
    """Yield the lines of a command's section."""
    context = click.Context(command, info_name=f"harness {name}")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from (f"## {name}", "", "```text", f"harness {name} {usage}", "```", "")
    for paragraph in _paragraphs(command.help or ""):
        yield from (paragraph, "")
    yield from (f":::{{program}} harness {name}", ":::", "")
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option):
            yield from _option(parameter, context)
    for paragraph in _paragraphs(command.epilog or ""):
        yield from (paragraph, "")


def command_names() -> tuple[str, ...]:
    """Return the names of all commands."""
    from freewalk.harness.cli import COMMANDS

    return tuple(COMMANDS)


def section_of(name: str) -> list[str]:
    """Return a command's section as lines of MyST Markdown."""
    return list(_section(name, importlib.import_module(f"freewalk.harness.commands.{name}").command))


class CommandLine(SphinxDirective):
    """Sections of all commands."""

    def run(self) -> list[nodes.Node]:
        """Parse the sections where the directive stands."""
        lines = [line for name in command_names() for line in section_of(name)]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive."""
    app.add_directive("command-line", CommandLine)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
