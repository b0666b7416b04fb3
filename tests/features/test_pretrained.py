"""Extractors with public weights against the original networks, and from file to features."""

import dataclasses
import importlib.util
import re

import jax
import numpy as np
import pytest
from flax import nnx
from PIL import Image
from sklearn.datasets import load_sample_images

from compare_gan import features
from compare_gan.core.errors import UserError
from compare_gan.features import clip, dinov2, efficientnet, open_extractor, swav
from compare_gan.features.preprocessing import Preprocessing, Resized
from compare_gan.features.pretrained import Recipe
from compare_gan.features.vit import resized_grid
from compare_gan.features.vit_names import CLIP, CLIP_HUGGING_FACE, DINOV2, DINOV2_HUGGING_FACE
from compare_gan.nn.state import merge_module

from .pretrained_case import CASE, COLUMNS, FULL, SMALL, inputs, random_weights, stored

MODULES = {
    "dinov2_vitb14": ("torch", "dinov2"),
    "dinov2_vitb14_hugging_face": ("torch", "transformers"),
    "clip_vitl14_336": ("torch", "transformers"),
    "resnet50_swav": ("torch", "dgm_eval"),
    "efficientnet_lite0": ("torch", "efficientnet_lite_pytorch"),
}


def outputs(spec, weights, x):
    params = spec.params(weights)
    network = nnx.graphdef(nnx.eval_shape(spec.network))
    return jax.jit(lambda params, x: merge_module(network, params, {})(x))(params, x)


def assert_close(found, expected):
    """As parts of the greatest number: single ones may be nothing but rounding."""
    assert found.shape == expected.shape and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def pictures(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (3, height, width, channels), dtype=np.uint8)


def small_recipe(key, recipe):
    spec, side, _ = SMALL[key]
    return dataclasses.replace(
        recipe, architecture=spec, preprocessing=dataclasses.replace(recipe.preprocessing, side=side)
    )


@pytest.fixture(
    params=[(dinov2.BASE, DINOV2, DINOV2_HUGGING_FACE), (clip.LARGE_336, CLIP, CLIP_HUGGING_FACE)]
)
def transformer(request):
    """A small recipe, random weights, and the files with them."""
    recipe, *namings = request.param
    recipe = small_recipe(recipe.name.partition("_")[0], recipe)
    weights = random_weights(recipe.architecture.shapes(), 0)
    return recipe, weights, [stored(weights, naming) for naming in namings]


@pytest.mark.parametrize("key", SMALL)
def test_agrees_with_recorded_outputs(key):
    spec, side, _ = SMALL[key]
    found = outputs(spec, random_weights(spec.shapes(), 0), inputs(side))
    with np.load(CASE) as case:
        for i, output in enumerate(found):
            if f"{key}_{i}" in case:
                assert_close(np.asarray(output)[:, :COLUMNS], case[f"{key}_{i}"])
            else:
                assert output.shape == (2, 0)


@pytest.mark.slow
@pytest.mark.parametrize("key", FULL)
def test_agrees_with_the_original(key):
    for name in MODULES[key]:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"the reference needs {name}; see pretrained_case.py")
    spec, side, reference = FULL[key]
    weights = random_weights(spec.shapes(), 1)
    for found, expected in zip(
        outputs(spec, weights, inputs(side)), reference(spec, weights, inputs(side)), strict=False
    ):
        assert_close(np.asarray(found), expected)


def test_full_shapes_are_those_of_the_public_files():
    """Sizes of the published networks, without their heads."""
    counts = {"dinov2_vitb14": 86_579_712, "dinov2_vitl14": 304_367_616, "clip_vitl14_336": 304_293_888}
    for recipe in (dinov2.BASE, dinov2.LARGE, clip.LARGE_336):
        shapes = recipe.architecture.shapes()
        assert sum(int(np.prod(shape)) for shape in shapes.values()) == counts[recipe.name]
    assert len(swav.RESNET50.architecture.shapes()) == 53 * 5
    assert clip.LARGE_336.architecture.shapes()["positions"] == (577, 1024)


def test_all_files_of_a_network_are_the_same_extractor(transformer):
    recipe, weights, files = transformer
    found = [recipe.extractor(file | {"other": np.zeros(1)}, "x") for file in files]
    assert found[0].sha256 == found[1].sha256
    images = pictures(28, 28)
    np.testing.assert_array_equal(found[0](images).features, found[1](images).features)
    halves = [{name: value.astype(np.float16) for name, value in file.items()} for file in files]
    rounded = {name: value.astype(np.float32) for name, value in halves[0].items()}
    assert recipe.extractor(halves[1], "x").sha256 == recipe.extractor(rounded, "x").sha256 != found[0].sha256


