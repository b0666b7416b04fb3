"""HTML and SVG as strings that are always escaped."""

import html

VOID = frozenset({"img", "link", "meta"})


class Markup(str):
    """A string of markup. `join` and `tag` escape every other string."""


def join(*children: str) -> Markup:
    """Concatenates markup and text; text is escaped."""
    return Markup("".join(c if isinstance(c, Markup) else html.escape(c) for c in children))


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """An element. `class_` is the attribute class, `fill_opacity` fill-opacity; None omits an attribute."""
    attributes = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    opening = name + "".join(f' {k}="{html.escape(str(v))}"' for k, v in attributes.items())
    return Markup(f"<{opening}>" if name in VOID else f"<{opening}>{join(*children)}</{name}>")
