"""Training runs: the losses of each call, and the variables after the first and the last.

compare_gan's unit is a session call: without unrolling one discriminator update and, in every
`disc_iters`-th call, one generator update; unrolled, one step of ours. What TensorFlow's graph puts
in is put in here too (`tensorflow.py`); without it the first call's losses differ by some 1e-4.

Rounding errors grow from call to call, by as much as the notes of the reference say. Adam turns the
rounding error of a gradient that is zero in exact arithmetic into full steps, so a single value may be
some steps apart where the mean and the deviation of its variable are not.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest.mock import patch

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from compare_gan.core.types import Array, Batch, GANState, Metrics, NetState, Tree
from compare_gan.gans import step
from compare_gan.gans.gan import GAN
from compare_gan.gans.step import Drawn, Latents, as_labeled, train_step
from compare_gan.nn.state import merge_module, net_state

from .. import build, tensorflow
from ..names import SCOPES, at, place
from ..reference import Case, Deviation, deviation, fill
from ..runner import handles

STATE = ("u_var", "moving_mean", "moving_variance", "accu_mean", "accu_variance", "accu_counter")
AVERAGED = "/ExponentialMovingAverage"
STATISTICS = (np.mean, np.std, np.min, np.max)
FIRST, GROWTH = 1e-6, 500 ** (1 / 4)  # rounding of the first call's losses; to 5e-4 in the fifth
STEADY = ("resnet_biggan", "resnet_biggan_deep", "dcgan")  # there it hardly grows
TIMES = 10  # what a port may differ by, in units of that


class Given(NamedTuple):
    """What compare_gan was given in the place of data and random numbers: [B, ...] each."""

    images: Array
    labels: Array
    z: Array
    sampled_labels: Array


class Trace(NamedTuple):
    """What came of a run: the state after each call, and the losses of each."""

    states: list[GANState]
    losses: list[dict[str, float]]


@handles("training")
def training(case: Case) -> Iterator[Deviation]:
    gan = build.gan(case)
    names = [n for n in case.meta["variables_mean_std_min_max_after_first_call"] if is_network(n)]
    trace = run(case, gan, started(case, gan, names), names)
    yield from losses(case, gan, names, trace)
    for i, counters in enumerate(case.meta["step_counters_after_each_call"]):
        steps = int(trace.states[i].step)
        yield Deviation("generator updates", abs(steps - counters["global_step"]), 0)
    yield from variables(case, gan, names, trace)


def losses(case: Case, gan: GAN, names: list[str], trace: Trace) -> Iterator[Deviation]:
    """The losses of each call, which may be off by the growth of rounding errors.

    Where that is not enough: by how much the losses change if images and latent vectors change by 1e-6 of
    their values. The reference measured that for some cases; for the others we do.
    """
    rates, recorded = allowed_rates(case), dict(case.named("losses/"))
    changes = dict(case.meta.get("loss_change_per_call_under_1e-6_relative_input_noise", {}))
    for key, stored in recorded.items():
        off = [abs(float(value) - trace.losses[i][key]) for i, value in enumerate(stored)]
        allowed = [
            TIMES * rates[i] * max(abs(each[i]) for each in recorded.values()) for i in range(len(stored))
        ]
        if key not in changes and any(np.greater(off, allowed)):
            with patch(f"{__name__}.given", with_noise):
                other = run(case, gan, started(case, gan, names), names)
            pairs = zip(trace.losses, other.losses, strict=True)
            changes[key] = [abs(one[key] - two[key]) for one, two in pairs]
        for i, found in enumerate(off):
            change = changes[key][i] if key in changes else 0.0
            yield Deviation(f"losses/{key}", found, max(allowed[i], TIMES * change))


def is_network(name: str) -> bool:
    return name.startswith(tuple(SCOPES)) and not name.endswith((AVERAGED, "update_accus"))


def allowed_rates(case: Case) -> list[float]:
    """Rounding error of each call's losses, beside the largest of them."""
    calls = len(next(iter(case.named("losses/")))[1])
    updates = case.meta["disc_iters"] + 1 if is_unrolled(case) else 1  # that build on each other
    growth = 1.0 if case.meta["architecture"] in STEADY else GROWTH
    return [FIRST * growth ** (i * updates) for i in range(calls)]


