"""Content security policies of our HTML pages."""

import base64
import hashlib


def source(text: str) -> str:
    """The source expression of an inline script or style: a policy that lists it allows this text alone."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
