"""Models of the original become runs: every array in its place, and one line where that is not possible."""

import io
import re
import subprocess
import sys
import tarfile

import jax
import numpy as np
import pytest
from flax import traverse_util

import compare_gan as cg
from compare_gan.core.crc32c import crc32c
from compare_gan.core.errors import UserError
from compare_gan.gans.standing import prepare_for_inference, without_statistics
from compare_gan.main import main
from compare_gan.tf1.convert import read_model
from compare_gan.tf1.names import current
from compare_gan.training.checkpoints import Checkpoints

from . import tiny, writer
from .test_bundle import mutated
from .tiny import CH, CONDITIONAL, CONFIG, PLAIN, SIDE, STEP, Z, arrays, write_model_dir, write_module

OPTIONS = {"image_size": SIDE}


def flat(tree):
    return {"/".join(map(str, path)): np.asarray(x) for path, x in traverse_util.flatten_dict(tree).items()}


def place(name):
    """Where a variable of a tiny network is, written down here once more."""
    _, layer, *rest = name.split("/")
    kind, number = layer[2:-1], int(layer[-1])
    at = {"fc": f"fc{number}", "bn": f"norms/{number - 1}", "dc": f"deconvs/{number - 1}"}
    at |= {"conv": f"backbone/convs/{number - 1}"}
    first = f"backbone/{at[kind]}" if layer == "d_fc4" else at[kind]
    rest = [part for part in rest if part not in ("condition", "accu")]
    if rest[-1] == "u_var":
        rest = ["u"]
    if rest[-1].startswith(("moving", "accu")):
        rest = ["standardize", *rest]
    return "/".join([first, *rest])


def parts(state):
    """The arrays of a state by network and what they are."""
    return {
        ("g", ""): flat(state.g.params) | flat(state.g.extra),
        ("d", ""): flat(state.d.params) | flat(state.d.extra),
        ("g", "/g_opt"): flat(state.g_opt.mu),
        ("g", "/g_opt_1"): flat(state.g_opt.nu),
        ("d", "/d_opt"): flat(state.d_opt.mu),
        ("d", "/d_opt_1"): flat(state.d_opt.nu),
        ("g", "/ExponentialMovingAverage"): flat(state.g_ema or {}),
    }


def assert_has(state, values):
    """The state has these variables, and no others."""
    found, seen = parts(state), 0
    for name, value in values.items():
        if not name.startswith(("generator", "discriminator")) or name.endswith("update_accus"):
            continue
        kinds = [kind for _, kind in found if kind and name.endswith(kind)]
        kind = kinds[0] if kinds else ""
        array = found[name[0], kind][place(name.removesuffix(kind))]
        np.testing.assert_array_equal(array, value, err_msg=name)
        assert array.dtype == value.dtype
        seen += 1
    assert seen == sum(map(len, found.values()))


def test_a_checkpoint_becomes_a_run(tmp_path, capsys):
    values = arrays(averaged=True)
    source = write_model_dir(tmp_path / "model_dir", arrays(), step=9)
    write_model_dir(source, values, CONFIG + PLAIN + tiny.AVERAGED)
    out = tmp_path / "run"
    assert main(["import", str(source), "--out", str(out), "--image_size", str(SIDE)]) == 0
    assert f"step {STEP} of {source}: {out}" in capsys.readouterr().out
    run = cg.open_run(out)
    assert run.step_number() == STEP and run.gan.z_dim == Z
    assert run.gan.prior.keywords == {"stddev": 0.5}  # that of training
    with read_model(source, **OPTIONS) as model:
        state = Checkpoints(out).restore_step(STEP, model.imported.state)
    assert_has(state, values)
    assert (int(state.step), int(state.g_opt.count), int(state.d_opt.count)) == (STEP, STEP, 2 * STEP)
    assert main(["import", str(source), "--out", str(out)]) == 2
    assert "is not empty; choose another --out" in capsys.readouterr().err


def rotation_head(trained):
    """As SSGAN makes it, also with `self_supervision = "none"`, where it is never trained."""
    name, features = "discriminator_rotation/score_classify", 2 * 2 * 8 * CH
    head = {f"{name}/kernel": (features, 4), f"{name}/bias": (4,), f"{name}/kernel/u_var": (features, 1)}
    if trained:
        head |= {
            f"{name}/{part}/d_opt{i}": head[f"{name}/{part}"]
            for part in ("kernel", "bias")
            for i in ("", "_1")
        }
    return {name: np.ones(shape, np.float32) for name, shape in head.items()}


