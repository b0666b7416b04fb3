"""Sphinx builds the documentation site from this folder: `make docs`, without network access."""

import inspect
import re
import sys
from pathlib import Path

from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # the code of this checkout, whatever is installed

import compare_gan  # noqa: E402
from compare_gan.core.registry import Registry  # noqa: E402

project = "compare_gan"
version = release = compare_gan.__version__
html_title = f"compare_gan {version}"
html_theme = "furo"
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["wide.css"]
highlight_language = "none"  # of blocks that name no language: shell commands and configurations
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
default_role = "code"  # docstrings put code in single backticks
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True
add_module_names = False
# Pages link to source files for GitHub's readers; here such files are downloads. This one is a page.
PAGES = {"../benchmarks/README.md": "benchmarks.md"}


class PublicNames(SphinxDirective):
    """Documents every name in `compare_gan.__all__` by kind, so that the page needs no list of its own."""

    KINDS = {  # title: the directive is auto..., and which objects belong here
        "Functions": ("function", inspect.isroutine),
        "Classes": ("class", inspect.isclass),
        "Modules": ("module", inspect.ismodule),
        "Registries": ("data", lambda value: isinstance(value, Registry)),
    }
    OPTIONS = {
        "function": [],
        "class": ["   :members:"],
        "module": ["   :members:"],
        "data": ["   :no-value:"],
    }

    def run(self):
        names = [name for name in getattr(compare_gan, "__all__", ()) if not name.startswith("__")]
        lines = []
        for title, (kind, belongs) in self.KINDS.items():
            lines += [f".. rubric:: {title}", ""]
            for name in names:
                if belongs(getattr(compare_gan, name)):
                    lines += [f".. auto{kind}:: compare_gan.{name}", *self.OPTIONS[kind], ""]
        return self.parse_text_to_nodes(StringList(lines, source=__file__))


def field_comments(kind: type) -> dict[str, str]:
    """The fields of a dataclass or named tuple, with the comments at the end of their lines."""
    try:
        lines, _ = inspect.getsourcelines(kind)
    except (OSError, TypeError):
        return {}
    fields = (re.match(r"    (\w+): [^#]*?(?:  # (.*))?$", line) for line in lines)
    names = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "_fields", ())
    return {found[1]: found[2] or "" for found in fields if found and found[1] in names}


def document_fields(app, what, name, obj, options, lines):
    """Adds the commented fields of a class to its docstring."""
    comments = field_comments(obj) if what == "class" else {}
    if any(comments.values()):
        lines += ["", *(f"* `{field}`: {comment}" for field, comment in comments.items() if comment), ""]


def skip_aliases(app, what, name, obj, skip, options):
    """Leaves out what Python writes on the fields of named tuples."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def link_pages(app, docname, source):
    for file, page in PAGES.items():
        source[0] = source[0].replace(f"]({file})", f"]({page})")


def setup(app):
    app.connect("source-read", link_pages)
    app.connect("autodoc-process-docstring", document_fields)
    app.connect("autodoc-skip-member", skip_aliases)
    app.add_directive("public-names", PublicNames)
