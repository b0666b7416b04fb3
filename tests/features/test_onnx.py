"""Networks of ONNX files, made here from a few operations that NumPy can do, too."""

import sys

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.features import open_extractor
from compare_gan.features.resize import clean

onnx = pytest.importorskip("onnx", reason="makes its networks with onnx")
pytest.importorskip("onnxruntime", reason="what is tested needs onnxruntime: pip install compare_gan[onnx]")

MIX = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture
def made(tmp_path):
    """A file whose features are a mix of the channels' means and whose logits are twice these."""

    def write(shape, dtype="FLOAT", outputs=("features", "logits"), axes=(2, 3), name="net.onnx"):
        kind, single = getattr(onnx.TensorProto, dtype), onnx.TensorProto.FLOAT
        node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
        nodes = [
            node("Cast", ["x"], ["float"], to=single),
            node("ReduceMean", ["float"], ["means"], axes=list(axes), keepdims=0),
            node("MatMul", ["means", "mix"], ["features"]),
            node("Add", ["features", "features"], ["logits"]),
        ]
        (channels,) = (side for axis, side in enumerate(shape) if axis not in (0, *axes))
        constants = [onnx.numpy_helper.from_array(MIX[:channels], "mix")]
        given, found = [value("x", kind, shape)], [value(output, single, None) for output in outputs]
        graph = onnx.helper.make_graph(nodes, "net", given, found, constants)
        opsets = [onnx.helper.make_opsetid("", 13)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        (tmp_path / name).write_bytes(model.SerializeToString())
        return str(tmp_path / name)

    return write


def images(count, h=8, w=8, c=3):
    return np.random.default_rng(1).integers(0, 256, (count, h, w, c), dtype=np.uint8)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_channels_first_and_floats_between_zero_and_one(made):
    extractor, x = open_extractor(made(["n", 3, None, None])), images(7)
    seen, expected = extractor(x, batch_size=3), (x / 255).mean((1, 2)) @ MIX[:3]
    assert_close(seen.features, expected)
    assert_close(seen.classes, 2 * expected)
    assert extractor.name == "net.onnx" and len(extractor.sha256) == 64 and extractor.class_names == ()
    assert_close(extractor(images(2, 9, 30)).features, (images(2, 9, 30) / 255).mean((1, 2)) @ MIX[:3])


def test_channels_last_whole_numbers_and_one_image_at_a_time(made):
    extractor, x = open_extractor(made([1, 8, 8, 3], "UINT8", axes=(1, 2))), images(3)
    assert_close(extractor(x).features, x.mean((1, 2)) @ MIX[:3])


def test_outputs_of_other_names_are_taken_in_order(made):
    extractor = open_extractor(made(["n", 3, 8, 8], outputs=["logits"]))
    seen = extractor(images(2))
    assert_close(seen.features, 2 * (images(2) / 255).mean((1, 2)) @ MIX[:3])
    assert seen.classes.shape == (2, 0)


def test_grey_images_become_coloured(made):
    seen = open_extractor(made(["n", 3, 8, 8]))(images(2, c=1))
    assert_close(seen.features, (images(2, c=1).repeat(3, 3) / 255).mean((1, 2)) @ MIX[:3])


def test_other_sizes_are_resized_to_squares(made):
    expected = np.asarray(clean(images(2, 20, 30).astype(np.float32), 8))
    seen = open_extractor(made(["n", 3, 8, 8]))(images(2, 20, 30))
    assert_close(seen.features, (expected / 255).mean((1, 2)) @ MIX[:3])
    whole = open_extractor(made(["n", 3, 8, 8], "UINT8"))(images(2, 20, 30))
    assert_close(whole.features, np.rint(expected).mean((1, 2)) @ MIX[:3])


def test_images_that_do_not_fit_are_refused(made):
    with pytest.raises(UserError, match=r"net\.onnx: wants images \[8, 6, 3\], got \[8, 8, 3\]"):
        open_extractor(made(["n", 3, 8, 6]))(images(2))
    with pytest.raises(UserError, match=r"wants images \['any', 'any', 1\], got \[8, 8, 3\]"):
        open_extractor(made(["n", 1, None, None]))(images(2))


def test_other_networks_are_refused(made):
    with pytest.raises(UserError, match="its one input must be a batch of images"):
        open_extractor(made(["n", 3, 8], axes=(2,)))
    with pytest.raises(UserError, match="its one input must be a batch of images"):
        open_extractor(made(["n", 3, 8, 8], "INT64"))
    with pytest.raises(UserError, match="no axis of 1 or 3 channels"):
        open_extractor(made(["n", 4, 8, 8]))
    with pytest.raises(UserError, match=r"its output float is \[2, 3, 8, 8\] for 2 images"):
        open_extractor(made([2, 3, 8, 8], outputs=["float"]))(images(2))


def test_without_onnxruntime_it_says_what_to_install(made, monkeypatch):
    path = made(["n", 3, 8, 8])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"net\.onnx: needs onnxruntime; pip install 'compare_gan\[onnx\]'"):
        open_extractor(path)