def is_unrolled(case: Case) -> bool:
    return bool(case.meta["constructor_kwargs"].get("experimental_force_graph_unroll"))


def started(case: Case, gan: GAN, names: list[str]) -> GANState:
    """The state in which all variables have compare_gan's values. The case lists no shapes; ours serve."""
    shapes = jax.eval_shape(gan.init, jax.random.key(0))
    nets = {}
    for side, net in (("generator", shapes.g), ("discriminator", shapes.d)):
        flat = {of: traverse_util.flatten_dict(getattr(net, of)) for of in ("params", "extra")}
        filled: dict[str, dict] = {"params": {}, "extra": {}}
        for name in names:
            if name.startswith(side):
                path = place(name, case.meta["architecture"])
                of = "params" if path in flat["params"] else "extra"
                filled[of][path] = jnp.asarray(fill(name, flat[of][path].shape))
        for of in flat:
            missing = flat[of].keys() - filled[of].keys()
            assert not missing, f"compare_gan has nothing for {sorted(map(str, missing))}"
        nets[side] = NetState(*(traverse_util.unflatten_dict(filled[of]) for of in ("params", "extra")))
    return gan.initial_state(nets["generator"], nets["discriminator"])


def given(case: Case, gan: GAN, call: int, total: int) -> Given:
    meta, rng = case.meta, np.random.RandomState
    images = rng(1000 + call).uniform(size=(total, *gan.spec.image_shape))
    if "z RandomState(2000+i).standard_normal" in meta["data"]:
        z = rng(2000 + call).standard_normal((total, gan.z_dim))
    else:
        assert "z RandomState(2000+i).uniform(-1,1" in meta["data"], meta["data"]
        z = rng(2000 + call).uniform(-1, 1, size=(total, gan.z_dim))
    labels, sampled = (rng(n + call).randint(0, meta["num_classes"], size=total) for n in (3000, 4000))
    return Given(images.astype(np.float32), labels, z.astype(np.float32), sampled)


exact = given


def with_noise(case: Case, gan: GAN, call: int, total: int) -> Given:
    """What `given` returns, with relative noise of 1e-6."""
    data, rng = exact(case, gan, call, total), np.random.default_rng(call)

    def noisy(values: Array) -> Array:
        return (values * (1 + 1e-6 * rng.standard_normal(values.shape))).astype(np.float32)

    return data._replace(images=noisy(data.images), z=noisy(data.z))


def run(case: Case, gan: GAN, state: GANState, names: list[str]) -> Trace:
    calls, unrolled, batch = case.meta["steps"], is_unrolled(case), case.meta["batch"]
    # Without unrolling each call has one discriminator update; that a step of ours is a sequence of
    # these is shown in tests/gans.
    per_call = gan if unrolled else dataclasses.replace(gan, disc_iters=1)
    take = jax.jit(functools.partial(session_call, case, per_call, names), static_argnums=2)
    trace = Trace([], [])
    with d_losses() as log:
        for call in range(1, calls + 1):
            data = given(case, gan, call, batch * per_call.sub_batches)
            data = jax.tree.map(lambda x: x.reshape(per_call.sub_batches, batch, *x.shape[1:]), data)
            trains_g = unrolled or call % gan.disc_iters == 0
            log.clear()
            state, g_loss = take(state, data, trains_g)
            jax.effects_barrier()
            trace.states.append(jax.device_get(state))
            trace.losses.append(
                {f"loss/d_{i}": loss for i, loss in enumerate(log)} | {"loss/g": float(g_loss)}
            )
    return trace


def session_call(
    case: Case, gan: GAN, names: list[str], state: GANState, data: Given, trains_g: bool
) -> tuple[GANState, Array]:
    """One call, with what TensorFlow's graph puts in. The generator's loss is 0 if it is not trained."""
    after_d: list[GANState] = []
    update = step.update_discriminator

    def remember(*given: Any) -> tuple[GANState, Metrics]:
        new, metrics = update(*given)
        after_d.append(new)
        return new, metrics

    def draw(gan: GAN, batch: Given, rng: Array, shard: Any) -> Drawn:
        y = jax.nn.one_hot(batch.sampled_labels, gan.y_dim) if gan.conditional else None
        return Drawn(as_labeled(gan, Batch(batch.images, batch.labels)), Latents(batch.z, y, {}), rng)

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.object(step, "draw", draw))
        stack.enter_context(patch.object(step, "update_discriminator", remember))
        stack.enter_context(tensorflow.given_coefficients())
        stack.enter_context(tensorflow.layer_norm_moments())
        if is_unrolled(case) or case.meta["disc_iters"] == 1:  # else `tf.cond` keeps the passes apart
            of_d = [name for name in names if name.startswith("discriminator/")]
            stack.enter_context(tensorflow.early_sums(of_d, case.meta["architecture"], state.d.params))
        if case.meta["gan_class"] == "S3GAN":
            stack.enter_context(tensorflow.generator_runs_again())
        new, metrics = train_step(gan, state, data, jax.random.key(0))
    return (new, metrics["loss/g"]) if trains_g else (after_d[-1], jnp.zeros(()))


