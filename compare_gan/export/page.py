"""A generator as one HTML page that draws its images in a browser, without a network or other files.

The page contains the ONNX file of the generator and onnxruntime-web. Its policy forbids every connection, and
every script but its own (by SHA-256) and the modules that this script makes of the content of the page.
"""

import base64
import gzip
import html
import json
from importlib import resources
from string import Template
from typing import Any

from compare_gan.core import csp
from compare_gan.core.errors import UserError
from compare_gan.core.outputs import GENERATOR
from compare_gan.export import ort_web
from compare_gan.export.card import facts
from compare_gan.export.folder import ExportMetadata
from compare_gan.export.onnx_model import OnnxModel

POLICY = (
    "default-src 'none'; script-src {script} blob: 'wasm-unsafe-eval'; style-src {style}; img-src blob:; "
    "base-uri 'none'; form-action 'none'"
)
PRIORS = ("normal", "truncated_normal", "uniform")  # that the page can draw from
MAX_TEXT = 2**29 - 2**10  # characters of a string in Chromium


def check_page(prior: dict[str, Any]) -> None:
    """Checks that a page can draw latent vectors.

    Args:
      prior: name and parameters of their distribution.

    Raises:
      UserError: it cannot.
    """
    if prior["name"] not in PRIORS:
        raise UserError(
            f"--page draws latent vectors from {', '.join(PRIORS)}, but those of this GAN are from "
            f"{prior['name']}; use --onnx"
        )


def page(model: OnnxModel, runtime: ort_web.Runtime) -> str:
    """The page as HTML.

    Raises:
      UserError: it cannot draw latent vectors, or the generator is too large for a browser.
    """
    check_page(model.metadata.prior)
    style, script = _file("page.css"), _file("page.js")
    about = {
        "title": model.title,
        "step": model.metadata.step,
        "z_dim": model.metadata.z_dim,
        "image_shape": model.metadata.image_shape,
        "class_names": model.metadata.class_names,
        "prior": model.metadata.prior,
    }
    embedded = {name: packed(data) for name, data in (("model", model.content), *runtime._asdict().items())}
    if len(embedded["model"]) > MAX_TEXT:
        raise UserError(
            f"--page: the generator has {len(model.content) / 1e6:.0f} MB, too much for a page; use --onnx"
        )
    policy = POLICY.format(script=csp.source(script), style=csp.source(style))
    return Template(_file("page.html")).substitute(
        {name: html.escape(text) for name, text in (("title", model.title), ("policy", policy))},
        generator=GENERATOR,
        style=style,
        script=script,
        about=in_script(about),
        facts=_rows(model.metadata),
        version=ort_web.VERSION,
        **{f"{name}_data": data for name, data in embedded.items()},
    )


def in_script(value: Any) -> str:
    """JSON for a `script` element, which must contain no "<"."""
    return json.dumps(value).replace("<", "\\u003c")


def packed(data: bytes) -> str:
    """gzip in base64; the same data gives the same text."""
    return base64.b64encode(gzip.compress(data, mtime=0)).decode()


def _rows(metadata: ExportMetadata) -> str:
    return "\n".join(
        f'<tr><th scope="row">{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>'
        for name, value in facts(metadata).items()
    )


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")
