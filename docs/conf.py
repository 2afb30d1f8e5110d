"""Sphinx configuration of the documentation; `make docs` builds it into build/docs, without the network."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

import freewalk

project = "freewalk"
author = "the freewalk authors"
version = release = freewalk.__version__
copyright = author  # noqa: A001  (Sphinx asks for this name)

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    # in docs/extensions
    "attribute_docstrings",
    "command_line",
    "formulas",
    "private_parameters",
]
source_suffix = {".md": "markdown"}
nitpicky = True
nitpick_ignore_regex = [
    # documented elsewhere, and nothing is fetched while building
    (r"py:.*", r"(numpy|np|pandas|pd|pydantic|annotated_types|click|os|collections|pathlib|types|typing)\..*"),
    # types in annotations: of Python and NumPy, and private ones
    (r"py:class", r"(Any|Array|ArrayLike|DTypeLike|NDArray|ndarray|float64|Path|Callable|Iterable|Mapping)\b.*"),
    (r"py:class", r"Gradient|array_like|shape|n|BaseModel|freewalk\..*\.(_\w+|SupportsNext)"),
]

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # docstrings write names in single backticks
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_mock_imports = ["torch", "jax"]  # described without them
napoleon_google_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "freewalk"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
html_theme_options = {"navigation_with_keys": True}