def test_the_fingerprint_covers_the_preprocessing(transformer):
    recipe, _, (file, _) = transformer
    changes = ({"side": 42}, {"filter": "bilinear"}, {"fit": "shorter"}, {"mean": (0.5, 0.5, 0.5)})
    others = [
        dataclasses.replace(recipe, preprocessing=dataclasses.replace(recipe.preprocessing, **change))
        for change in changes
    ]
    assert len({each.extractor(file, "x").sha256 for each in (recipe, *others)}) == 5


def test_other_weights_are_refused(transformer):
    recipe, _, files = transformer
    for file in files:
        name = next(name for name in file if re.search(r"1\.(norm2|ln_2|layer_norm2)\.weight$", name))
        with pytest.raises(UserError, match=f"x.pth: not the weights of {recipe.name}: has no {name}"):
            recipe.extractor({key: value for key, value in file.items() if key != name}, "x.pth")
        with pytest.raises(UserError, match=rf"{name} is \[3\] instead of \[32\]"):
            recipe.extractor(file | {name: np.zeros(3, np.float32)}, "x.pth")


def test_clip_embeddings_have_unit_length_and_dinov2_features_have_not():
    for key, recipe, naming in (("clip", clip.LARGE_336, CLIP), ("dinov2", dinov2.BASE, DINOV2)):
        small = small_recipe(key, recipe)
        file = stored(random_weights(small.architecture.shapes(), 0), naming)
        lengths = np.linalg.norm(small.extractor(file, "x")(pictures(28, 28)).features, axis=1)
        assert (np.abs(lengths - 1) < 1e-6).all() == (key == "clip")


def test_images_of_any_size_in_any_batches():
    spec, side, _ = SMALL["dinov2"]
    small = small_recipe("dinov2", dinov2.BASE)
    weights = random_weights(spec.shapes(), 0)
    extractor = small.extractor(stored(weights, DINOV2), "x")
    images = pictures(50, 37)
    whole, parts = extractor(images), extractor(images, batch_size=2)
    np.testing.assert_allclose(whole.features, parts.features, rtol=1e-5, atol=1e-6)
    assert whole.features.shape == (3, 32) and whole.classes.shape == (3, 0)
    resized = [
        np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in images
    ]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet
    x = (np.stack(resized) / 255 - mean) / std
    assert_close(whole.features, np.asarray(outputs(spec, weights, x.astype(np.float32))[0]))
    grey = pictures(50, 37, 1)
    assert_close(extractor(grey).features, extractor(grey.repeat(3, 3)).features)
    with pytest.raises(UserError, match="dinov2_vitb14: expected grey or RGB images, got 4 channels"):
        extractor(np.zeros((1, 8, 8, 4), np.uint8))


def recognised(tmp_path, monkeypatch):
    """Small versions of all networks, and their files."""
    large = dataclasses.replace(SMALL["dinov2"][0], width=48)
    recipes = (
        small_recipe("dinov2", dinov2.BASE),
        dataclasses.replace(small_recipe("dinov2", dinov2.LARGE), architecture=large),
        small_recipe("clip", clip.LARGE_336),
        small_recipe("swav", swav.RESNET50),
        small_recipe("efficientnet", efficientnet.LITE0),
    )
    monkeypatch.setattr(features, "RECIPES", recipes)
    for recipe in recipes:
        weights = random_weights(recipe.architecture.shapes(), 0)
        if recipe.name.startswith(("dinov2", "clip")):
            weights = stored(weights, recipe.architecture.namings[0])
        if recipe.name == "resnet50_swav":
            weights = {f"module.{name}": value for name, value in weights.items()}
        np.savez(tmp_path / f"{recipe.name}.npz", **weights)
    return recipes


def test_a_file_is_recognised_by_its_weights(tmp_path, monkeypatch):
    for recipe in recognised(tmp_path, monkeypatch):
        assert open_extractor(str(tmp_path / f"{recipe.name}.npz")).name == recipe.name
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    with pytest.raises(UserError, match=r"other\.npz: its weights are of no known network"):
        open_extractor(str(tmp_path / "other.npz"))