@contextlib.contextmanager
def d_losses() -> Iterator[list[float]]:
    """The discriminator's loss at each of its updates, in order."""
    log: list[float] = []
    update = step.update_discriminator

    def report(*given: Any) -> tuple[GANState, Metrics]:
        state, metrics = update(*given)
        jax.debug.callback(lambda loss: log.append(float(loss)), metrics["loss/d"], ordered=True)
        return state, metrics

    with patch.object(step, "update_discriminator", report):
        yield log


def variables(case: Case, gan: GAN, names: list[str], trace: Trace) -> Iterator[Deviation]:
    """Statistics of all after the first and the last call; small ones in full; some after each call."""
    races = racing(case, gan, names) | racing_of_discriminator(case, gan, names)
    cancelled = cancelled_biases(case, gan, names)
    room = Room(max(gan.g_lr, gan.d_lr or 0.0), allowed_rates(case), races, cancelled)
    for key, call in (("first", 1), ("last", len(trace.states))):
        for name, reference in case.meta[f"variables_mean_std_min_max_after_{key}_call"].items():
            if is_network(name):
                value = np.asarray(find(case, trace.states[call - 1], name), np.float64)
                ours = [statistic(value) for statistic in STATISTICS]
                what, largest = f"after the {key} call: {name}", max(map(abs, reference))
                for part, as_one in ((slice(2), True), (slice(2, 4), False)):
                    allowed = room.allowed(name, call, largest, as_one)
                    yield deviation(what, reference[part], ours[part], 0, allowed)
    for name, stored in case.named("after_last_call/"):
        if is_network(name):
            ours, call = find(case, trace.states[-1], name), len(trace.states)
            allowed = room.allowed(name, call, float(np.abs(stored).max()), False)
            yield deviation(f"after_last_call/{name}", stored, ours, 0, allowed)
    for name, stored in case.named("value_after_each_call/"):
        for i, value in enumerate(stored):
            allowed = room.allowed(name, i + 1, float(np.abs(value).max()), False)
            ours = find(case, trace.states[i], name)
            yield deviation(f"value_after_each_call/{name}", value, ours, 0, allowed)


@dataclasses.dataclass(frozen=True)
class Room:
    """How far a variable may be off.

    A step of Adam is the learning rate times a sign, or nearly so. Moving means follow the biases of
    the two convolutions before them, whose gradient is zero in exact arithmetic.
    """

    lr: float
    rates: list[float]
    racing: dict[str, float]
    cancelled: frozenset[str]  # biases of the discriminator whose gradient is zero in exact arithmetic, too

    def allowed(self, name: str, call: int, largest: float, as_one: bool) -> float:
        """`as_one`: of its mean and deviation, else of single values, of which some signs may differ."""
        near, full_step = 2e-6 * largest, 2 * self.lr * call
        if name.removesuffix(AVERAGED).endswith(STATE):  # of the updated kernels, in part
            near += TIMES * (self.rates[call - 1] - self.rates[0]) * largest + full_step / 100
            near += 2 * full_step if "moving" in name and call > 1 else 0.0
            return near + call * self.racing.get(name, 0.0)
        of_d = name.startswith("discriminator")
        noise = name in self.cancelled if of_d else name.endswith("/bias")  # a norm may take it out again
        untouched = call == 1 and of_d and not noise  # no updated network came before
        return near + (full_step / 100 if untouched or (as_one and not noise) else full_step)


