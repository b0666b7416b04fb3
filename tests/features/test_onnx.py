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


def make_model(path, nodes, constants=(), outputs=("features",), **saving):
    value, single = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs, results = [value("x", single, ["n", 3, 8, 8])], [value(name, single, None) for name in outputs]
    graph = onnx.helper.make_graph(nodes, "net", inputs, results, list(constants))
    opsets = [onnx.helper.make_opsetid("", 13)]
    onnx.save_model(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), path, **saving)
    return path


def mean_node():
    return onnx.helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0)


def with_external_weights(path, location="w.bin"):
    """A network of one matrix, which is in a file of its own."""
    nodes = [mean_node(), onnx.helper.make_node("MatMul", ["means", "mix"], ["features"])]
    constants = [onnx.numpy_helper.from_array(MIX[:3], "mix")]
    options = {"save_as_external_data": True, "location": location, "size_threshold": 0}
    return make_model(path, nodes, constants, **options)


def test_external_weights_are_part_of_the_fingerprint(tmp_path, monkeypatch):
    path = with_external_weights(tmp_path / "net.onnx")
    monkeypatch.chdir("/")
    before = open_extractor(str(path))
    assert_close(before(images(2)).features, (images(2) / 255).mean((1, 2)) @ MIX[:3])
    (tmp_path / "w.bin").write_bytes((2 * MIX[:3]).tobytes())
    after = open_extractor(str(path))
    assert_close(after(images(2)).features, (images(2) / 255).mean((1, 2)) @ (2 * MIX[:3]))
    assert before.sha256 != after.sha256


def test_external_weights_are_read_from_the_folder_of_the_network_only(tmp_path):
    path = with_external_weights(tmp_path / "net.onnx", "w.bin")
    content = path.read_bytes()
    (tmp_path / "w.bin").rename(tmp_path / "v.bin")
    with pytest.raises(UserError, match=r"w\.bin: cannot be read"):
        open_extractor(str(path))
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "net.onnx").write_bytes(content.replace(b"w.bin", b"../w2").replace(b"w2", b"v2"))
    with pytest.raises(UserError, match="refers to weights outside its folder"):
        open_extractor(str(tmp_path / "in" / "net.onnx"))
    entry = b"\n\x08location\x12\x05w.bin"
    assert entry in content
    path.write_bytes(content.replace(entry, b"\x12\x05v.bin\n\x08location"))  # the same, in another order
    with pytest.raises(UserError, match="not a valid ONNX network"):
        open_extractor(str(path))


def test_an_endless_loop_is_stopped(tmp_path, monkeypatch):
    value, kinds = onnx.helper.make_tensor_value_info, onnx.TensorProto
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Identity", ["on"], ["still"]),
            onnx.helper.make_node("Add", ["v", "v"], ["w"]),
        ],
        "body",
        [value("i", kinds.INT64, []), value("on", kinds.BOOL, []), value("v", kinds.FLOAT, None)],
        [value("still", kinds.BOOL, []), value("w", kinds.FLOAT, None)],
    )
    nodes = [mean_node(), onnx.helper.make_node("Loop", ["n", "t", "means"], ["features"], body=body)]
    constants = [
        onnx.numpy_helper.from_array(np.array(2**62), "n"),
        onnx.numpy_helper.from_array(np.array(True), "t"),
    ]
    monkeypatch.setattr("compare_gan.features.onnx_file.BATCH_S", 0.5)
    extractor = open_extractor(str(make_model(tmp_path / "net.onnx", nodes, constants)))
    with pytest.raises(UserError, match=r"net\.onnx: a batch of 2 images: stopped after 0\.5 seconds"):
        extractor(images(2), batch_size=2)


def test_a_network_that_asks_for_too_much_memory_is_stopped(tmp_path):
    node = onnx.helper.make_node
    nodes = [
        mean_node(),
        node("Shape", ["x"], ["shape"]),
        node("Sub", ["shape", "shape"], ["zero"]),
        node("Add", ["zero", "sides"], ["size"]),  # not constant, so that it is not computed when it is read
        node(
            "ConstantOfShape", ["size"], ["big"], value=onnx.numpy_helper.from_array(np.ones(1, np.float32))
        ),
        node("ReduceMean", ["big"], ["mean"], axes=[2, 3], keepdims=0),
        node("Add", ["means", "mean"], ["features"]),
    ]
    sides = onnx.numpy_helper.from_array(np.array([1, 1, 10**6, 10**6]), "sides")
    extractor = open_extractor(str(make_model(tmp_path / "net.onnx", nodes, [sides])))
    with pytest.raises(UserError, match=r"net\.onnx: failed on a batch .*[Mm]emory"):
        extractor(images(2), batch_size=2)