def test_a_head_that_was_never_trained_is_left_out(tmp_path):
    values = arrays()
    source = write_model_dir(tmp_path / "a", values | rotation_head(trained=False))
    with read_model(source, **OPTIONS) as model:
        assert "its head for rotation was never trained; it is left out" in model.notes
        assert_has(model.imported.state, values)
    source = write_model_dir(tmp_path / "b", values | rotation_head(trained=True))
    with pytest.raises(UserError, match="configuration does not have: discriminator_rotation"):
        with read_model(source, **OPTIONS):
            pass


def archived(folder, archive):
    with tarfile.open(archive, "w:gz") as file:
        for path in sorted(folder.rglob("*")):
            file.add(path, f"./{path.relative_to(folder)}", recursive=False)
    return archive


def test_a_module_is_configured_by_what_it_tells(tmp_path):
    """Everything is that of the checkpoint with filled statistics, which the original scored."""
    values = arrays(True, averaged=True, training=False)
    filled = {name: value + 1 for name, value in values.items()}
    module = write_module(tmp_path / "module", values, filled, tiny.CLASSES)
    archive = archived(module, tmp_path / "module.tar.gz")
    with read_model(archive, prior="uniform") as model:
        gan, state = model.parsed.gan(model.spec), model.imported.state
        assert gan.spec.image_shape == (SIDE, SIDE, 1) and gan.spec.num_classes == gan.y_dim == tiny.CLASSES
        assert gan.g_use_ema and gan.layers.batch.epsilon == pytest.approx(1e-3)
        assert gan.make_generator.keywords == {"ch": CH}
        for name, value in filled.items():
            kind = "/ExponentialMovingAverage"
            if not name.endswith("update_accus"):
                tree = parts_of_generator(state)[name.endswith(kind)]
                np.testing.assert_array_equal(tree[place(name.removesuffix(kind))], value)
        assert any("3" not in note and "no discriminator" in note for note in model.notes)
    with pytest.raises(UserError, match="give --prior normal"), read_model(module):
        pass


def parts_of_generator(state):
    return flat(state.g.params) | flat(state.g.extra), flat(state.g_ema)


def test_filled_statistics_are_used_and_empty_ones_are_filled(tmp_path):
    values = arrays(True, counter=5.0)
    config = CONFIG + CONDITIONAL
    source = write_model_dir(tmp_path / "a", values, config)
    with read_model(source, **OPTIONS) as model:
        gan, state = model.parsed.gan(model.spec), model.imported.state
        assert any("accumulated over 5 batches, are used" in note for note in model.notes)
    prepared = prepare_for_inference(gan, state, 1)
    jax.tree.map(np.testing.assert_array_equal, prepared.g.extra, state.g.extra)
    emptied = flat(without_statistics(state).g.extra)
    assert {float(emptied[f"norms/{i}/standardize/accu_counter"]) for i in range(4)} == {np.float32(1e-12)}
    assert not emptied["norms/2/standardize/accu_mean"].any()


def test_statistics_of_a_checkpoint_are_those_of_its_module(tmp_path):
    values = arrays(True)
    source = write_model_dir(tmp_path / "a", values, CONFIG + CONDITIONAL)
    filled = {name: value + 3 for name, value in arrays(True, training=False).items()}
    write_module(source / "tfhub" / str(STEP), arrays(True, training=False), filled, tiny.CLASSES)
    with read_model(source, **OPTIONS) as model:
        found = flat(model.imported.state.g.extra) | flat(model.imported.state.g.params)
    with read_model(source / "tfhub" / str(STEP), **OPTIONS) as model:  # configured by that of the model_dir
        assert int(model.imported.state.step) == STEP and model.parsed.dataset.name == "mine"
    for name, value in values.items():
        if name.startswith("generator") and "opt" not in name and not name.endswith("update_accus"):
            expected = filled[name] if "/accu/" in name else value
            np.testing.assert_array_equal(found[place(name)], expected)


@pytest.mark.parametrize("source", [str(STEP), ".", f"../tfhub/{STEP}"])
def test_a_module_may_be_named_from_inside_its_folder(tmp_path, monkeypatch, source):
    folder = write_model_dir(tmp_path / "a", arrays(), CONFIG + PLAIN) / "tfhub" / str(STEP)
    write_module(folder, arrays(training=False))
    monkeypatch.chdir(folder if source == "." else folder.parent)
    with read_model(source, **OPTIONS) as model:  # configured by that of the model_dir
        assert int(model.imported.state.step) == STEP and model.parsed.dataset.name == "mine"


def test_a_warning_about_the_configuration_is_given_once(tmp_path, caplog):
    config = CONFIG + PLAIN + "run_config.iterations_per_loop = 500\n"
    source = write_model_dir(tmp_path / "a", arrays(), config)
    cg.import_tf(source, tmp_path / "run", image_size=SIDE)
    assert caplog.text.count("run_config.iterations_per_loop changes nothing here") == 1