def racing(case: Case, gan: GAN, names: list[str]) -> dict[str, float]:
    """By how much a moving statistic depends on the order in which the generator's runs move it.

    Unrolled, that order is a race between TensorFlow's operations, decided for each statistic alone.
    """
    moving = [
        n for n in names if n.startswith("generator") and n.endswith(("moving_mean", "moving_variance"))
    ]
    if not is_unrolled(case) or not moving:
        return {}
    g, runs = started(case, gan, names).g, gan.sub_batches
    data = given(case, gan, 1, case.meta["batch"] * runs)
    z = data.z.reshape(runs, -1, gan.z_dim)
    y = None
    if gan.conditional:
        y = jax.nn.one_hot(data.sampled_labels, gan.y_dim).reshape(runs, -1, gan.y_dim)
    moved = jax.jit(jax.vmap(lambda z, y: step.generate(gan, g.params, g.extra, z, y)[1]))(z, y)
    keep = gan.layers.batch.decay
    # A run that comes first counts keep**(runs - 1) of what the last does.
    shard = {name: np.ptp(at(moved, place(name, case.meta["architecture"])), axis=0).max() for name in moving}
    return {name: float(value * (1 - keep ** (runs - 1))) for name, value in shard.items()}


def racing_of_discriminator(case: Case, gan: GAN, names: list[str]) -> dict[str, float]:
    """By how much a moving statistic depends on which of two passes of the discriminator moves it first.

    With `deprecated_split_disc_calls` real and generated images pass one after the other here. TensorFlow
    does not determine the order, which may differ between statistics and between sessions: of eight sessions
    of the same graph, five had different orders in different layers.
    """
    moving = [
        n for n in names if n.startswith("discriminator/") and n.endswith(("moving_mean", "moving_variance"))
    ]
    if not gan.deprecated_split_disc_calls or not moving:
        return {}
    state, batch = started(case, gan, names), case.meta["batch"]
    data = jax.tree.map(lambda x: x[:batch], given(case, gan, 1, batch * gan.sub_batches))
    labels = [jax.nn.one_hot(y, gan.y_dim) if gan.conditional else None for y in (data.labels, data[3])]

    @jax.jit
    def moved(g: NetState, d: NetState) -> list[Any]:
        fake, _ = step.generate(gan, g.params, g.extra, data.z, labels[1])
        found = []
        for images, y in ((data.images, labels[0]), (fake, labels[1])):
            network = merge_module(gan.d_def, d.params, d.extra)
            network(images, y, (), train=True)
            found.append(net_state(network).extra)
        return found

    real, fake = moved(state.g, state.d)
    pairs, other = gan.disc_iters + 1, 1 - gan.layers.batch.decay  # a pair of passes for each update
    places = {name: place(name, case.meta["architecture"]) for name in moving}
    return {
        name: float(pairs * other * np.abs(at(real, path) - at(fake, path)).max())
        for name, path in places.items()
    }


def cancelled_biases(case: Case, gan: GAN, names: list[str]) -> frozenset[str]:
    """Biases of the discriminator that a batch norm directly after them takes out again.

    Their gradients are nothing but rounding errors, which are far below the gradients of the kernels beside
    them.
    """
    if not gan.d_has_batch_statistics:
        return frozenset()
    d = started(case, gan, names).d
    images = given(case, gan, 1, case.meta["batch"] * gan.sub_batches).images[: case.meta["batch"]]
    y = jnp.zeros((len(images), gan.y_dim)) if gan.conditional else None

    @jax.jit
    @jax.grad
    def gradient(params: Tree) -> Array:
        logits = merge_module(gan.d_def, params, d.extra)(images, y, (), train=True).logits
        return jnp.vdot(logits, jnp.arange(1.0, logits.size + 1).reshape(logits.shape))

    found, architecture = gradient(d.params), case.meta["architecture"]

    def size(name: str) -> float:
        return float(np.abs(at(found, place(name, architecture))).max())

    biases = [name for name in names if name.startswith("discriminator/") and name.endswith("/bias")]
    return frozenset(name for name in biases if size(name) < 1e-4 * size(name.replace("/bias", "/kernel")))


def find(case: Case, state: GANState, name: str) -> Array:
    if name.endswith(AVERAGED):
        return at(state.g_ema, place(name.removesuffix(AVERAGED), case.meta["architecture"]))
    net = state.g if name.startswith("generator/") else state.d
    path = place(name, case.meta["architecture"])
    return at(net.extra if name.endswith(STATE) else net.params, path)
