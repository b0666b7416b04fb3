"""Generators as ONNX files, in onnxruntime and in a browser.

Needs jax2onnx, which docs/export.md says how to install. The page needs onnxruntime-web, in the root of the
repository or where the variable ORT_WEB says.
"""

import dataclasses
import io
import os
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image
from scipy.special import ndtr, ndtri

from compare_gan.core.errors import UserError
from compare_gan.core.registry import ARCHITECTURES
from compare_gan.export import ort_web
from compare_gan.export.onnx_model import convert, difference, in_onnxruntime, onnx_model
from compare_gan.export.write import describe
from compare_gan.gans.standing import with_inference_stats
from compare_gan.main import main
from compare_gan.nn.options import Precision
from compare_gan.runs import open_run
from tests.gans.tiny import LAYERS, random_state, tiny_gan
from tests.helpers.browser import opened, overflows
from tests.helpers.combinations import combination
from tests.helpers.commands import bindings, config

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # warnings of jax2onnx are not ours
pytest.importorskip("jax2onnx", reason="docs/export.md says how to install jax2onnx")
pytest.importorskip("onnxruntime")
ROOT = Path(__file__).parents[2]
READY = "body[data-state=ready]"


def balanced_state(gan):
    """Random weights with He et al.'s variance (https://arxiv.org/abs/1502.01852), so that activations of all
    layers have about the same size; with other weights rounding may grow from layer to layer."""
    rng = np.random.RandomState(0)

    def draw(path, x):
        n, name = rng.standard_normal(x.shape), path[-1].key if hasattr(path[-1], "key") else ""
        if name == "kernel":
            n *= np.sqrt(2 / np.prod(x.shape[:-1]))
        elif name in ("gamma", "moving_variance"):
            n = 1 + 0.1 * np.abs(n)
        else:
            n *= 0.1
        return np.asarray(n, x.dtype)

    return jax.tree.map_with_path(draw, jax.eval_shape(gan.init, jax.random.key(0)))


@pytest.mark.usefixtures("shallow_resnet30")
@pytest.mark.parametrize("method", ["unconditional", "conditional"])
@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_every_architecture_is_converted(architecture, method):
    norm = "@conditional_batch_norm" if method == "conditional" else "@batch_norm"
    gan = combination(architecture, norm, method)()
    state = balanced_state(gan)
    run = {"architecture": architecture, "method": method, "class_names": ["a", "b", "c"]}
    content = convert(gan, state, describe(gan, state, run, ""))
    z = np.random.RandomState(0).standard_normal((5, gan.z_dim)).astype(np.float32)
    y = [np.eye(gan.y_dim, dtype=np.float32)[[0, 1, 2, 0, 1]]] if gan.conditional else []
    images = in_onnxruntime(content)(z, *y)
    assert images.shape == (5, *gan.spec.image_shape) and images.std() > 0.02
    found = difference(content, gan, state)
    print(f"{architecture} {method}: {found:.1e}, standard deviation {images.std():.2f}")
    assert found < 1e-4  # a fortieth of one step of an 8-bit pixel


def test_a_generator_in_bfloat16_is_converted_in_float32():
    layers = dataclasses.replace(LAYERS, precision=Precision("bfloat16"))
    gan = tiny_gan(layers=layers)
    run = {"architecture": "tiny", "method": "GAN", "data": "noise"}
    assert onnx_model(gan, random_state(gan), run).difference < 1e-5


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """Four steps of S3GAN with accumulated batch statistics."""
    folder = tmp_path_factory.mktemp("onnx") / "run"
    words = ["train", *config("s3gan"), "--model_dir", str(folder), "--data", "blobs"]
    words += bindings(
        "options.training_steps = 4",
        "standardize_batch.use_moving_averages = False",
        "z.distribution_fn = @tf.random.normal",
        "eval_z.distribution_fn = @tf.random.normal",
    )
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def runtime():
    named = os.environ.get("ORT_WEB")
    paths = [Path(named)] if named else [ROOT / ort_web.ARCHIVE, ROOT / ort_web.FOLDER]
    found = [path for path in paths if path.exists()]
    if not found:
        pytest.skip(f"no onnxruntime-web; {ort_web.GET} into {ROOT}")
    return found[0]


def test_the_command_writes_the_images_of_the_run(run_dir, tmp_path, capsys):
    import onnx

    path = tmp_path / "g.onnx"
    for _ in range(2):  # the second replaces the first
        assert main(["export", str(run_dir), "--onnx", str(path), "--statistics_examples", "256"]) == 0
    assert "images in onnxruntime differ from ours by at most" in capsys.readouterr().out
    assert [each.name for each in tmp_path.iterdir()] == ["g.onnx"] and not (run_dir / "export").exists()
    sampler = open_run(run_dir).sampler(statistics_examples=256)
    expected, labels = sampler.images(13, seed=3)
    z = np.asarray(sampler.latents(np.uint32(3), np.arange(13, dtype=np.int32)))
    images = in_onnxruntime(path.read_bytes())(z, np.eye(4, dtype=np.float32)[labels])
    np.testing.assert_allclose(images, expected / 255, atol=0.51 / 255)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [each.name for each in (*model.graph.input, *model.graph.output)] == ["z", "y", "images"]
    assert model.metadata_props[0].key == "compare_gan" and '"top left"' in model.metadata_props[0].value
    assert b".py" not in path.read_bytes()