def without(name):
    return {key: value for key, value in arrays().items() if key != name}


@pytest.mark.parametrize(
    ("values", "config", "message"),
    [
        (without("generator/g_dc2/bias"), PLAIN, r"lacks variables of the generator .*deconvs/1/bias"),
        (without("discriminator/d_conv1/kernel/u_var"), PLAIN, "lacks variables of the discriminator"),
        (
            without("generator/g_fc1/bias/g_opt_1"),
            PLAIN,
            "lacks variables of Adam's second moments of the generator",
        ),
        (
            arrays() | {"generator/g_dc9/bias": np.zeros(1, "f4")},
            PLAIN,
            "does not have: generator/g_dc9/bias",
        ),
        (arrays() | {"vae/kernel": np.zeros(1, "f4")}, PLAIN, "does not have: vae/kernel"),
        (arrays() | {"generator/g_fc1/bias": np.zeros(3, "f4")}, PLAIN, r"g_fc1/bias is float32 \[3\], but"),
        (arrays() | {"generator/g_fc1/bias": np.zeros(16)}, PLAIN, "g_fc1/bias is float64"),
        (arrays(averaged=True), PLAIN, "g_use_ema is False"),
        (arrays(), CONDITIONAL, "does not have: generator/g_bn1/beta"),
        (
            arrays(),
            "G.batch_norm_fn = None\n",
            "variables of the generator that the configuration does not have",
        ),
        (arrays() | {"global_step": np.array(-3)}, PLAIN, "counts -3"),
        (arrays() | {"global_step": np.array([1, 2])}, PLAIN, r"global_step is int64 \[2\]"),
        (arrays() | {"global_step": np.array(1.5)}, PLAIN, "global_step is float64"),
        (arrays(), PLAIN + "options.architecture = 'r3gan_arch'\n", "the original has no r3gan_arch"),
        (arrays(), PLAIN + "import os\n", "os"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, capsys, values, config, message):
    config = (CONFIG + config).replace("'mine'", "'cifar10'")
    source = write_model_dir(tmp_path / "model_dir", values, config)
    words = ["import", str(source), "--out", str(tmp_path / "run"), "--image_size", str(SIDE)]
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(message, error), error
    assert not (tmp_path / "run").exists()


def tar(path, members):
    with tarfile.open(path, "w:gz") as file:
        for member, data in members:
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def named(name, **fields):
    member = tarfile.TarInfo(name)
    for key, value in fields.items():
        setattr(member, key, value)
    return member


def test_sources_that_are_none(tmp_path):
    module = write_module(tmp_path / "module", arrays(training=False))
    good = archived(module, tmp_path / "good.tar.gz").read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(good[: len(good) // 2])
    (tmp_path / "none.tar.gz").write_bytes(b"no archive")
    (tmp_path / "empty").mkdir()
    outside = tmp_path / "outside"
    link = named("saved_model.pb", type=tarfile.SYMTYPE, linkname=str(module / "saved_model.pb"))
    tar(tmp_path / "evil.tar.gz", [(named("../outside"), b"x"), (named(str(outside)), b"x"), (link, b"")])
    long = named("./pax", type=tarfile.XHDTYPE)
    tar(tmp_path / "header.tar.gz", [(long, b"0" * 2**21)])
    damaged = write_module(tmp_path / "damaged", arrays(training=False))
    (damaged / "saved_model.pb").write_bytes(b"\x12\xff\xff\xff\x7f")
    cases = {
        "cut.tar.gz": "cannot be unpacked",
        "none.tar.gz": "cannot be unpacked",
        "evil.tar.gz": "is not a TF-Hub module",
        "header.tar.gz": "cannot be unpacked",
        "empty": "no checkpoints",
        "nothing": "does not exist",
        "damaged": r"saved_model.pb: has a field that is longer than its message",
    }
    for name, message in cases.items():
        with pytest.raises(UserError, match=message), read_model(tmp_path / name, prior="normal"):
            pass
    assert not outside.exists()
    write_model_dir(tmp_path / "empty", arrays())
    with (
        pytest.raises(UserError, match="has no checkpoint of step 3; it has 40"),
        read_model(tmp_path / "empty", step=3),
    ):
        pass
    with pytest.raises(UserError, match="give --image_size"), read_model(tmp_path / "empty"):
        pass
    (tmp_path / "empty" / "operative_config-0.gin").unlink()
    with pytest.raises(UserError, match="no operative_config"), read_model(tmp_path / "empty"):
        pass


def test_published_modules_are_not_downloaded(tmp_path):
    for name in ("google/compare_gan/ssgan_128x128", "https://tfhub.dev/google/compare_gan/ssgan_128x128/1"):
        with pytest.raises(UserError, match="are not downloaded.*--archive"):
            cg.import_tf(name, tmp_path / "run")
    with pytest.raises(UserError, match="not a published module of compare_gan; known: s3gan_2_5"):
        cg.import_tf("google/compare_gan/s3gan_11_128x128", tmp_path / "run")
    module = write_module(tmp_path / "module", arrays(training=False))
    archive = archived(module, tmp_path / "x.tar.gz")
    with read_model("google/compare_gan/ssgan_128x128", archive=archive) as model:
        assert model.parsed.dataset.name == "imagenet_128"
        assert model.parsed.gan(model.spec).prior.__name__ == "normal"


@pytest.mark.parametrize(
    ("name", "now"),
    [
        ("gen_module/generator/B1/bn1/gamma", "generator/B1/bn1/gamma"),
        ("generator/fc_noise/Matrix", "generator/fc_noise/kernel"),
        ("discriminator/B1/down_conv1/w", "discriminator/B1/down_conv1/kernel"),
        ("generator/final_conv/biases", "generator/final_conv/bias"),
        (
            "discriminator/B1/down_conv1/discriminator/B1/down_conv1/w0/u_var",
            "discriminator/B1/down_conv1/kernel/u_var",
        ),
        ("discriminator/B1/down_conv1/kernel/u_var", "discriminator/B1/down_conv1/kernel/u_var"),
    ],
)
def test_names_of_other_versions(name, now):
    assert current(name) == now


@pytest.mark.slow
def test_training_goes_on(tmp_path, capsys):
    """From the step and the counts of the checkpoint; accumulated statistics do not outlive it."""
    values = arrays(True, counter=5.0)
    config = CONFIG + CONDITIONAL
    source, out = write_model_dir(tmp_path / "model_dir", values, config), tmp_path / "run"
    run = cg.import_tf(source, out, image_size=SIDE)
    assert run.sample(2, label=1).shape == (2, SIDE, SIDE, 1)
    assert "accumulating" not in capsys.readouterr().err
    images = cg.open_dataset("digits").train.images[:32]
    words = ["--gin_config", str(out / "operative_config.gin"), "--gin_bindings", "options.training_steps=42"]
    np.savez(tmp_path / "digits.npz", images=images, labels=np.arange(32) % tiny.CLASSES)
    assert main(["train", "--model_dir", str(out), "--data", str(tmp_path / "digits.npz"), *words]) == 0
    assert f"resuming from step {STEP}" in capsys.readouterr().out
    run = cg.open_run(out)
    assert run.step_number() == 42 and run.about["imported"]["step"] == STEP
    state = run.restore()
    assert (int(state.step), int(state.g_opt.count), int(state.d_opt.count)) == (42, 42, 2 * STEP + 2)
    counters = [x for name, x in flat(state.g.extra).items() if name.endswith("accu_counter")]
    assert np.array_equal(counters, np.full(4, 1e-12, np.float32))


MEASURED = """
import resource, sys
import jax
from compare_gan.tf1.convert import import_tf
jax.numpy.zeros(3).block_until_ready()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
import_tf(sys.argv[1], sys.argv[2], image_size=8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_of_importing_a_checkpoint_of_a_gigabyte(tmp_path, monkeypatch):
    monkeypatch.setattr(writer, "_crc32c", crc32c)  # tensorboardX's takes minutes
    monkeypatch.setattr(tiny, "CH", 200)
    values = arrays()
    size = sum(value.nbytes for value in values.values())
    assert 0.9e9 < size < 1.1e9
    source = write_model_dir(tmp_path / "model_dir", values, CONFIG.replace("ch = 2", "ch = 200") + PLAIN)
    del values
    words = [sys.executable, "-c", MEASURED, str(source), str(tmp_path / "run")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout.split()[-1]) * 1024 < size + 1.3e9


@pytest.mark.slow
def test_damaged_modules_are_refused_in_one_line(tmp_path):
    """200 mutations of the files of a module."""
    values = arrays(True, averaged=True, training=False)
    module = write_module(tmp_path / "module", values, values, tiny.CLASSES)
    files = [path for path in sorted(module.rglob("*")) if path.is_file()]
    good, rng, refused = {path: path.read_bytes() for path in files}, np.random.default_rng(3), 0
    for i in range(200):
        path = files[i % len(files)]
        path.write_bytes(mutated(good[path], rng))
        try:
            with read_model(module, prior="normal"):
                pass
        except UserError as error:
            assert "\n" not in str(error) and str(module) in str(error), error
            refused += 1
        path.write_bytes(good[path])
    assert refused > 60
