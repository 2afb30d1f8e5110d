"""Templates of pages and of what notebooks show; whatever is put into them is escaped."""

import re
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from freewalk.results.report.resolution import resolution_text

TEMPLATES: Final = Path(__file__).parent / "templates"


def template(name: str) -> Template:
    """Return a template by the name of its file."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # A word joiner after each hyphen: names such as shifted-sums stay on one line.
    environment.filters["unbroken"] = lambda text: str(text).replace("-", "-\u2060")
    environment.filters["coded"] = _coded
    environment.filters["sentence"] = lambda text: f"{text[:1].upper()}{text[1:]}"
    environment.filters["resolution"] = resolution_text
    return environment.get_template(name)


def _coded(text: str) -> Markup:
    """Show what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