def test_a_file_of_other_images_is_refused(run_dir):
    run = open_run(run_dir)
    model, state = run.onnx_model(statistics_examples=256), run.restore()
    g = dataclasses.replace(state.g, params=jax.tree.map(lambda x: -x, state.g.params))
    other = with_inference_stats(run.gan, dataclasses.replace(state, g=g, g_ema=None), 256)
    with pytest.raises(UserError, match="images of the ONNX file differ from ours"):
        difference(model.content, run.gan, other)


def words(seed, index, count):
    """xoshiro128** (https://prng.di.unimi.it/xoshiro128starstar.c), seeded as the page says."""

    def mix(word):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            word = (word ^ word >> shift) * factor % 2**32
        return word ^ word >> 16

    def rotate(word, by):
        return (word << by | word >> 32 - by) % 2**32

    a, b, c, d = (mix(word) for word in (seed, seed ^ 0x9E3779B9, index, index ^ 0x9E3779B9))
    found = []
    for _ in range(16 + count):
        found.append(rotate(b * 5 % 2**32, 7) * 9 % 2**32)
        shifted = b << 9 & 0xFFFFFFFF
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= shifted
        d = rotate(d, 11)
    return np.array(found[16:])


def test_the_page_draws_the_images_of_the_run(run_dir, runtime, tmp_path):
    path = tmp_path / "page.html"
    few = ["--statistics_examples", "256"]
    assert main(["export", str(run_dir), "--page", str(path), "--ort_web", str(runtime), *few]) == 0
    sampler = open_run(run_dir).sampler(statistics_examples=256)
    with opened(path.as_uri(), width=400, wait=READY) as page:
        urls = []
        page.on("request", lambda request: urls.append(request.url))
        assert not overflows(page)
        assert page.locator("canvas").count() == 4 * 8
        u = (words(7, 3, 8) + 0.5) / 2**32
        tail = ndtr(-0.7)
        for code, expected in (
            ("latent(7, 3)", ndtri(u)),
            ("latent(7, 3, 0.7)", ndtri(tail + u * (1 - 2 * tail))),
            (
                "(Object.assign(about.prior, {name: 'truncated_normal'}), latent(7, 3))",
                ndtri(ndtr(-2) + u * (1 - 2 * ndtr(-2))),
            ),
            (
                "(Object.assign(about.prior, {name: 'uniform', minval: -1, maxval: 1}), latent(7, 3))",
                2 * u - 1,
            ),
            ("(Object.assign(about.prior, {name: 'normal'}), latent(4294967295, 1000))", None),
        ):
            found = np.array(page.evaluate(f"Array.from({code})"))
            if expected is None:
                expected = ndtri((words(2**32 - 1, 1000, 8) + 0.5) / 2**32)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)

        page.get_by_role("button", name="top right").click()
        page.get_by_role("button", name="bottom left").click()
        page.locator("#count").fill("5")
        page.locator("#seed").fill("11")
        page.locator("#truncation").fill("1.2")
        page.locator("#resample").click()  # seed 12
        page.wait_for_selector(f"{READY} canvas[aria-label='bottom left, seed 12, image 4']")
        shown = page.evaluate(
            "Array.from(document.querySelectorAll('canvas'),"
            " (c) => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data))"
        )
        shown = np.array(shown).reshape(10, 8, 8, 4)
        z = np.array(
            page.evaluate("Array.from({length: 5}, (_, i) => Array.from(latent(12, i, 1.2)))"), np.float32
        )
        assert np.abs(z).max() <= 1.2
        labels = [sampler.class_index(name) for name in ("top right", "bottom left")]
        y = np.eye(4, dtype=np.float32)[np.repeat(sorted(labels), 5)]
        ours = np.asarray(sampler.generator(np.concatenate([z, z]), y))
        assert ours.std() > 0.01 and (shown[..., 3] == 255).all()
        assert np.abs(shown[..., :3] - 255 * ours).max() <= 1

        with page.expect_download() as download:
            page.locator("#save").click()
        assert download.value.suggested_filename == "samples-seed-12.png"
        with Image.open(io.BytesIO(Path(download.value.path()).read_bytes())) as picture:
            saved = (
                np.asarray(picture.convert("RGB")).reshape(2, 8, 5, 8, 3).swapaxes(1, 2).reshape(10, 8, 8, 3)
            )
        np.testing.assert_array_equal(saved, shown[..., :3])
        page.locator("#count").fill("0")
        page.locator("#count").press("Enter")
        page.wait_for_selector(f"{READY} section:first-child canvas:only-child")
        assert not [url for url in urls if not url.startswith("blob:")]
