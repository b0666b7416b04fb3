"""What every page has: the head with its security policy, and the script, inside the one file."""

from importlib import resources

from compare_gan.core import csp
from compare_gan.core.outputs import GENERATOR
from compare_gan.report.markup import Markup, join, tag


def asset(name: str) -> Markup:
    """A style sheet or script of this package."""
    return Markup(resources.files(__package__).joinpath(name).read_text("utf-8"))


SCRIPT = asset("page.js")
# The page loads nothing, and runs this script alone, whatever the files of the study contain.
POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {csp.source(SCRIPT)}"


def document(title: str, *body: str) -> str:
    """A page as HTML."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        Markup(GENERATOR),
        tag("title", title),
        tag("style", asset("style.css")),
    )
    content = tag("body", join(*body), tag("script", SCRIPT))
    return f"<!DOCTYPE html>\n{tag('html', head, content, lang='en')}\n"
