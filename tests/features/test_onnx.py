"""ONNX networks built from a few operations that NumPy can reproduce."""

import sys

import numpy as np
import pytest

from compare_gan.core.errors import UserError
from compare_gan.features import open_extractor
from compare_gan.features.resize import clean

onnx = pytest.importorskip("onnx", reason="builds its networks with onnx")
pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install compare_gan[onnx]")

MIX = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture
def make_network(tmp_path):
    """Writes a network whose features mix the channel means and whose logits are twice the features."""

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
        inputs, results = [value("x", kind, shape)], [value(output, single, None) for output in outputs]
        graph = onnx.helper.make_graph(nodes, "net", inputs, results, constants)
        opsets = [onnx.helper.make_opsetid("", 13)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        (tmp_path / name).write_bytes(model.SerializeToString())
        return str(tmp_path / name)

    return write


def images(count, h=8, w=8, c=3):
    return np.random.default_rng(1).integers(0, 256, (count, h, w, c), dtype=np.uint8)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_channels_first_and_floats(make_network):
    extractor, x = open_extractor(make_network(["n", 3, None, None])), images(7)
    seen, expected = extractor(x, batch_size=3), (x / 255).mean((1, 2)) @ MIX[:3]
    assert_close(seen.features, expected)
    assert_close(seen.classes, 2 * expected)
    assert extractor.name == "net.onnx" and len(extractor.sha256) == 64 and extractor.class_names == ()
    assert_close(extractor(images(2, 9, 30)).features, (images(2, 9, 30) / 255).mean((1, 2)) @ MIX[:3])


def test_channels_last_and_uint8_with_batch_size_one(make_network):
    extractor, x = open_extractor(make_network([1, 8, 8, 3], "UINT8", axes=(1, 2))), images(3)
    assert_close(extractor(x).features, x.mean((1, 2)) @ MIX[:3])


def test_unnamed_outputs_are_used_in_order(make_network):
    extractor = open_extractor(make_network(["n", 3, 8, 8], outputs=["logits"]))
    seen = extractor(images(2))
    assert_close(seen.features, 2 * (images(2) / 255).mean((1, 2)) @ MIX[:3])
    assert seen.classes.shape == (2, 0)


def test_grey_images_are_repeated_to_rgb(make_network):
    seen = open_extractor(make_network(["n", 3, 8, 8]))(images(2, c=1))
    assert_close(seen.features, (images(2, c=1).repeat(3, 3) / 255).mean((1, 2)) @ MIX[:3])


def test_other_sizes_are_resized_to_squares(make_network):
    expected = np.asarray(clean(images(2, 20, 30).astype(np.float32), 8))
    seen = open_extractor(make_network(["n", 3, 8, 8]))(images(2, 20, 30))
    assert_close(seen.features, (expected / 255).mean((1, 2)) @ MIX[:3])
    rounded = open_extractor(make_network(["n", 3, 8, 8], "UINT8"))(images(2, 20, 30))
    assert_close(rounded.features, np.rint(expected).mean((1, 2)) @ MIX[:3])


def test_images_of_unsupported_shapes_are_refused(make_network):
    with pytest.raises(UserError, match=r"net\.onnx: expected images \[8, 6, 3\], got \[8, 8, 3\]"):
        open_extractor(make_network(["n", 3, 8, 6]))(images(2))
    with pytest.raises(UserError, match=r"expected images \['any', 'any', 1\], got \[8, 8, 3\]"):
        open_extractor(make_network(["n", 1, None, None]))(images(2))


def test_other_networks_are_refused(make_network):
    with pytest.raises(UserError, match="it must have one input, a batch of images"):
        open_extractor(make_network(["n", 3, 8], axes=(2,)))
    with pytest.raises(UserError, match="it must have one input, a batch of images"):
        open_extractor(make_network(["n", 3, 8, 8], "INT64"))
    with pytest.raises(UserError, match="no axis of 1 or 3 channels"):
        open_extractor(make_network(["n", 4, 8, 8]))
    with pytest.raises(UserError, match=r"its output float is \[2, 3, 8, 8\] for 2 images"):
        open_extractor(make_network([2, 3, 8, 8], outputs=["float"]))(images(2))


def test_without_onnxruntime_the_error_names_the_package(make_network, monkeypatch):
    path = make_network(["n", 3, 8, 8])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"net\.onnx: needs onnxruntime; pip install 'compare_gan\[onnx\]'"):
        open_extractor(path)
