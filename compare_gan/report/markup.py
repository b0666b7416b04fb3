"""HTML and SVG as text that cannot forget to escape."""

import html

VOID = frozenset({"img", "link", "meta"})


class Markup(str):
    """Text that is already markup; every other string is escaped on its way into a tag."""


def join(*children: str) -> Markup:
    return Markup("".join(c if isinstance(c, Markup) else html.escape(c) for c in children))


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """One element: `class_` means class, `fill_opacity` fill-opacity, and None leaves an attribute out."""
    given = {k.rstrip("_").replace("_", "-"): v for k, v in attributes.items() if v is not None}
    opening = name + "".join(f' {k}="{html.escape(str(v))}"' for k, v in given.items())
    return Markup(f"<{opening}>" if name in VOID else f"<{opening}>{join(*children)}</{name}>")
