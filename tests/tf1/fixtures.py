"""Folders that the original compare_gan wrote, with what TensorFlow computed from them; see `__main__`."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import traverse_util

from compare_gan.core.types import Cond, GANState
from compare_gan.gans.gan import GAN
from compare_gan.gans.inference import eval_params
from compare_gan.nn.state import merge_module
from compare_gan.tf1.bundle import read_tensor_bundle
from compare_gan.tf1.convert import Model, import_tf, read_model
from compare_gan.tf1.names import AVERAGE, place
from compare_gan.tf1.state import read_state
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.loop import COMPILE_FAST
from tests.parity.reference import Deviation, fill, one_hot, uniform

# The tolerance: CLOSE, or TIMES the difference that a first import in float32 had.
CLOSE, TIMES = 2e-6, 10
BETAS = {"beta1_power": 0.5, "beta2_power": 0.999}
UNCOMPARED = {  # arrays that are inputs, or that an importer must not reproduce
    "z",
    "labels",
    "labels_for_d",
    "labels_for_heads",
    "generated_8_second_call",  # the spectral vectors have moved on
}


@dataclasses.dataclass(frozen=True)
class Fixture:
    """A folder: its files, all of them there, and the arrays that TensorFlow computed."""

    name: str
    meta: dict[str, Any]
    arrays: dict[str, np.ndarray]
    model_dir: Path
    module: Path  # folder or archive
    complete: Path | None  # the same with the discriminator
    unpacked: Path  # the files of the module

    @property
    def config(self) -> Path:
        return next(iter(sorted(self.model_dir.glob("operative_config-*.gin"))))

    @property
    def rule(self) -> dict[str, Any]:
        return self.meta.get("made_by_rule", {})

    def allowed(self, key: str) -> float:
        known = self.meta.get("max_abs_difference_of_a_jax_import", {})
        return max(CLOSE, TIMES * known.get(key, 0.0))


def value(name: str, dtype: str, shape: Iterable[int], step: int) -> np.ndarray:
    """The value of a tensor that a fixture makes by rule."""
    shape = tuple(shape)
    last = name.split("/")[-1]
    if name in ("global_step", "global_step_disc"):
        return np.array(step, dtype)
    if last in ("g_opt", "g_opt_1", "d_opt", "d_opt_1"):
        return np.zeros(shape, dtype)
    if last in BETAS:
        return np.array(np.float32(BETAS[last]) ** 2, dtype)
    return np.asarray(fill(name, shape), dtype)


def folders(root: Path) -> list[Path]:
    """The fixtures in a folder, or the folder itself if it is one."""
    if (root / "fixture.json").exists():
        return [root]
    return sorted(path.parent for path in root.glob("*/fixture.json"))


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[Fixture]:
    """A fixture whose files are all there: those that are made by rule are written to a temporary folder."""
    meta = json.loads((folder / "fixture.json").read_text())
    with np.load(folder / "reference.npz") as arrays:
        reference = dict(arrays)
    archives = sorted(folder.glob("module.tar.*"))
    complete = sorted(folder.glob("module_complete.tar.*"))
    with tempfile.TemporaryDirectory() as scratch:
        model_dir, unpacked = Path(scratch) / "model_dir", Path(scratch) / "module"
        model_dir.mkdir()
        for path in (folder / "model_dir").iterdir():
            (model_dir / path.name).symlink_to(path.resolve())
        with tarfile.open(archives[0]) as archive:
            archive.extractall(unpacked, filter="data")
        for name, file in meta.get("made_by_rule", {}).items():
            with open(Path(scratch) / name, "wb") as target:
                for tensor in file["tensors"]:
                    target.write(value(*tensor, meta["step"]).tobytes())
        module = unpacked if meta.get("made_by_rule") else archives[0]
        yield Fixture(
            folder.name, meta, reference, model_dir, module, complete[0] if complete else None, unpacked
        )


def checked(folder: Path) -> Iterator[Deviation]:
    """All comparisons of a fixture."""
    with opened(folder) as fixture:
        compared: set[str] = set(UNCOMPARED)
        yield from files(fixture)
        yield from tensors(fixture)
        for deviation in (*images(fixture), *predictions(fixture), *complete_module(fixture)):
            compared.add(deviation.what.split(",")[0].split(":")[-1].strip())
            yield deviation
        if "generated_8_filled" in fixture.arrays:  # without statistics these are no images
            compared |= {"generated_8", "generated_1"}
        forgotten = sorted(fixture.arrays.keys() - compared)
        yield Deviation(f"arrays that nothing compares: {', '.join(forgotten) or 'none'}", len(forgotten), 0)
        yield from continued(fixture)


def files(fixture: Fixture) -> Iterator[Deviation]:
    """The files have the recorded checksums."""
    known = {f"module/{name}": member["sha256"] for name, member in fixture.meta["members"].items()}
    known |= {name: file["sha256"] for name, file in fixture.rule.items()}
    root = fixture.unpacked.parent
    wrong = [n for n, sha in known.items() if hashlib.sha256((root / n).read_bytes()).hexdigest() != sha]
    yield Deviation(f"files with other bytes: {', '.join(wrong) or 'none'}", len(wrong), 0)


def tensors(fixture: Fixture) -> Iterator[Deviation]:
    """Names, shapes, types and bits of all tensors: those of the rule, or the bytes of the file in order."""
    root = fixture.unpacked.parent
    for name, expected in fixture.meta["variables"].items():
        inside = root / "module" / name
        prefix = inside if Path(f"{inside}.index").exists() else root / "model_dir" / Path(name).name
        bundle = read_tensor_bundle(prefix)
        ours = {n: [list(bundle.shape(n)), str(bundle[n].dtype)] for n in bundle}
        theirs = {n: [shape, dtype] for n, shape, dtype in expected}
        off = [n for n in ours.keys() | theirs.keys() if ours.get(n) != theirs.get(n)]
        yield Deviation(f"{name}: names, shapes and types", len(off), 0)
        data = f"{prefix.relative_to(root)}.data-00000-of-00001"
        if data in fixture.rule:
            known = {n: value(n, d, s, fixture.meta["step"]) for n, d, s in fixture.rule[data]["tensors"]}
            other = [n for n in bundle if bundle[n].tobytes() != known[n].tobytes()]
            yield Deviation(f"{name}: values", len(other), 0)
        else:
            same = b"".join(bundle[n].tobytes() for n in sorted(bundle)) == (root / data).read_bytes()
            yield Deviation(f"{name}: bits", not same, 0)


def prior(fixture: Fixture) -> str:
    text = fixture.config.read_text()
    return "normal" if "z.distribution_fn = @tf.random.normal" in text else "uniform"


def images(fixture: Fixture) -> Iterator[Deviation]:
    """Of the module, with its inferred configuration and with its training configuration."""
    suffix = "_filled" if "generated_8_filled" in fixture.arrays else ""
    for label, options in (
        ("", {"prior": prior(fixture)}),
        ("with its configuration: ", {"gin_config": [fixture.config]}),
    ):
        with read_model(fixture.module, **options) as model:
            gan, state = model.parsed.gan(model.spec), model.imported.state
            for count in (8, 1):
                key = f"generated_{count}{suffix}"
                yield compared_images(fixture, f"{label}{key}", key, gan, state, count)
            yield from other_weights(fixture, label, model, gan)


def other_weights(fixture: Fixture, label: str, model: Model, gan: GAN) -> Iterator[Deviation]:
    """Statistics of the filled checkpoint with the weights of the module; raw weights."""
    source = model.source
    architecture = model.parsed.options.architecture.removesuffix("_arch")
    state = read_state(gan, architecture, source.variables, source.filled, source.step, False).state
    for key, chosen in (
        ("generated_8_filled_statistics_only", state),
        ("generated_8_raw_weights", dataclasses.replace(state, g_ema=None)),
    ):
        if key in fixture.arrays:
            yield compared_images(fixture, f"{label}{key}", key, gan, chosen, 8)


@functools.partial(jax.jit, static_argnums=0, compiler_options=COMPILE_FAST)
def generate(definition: Any, params: Any, extra: Any, z: Any, y: Any) -> Any:
    return merge_module(definition, params, extra)(Cond(z, y))


def compared_images(
    fixture: Fixture, what: str, key: str, gan: GAN, state: GANState, count: int
) -> Deviation:
    batch = dataclasses.replace(gan.layers.batch, decay=0.9)  # of no effect here; a module does not tell it
    gan = dataclasses.replace(gan, layers=dataclasses.replace(gan.layers, batch=batch))
    z = jnp.asarray(fixture.arrays["z"][:count])
    y = jnp.asarray(one_hot(fixture.arrays["labels"][:count], gan.y_dim)) if gan.conditional else None
    ours = np.asarray(generate(gan.g_def, eval_params(state), state.g.extra, z, y))
    reference = fixture.arrays[key]
    off = np.abs(ours[: len(reference)] - reference).max()
    nearest = "generated_8_filled" if "filled" in key else "generated_8"
    return Deviation(what, float(off), max(fixture.allowed(key), fixture.allowed(nearest)))


def predictions(fixture: Fixture) -> Iterator[Deviation]:
    """Of the discriminator of the checkpoint, without and with the heads."""
    with read_model(fixture.model_dir) as model:
        gan, state = model.parsed.gan(model.spec), model.imported.state
        yield from discriminated(fixture, "", gan, state)


def complete_module(fixture: Fixture) -> Iterator[Deviation]:
    """The module that has everything but the heads."""
    if fixture.complete is None:
        return
    with read_model(fixture.complete, prior=prior(fixture)) as model:
        gan, state = model.parsed.gan(model.spec), model.imported.state
        key, label = "generated_8_filled_statistics_only", "complete: "
        yield compared_images(fixture, f"{label}{key}", key, gan, state, 8)
        yield from discriminated(fixture, label, gan, state)


def discriminated(fixture: Fixture, label: str, gan: GAN, state: GANState) -> Iterator[Deviation]:
    """Without and with the heads, where a predicted label replaces a missing one."""
    x = jnp.asarray(uniform(1, (8, *gan.spec.image_shape)))
    labels, heads_labels = (fixture.arrays.get(key) for key in ("labels_for_d", "labels_for_heads"))
    heads_labels = labels if heads_labels is None else heads_labels
    y, y_heads = (
        jnp.asarray(one_hot(each, gan.y_dim)) if gan.conditional else None for each in (labels, heads_labels)
    )

    @functools.partial(jax.jit, compiler_options=COMPILE_FAST)
    def run(d: Any) -> tuple[Any, Any]:
        network = merge_module(gan.d_def, d.params, d.extra)
        return network(x, y, (), train=False), network(x, y_heads, gan.tasks, train=False)

    without, headed = run(state.d)
    ours = {"d_logits": without.logits, "d_prob": jax.nn.sigmoid(without.logits)}
    ours["d_features"] = without.features
    if gan.tasks:
        ours |= {"heads_logits": headed.logits, "heads_prob": jax.nn.sigmoid(headed.logits)}
        ours |= {f"heads_{name}_logits": value for name, value in headed.aux.items()}
    for key, reference in fixture.arrays.items():
        if key in ours:
            off = np.abs(np.reshape(ours[key], reference.shape) - reference).max()
            nearest = f"{key.split('_')[0]}_logits"
            yield Deviation(f"{label}{key}", float(off), max(fixture.allowed(key), fixture.allowed(nearest)))


def continued(fixture: Fixture) -> Iterator[Deviation]:
    """The run folder of the checkpoint has its weights, moments and counts, and they are in their places."""
    stored = read_tensor_bundle(next(iter(sorted(fixture.model_dir.glob("*.index")))).with_suffix(""))
    with tempfile.TemporaryDirectory() as scratch, read_model(fixture.model_dir) as model:
        run = import_tf(fixture.model_dir, Path(scratch) / "run")
        state = Checkpoints(run.run_dir).restore_step(run.step_number(), model.imported.state)
        assert state is not None
    architecture = run.about["architecture"].removesuffix("_arch")
    yield Deviation("steps of the generator", abs(int(state.step) - int(stored["global_step"])), 0)
    trees: Mapping[str, Any] = {
        "": {**flat(state.g.params), **flat(state.g.extra)},
        "d": {**flat(state.d.params), **flat(state.d.extra)},
        AVERAGE: flat(state.g_ema or {}),
    }
    for side, opt, count in (("g", state.g_opt, "global_step"), ("d", state.d_opt, "global_step_disc")):
        assert isinstance(opt, optax.ScaleByAdamState)
        yield Deviation(f"updates that Adam counts: {side}", abs(int(opt.count) - int(stored[count])), 0)
        trees = {**trees, f"/{side}_opt": flat(opt.mu), f"/{side}_opt_1": flat(opt.nu)}
    off, seen = [], {key: 0 for key in trees}
    for name in stored:
        if not name.startswith(("generator", "discriminator")) or name.endswith("update_accus"):
            continue
        ends = [end for end in (AVERAGE, "/g_opt", "/g_opt_1", "/d_opt", "/d_opt_1") if name.endswith(end)]
        end = ends[0] if ends else "" if name.startswith("generator") else "d"
        base = name.removesuffix(end) if ends else name
        seen[end] += 1
        if not np.array_equal(trees[end][place(base, architecture)], stored[name]):
            off.append(name)
    yield Deviation(
        f"arrays of the run that are not the checkpoint's: {', '.join(off) or 'none'}", len(off), 0
    )
    more = sum(abs(len(tree) - seen[key]) for key, tree in trees.items())
    yield Deviation("arrays of the run that the checkpoint does not have", more, 0)


def flat(tree: Any) -> dict[tuple, Any]:
    return traverse_util.flatten_dict(tree)