@pytest.mark.parametrize("name", ["dinov2_vitb14", "dinov2_vitl14", "clip_vitl14_336", "resnet50_swav"])
def test_extractors_by_name_read_their_file_or_say_where_to_get_it(name, tmp_path, monkeypatch):
    module = next(module for module in (dinov2, clip, swav) if hasattr(module, name))
    recipes = {recipe.name: recipe for recipe in recognised(tmp_path, monkeypatch)}
    for attribute, recipe in [
        (key, value) for key, value in vars(module).items() if isinstance(value, Recipe)
    ]:
        monkeypatch.setattr(module, attribute, recipes[recipe.name])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    monkeypatch.setenv(f"COMPARE_GAN_{name.upper()}", str(tmp_path / f"{name}.npz"))
    by_name, by_path = open_extractor(name), open_extractor(str(tmp_path / f"{name}.npz"))
    assert by_name.name == by_path.name == name and by_name.sha256 == by_path.sha256
    monkeypatch.setenv(f"COMPARE_GAN_{name.upper()}", str(tmp_path / "no.npz"))
    with pytest.raises(UserError, match="which is not a file; correct or unset it"):
        open_extractor(name)


@pytest.mark.parametrize("filter", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(32, 32), (300, 70)])
def test_resizes_like_pillow(size, filter):
    images = pictures(*size) // 2 + 64  # without numbers to clip
    found = Preprocessing(99, (0,) * 3, (1,) * 3, filter).resize(images)
    method = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[filter]
    expected = [np.asarray(Image.fromarray(image).resize((99, 99), method)) for image in images]
    np.testing.assert_array_equal(found, expected)
    same = {"bicubic": "cubic", "bilinear": "linear"}[filter]
    one_pass = jax.image.resize(images.astype(np.float32), found.shape, same, antialias=True)
    assert np.abs(found - np.asarray(one_pass)).max() < 1.5  # Pillow rounds after each direction


def test_images_that_are_not_square():
    images = pictures(40, 61)
    crop = Preprocessing(28, (0,) * 3, (1,) * 3, fit="crop")
    square = images[:, :, 10:50]  # (61 - 40) // 2
    np.testing.assert_array_equal(crop.resize(images), crop.resize(square))
    shorter = Resized(images, Preprocessing(224, (0,) * 3, (1,) * 3, "bilinear", "shorter"))
    assert (
        shorter.shape == (3, 224, 341, 3) == shorter[:].shape and len(shorter) == 3
    )  # 224 * 61 / 40 = 341.6
    np.testing.assert_array_equal(shorter[1:2], shorter[:][1:2])


def test_positional_embeddings_are_interpolated_at_shifted_positions():
    """A single one against the cubic of Keys, https://doi.org/10.1109/TASSP.1981.1163711, with a = -0.75."""
    one = np.zeros((37, 37, 1), np.float32)
    one[17, 20] = 1
    distances = [np.abs((np.arange(16) + 0.5) * 37 / 16.1 - 0.5 - at) for at in (17, 20)]
    a = -0.75
    rows, columns = (
        np.select(
            [s <= 1, s < 2],
            [(a + 2) * s**3 - (a + 3) * s**2 + 1, a * s**3 - 5 * a * s**2 + 8 * a * s - 4 * a],
        )
        for s in distances
    )
    np.testing.assert_allclose(resized_grid(one, 16)[..., 0], np.outer(rows, columns), atol=1e-6)
    np.testing.assert_allclose(resized_grid(np.ones_like(one), 16), 1, rtol=1e-6)


def test_the_package_of_efficientnet_is_asked_for_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'compare_gan\[imagenet\]'$"):
        open_extractor("efficientnet_lite0")
    (tmp_path / "models").mkdir()
    (tmp_path / efficientnet.FILE).write_bytes(b"other")
    spec = importlib.util.spec_from_file_location("x", tmp_path / "__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(UserError, match=r"57934424\.pth: missing or damaged; pip install --force-reinstall"):
        open_extractor("efficientnet_lite0")


@pytest.mark.slow
def test_efficientnet_sees_a_palace_and_a_daisy():
    if importlib.util.find_spec(efficientnet.PACKAGE) is None:
        pytest.skip("needs compare_gan[imagenet]")
    photographs = np.stack(load_sample_images().images)  # a Chinese palace, a flower
    found = open_extractor("efficientnet_lite0")(photographs, batch_size=2)
    best = np.argsort(-found.classes, axis=1)[:, :5]
    assert 698 in best[0] and best[1, 0] == 985
    assert found.features.shape == (2, 1280)
