"""From the variables of a checkpoint to the state of a GAN."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from compare_gan.core.errors import UserError
from compare_gan.core.types import GANState, NetState, Tree
from compare_gan.core.words import counted, first_few
from compare_gan.gans.gan import GAN
from compare_gan.nn.rngs import random_streams
from compare_gan.nn.state import net_state
from compare_gan.tf1.names import AVERAGE, SCOPES, SWITCH, Path, place
from compare_gan.tf1.source import Variables

GENERATOR = "generator/"
SLOTS = re.compile(r"(.+)/([gd]_opt)(_1)?")  # Adam's first and second moment of a variable
COUNTERS = ("global_step", "global_step_disc")  # updates of the generator, of the discriminator
KNOWN = re.compile(r"(gen_step|disc_step)(_\d+)?/(.+/)?beta[12]_power(_\d+)?")  # follow from the counters
SHOWN = 6  # names in a message
MIN_COUNT = 1  # batches: a counter of accumulated statistics starts at 1e-12
Places = dict[Path, str]  # the variable of each array of a network


@dataclasses.dataclass(frozen=True)
class Sorted:
    """The variables of a checkpoint, by what they belong to."""

    networks: dict[str, Places]  # "g" and "d"
    averages: Places
    slots: dict[str, tuple[Places, Places]]  # first and second moments of "g" and "d"
    left_over: list[str]


@dataclasses.dataclass(frozen=True)
class Imported:
    """The state of a GAN, and what is to be said of where it comes from."""

    state: GANState
    notes: tuple[str, ...]


def sort_variables(names: Iterable[str], architecture: str) -> Sorted:
    """Assigns each variable to an array.

    Args:
      names: as `names.current` gives them.
      architecture: as in `options.architecture`, without `_arch`.
    """
    networks: dict[str, Places] = {"g": {}, "d": {}}
    averages: Places = {}
    slots: dict[str, tuple[Places, Places]] = {"g": ({}, {}), "d": ({}, {})}
    left_over = []
    for name in names:
        if name in COUNTERS or KNOWN.fullmatch(name) or name.split("/")[-1] == SWITCH:
            continue
        slot = SLOTS.fullmatch(name)
        base = slot[1] if slot else name.removesuffix(AVERAGE)
        if not base.startswith(tuple(SCOPES)):
            left_over.append(name)
            continue
        side, path = "g" if base.startswith(GENERATOR) else "d", place(base, architecture)
        if slot:
            slots[side][bool(slot[3])][path] = name
        elif name.endswith(AVERAGE):
            averages[path] = name
        else:
            networks[side][path] = name
    return Sorted(networks, averages, slots, left_over)


def read_state(
    gan: GAN, architecture: str, variables: Variables, filled: Variables | None, step: int, module: bool
) -> Imported:
    """The state of a GAN from a checkpoint.

    Args:
      gan: the GAN.
      architecture: the name of its networks, without `_arch`.
      variables: of the checkpoint, or of a module, which may lack the discriminator.
      filled: those of the generator after its batch statistics were accumulated. In a module everything is
        taken from them, since the original scored that; in a checkpoint only the statistics.
      step: the number of generator updates if the variables do not tell.
      module: whether it is a module.

    Raises:
      UserError: variables are missing, left over, of another shape or type, or damaged.
    """
    where, found, notes = str(variables.bundle.prefix), sort_variables(variables, architecture), []
    shapes: GANState = jax.eval_shape(gan.init, jax.eval_shape(lambda: jax.random.key(0)))
    if found.left_over:
        raise _mismatch(where, "has variables that compare_gan does not have", found.left_over)
    generator, averages = variables, found.averages
    if filled is not None and module:
        generator = filled
        averages = sort_variables(filled, architecture).averages
    g = _network(generator, shapes.g, found.networks["g"], "generator", optional=())
    if gan.layers.batch.use_moving_averages is False and filled is not None and not module:
        g = NetState(g.params, _with_statistics(g.extra, filled, architecture))
    ema = None
    if gan.g_use_ema:
        if averages:
            _check(where, averages, traverse_util.flatten_dict(shapes.g.params), "average of the generator")
            ema = _tree(averages, generator, traverse_util.flatten_dict(shapes.g.params))
        else:
            ema = jax.tree.map(jnp.copy, g.params)
            notes.append("it has no moving average of the generator's weights, which starts as their copy")
    elif averages:
        raise UserError(
            f"{where}: has a moving average of the generator's weights ({AVERAGE}), but ModularGAN.g_use_ema "
            "is False in the configuration"
        )
    if not found.networks["d"]:
        d = _initial_discriminator(gan)
        notes.append(
            "it has no discriminator, which gets initial weights: the run can generate and be scored, but "
            "training would start the discriminator anew"
        )
    else:
        heads = {path for path in traverse_util.flatten_dict(shapes.d.params) if path[0] == "heads"}
        heads |= {path for path in traverse_util.flatten_dict(shapes.d.extra) if path[0] == "heads"}
        absent = heads - found.networks["d"].keys()
        if heads and absent == heads:
            notes.append("it has no heads of the discriminator's tasks, which get initial weights")
        else:
            absent = set()
        d = _network(variables, shapes.d, found.networks["d"], "discriminator", absent, gan)
    updates = {"g": int(variables["global_step"]) if "global_step" in variables else step}
    updates["d"] = (
        int(variables["global_step_disc"])
        if "global_step_disc" in variables
        else updates["g"] * gan.disc_iters
    )
    if not all(0 <= count < 2**31 for count in updates.values()):
        raise UserError(f"{where}: counts {updates['g']} and {updates['d']} updates, which is not possible")
    optimizers = {}
    for side, tx, net in (("g", gan.g_tx(), g), ("d", gan.d_tx(), d)):
        fresh, slots = jax.eval_shape(tx.init, net.params), found.slots[side]
        if isinstance(fresh, optax.ScaleByAdamState) and any(slots):
            expected = traverse_util.flatten_dict(shapes.g.params if side == "g" else shapes.d.params)
            moments = []
            for moment, name in zip(slots, ("first", "second"), strict=True):
                _check(where, moment, expected, f"Adam's {name} moments")
                moments.append(_tree(moment, variables, expected))
            optimizers[side] = optax.ScaleByAdamState(jnp.asarray(updates[side], jnp.int32), *moments)
        else:
            optimizers[side] = tx.init(net.params)
            if any(slots):
                player = "generator" if side == "g" else "discriminator"
                notes.append(f"the optimiser of the {player} is not Adam; its state starts again")
    if not any(map(any, found.slots.values())) and jax.tree.leaves(optimizers):
        notes.append("it has no state of the optimisers, which start again")
    state = GANState(
        step=jnp.asarray(updates["g"], jnp.int32),
        g=g,
        d=d,
        g_opt=optimizers["g"],
        d_opt=optimizers["d"],
        g_ema=ema,
        adaptive={name: part.init() for name, part in gan.adaptive.items()},
    )
    return Imported(state, (*notes, *_statistics(g.extra)))


def _network(
    variables: Variables,
    shapes: NetState,
    places: Places,
    what: str,
    optional: Iterable[Path],
    gan: GAN | None = None,
) -> NetState:
    """The arrays of a network; those that are `optional` may be missing and get initial values."""
    where = str(variables.bundle.prefix)
    flat = {of: traverse_util.flatten_dict(getattr(shapes, of)) for of in ("params", "extra")}
    absent = set(optional) - places.keys()
    _check(where, places, {**flat["params"], **flat["extra"]}, f"{what}'s variables", absent)
    initial = {}
    if absent and gan is not None:
        fresh = _initial_discriminator(gan)
        for of in flat:
            values = traverse_util.flatten_dict(getattr(fresh, of))
            initial.update({path: value for path, value in values.items() if path in absent})
    return NetState(*(_tree(places, variables, flat[of], initial) for of in ("params", "extra")))


def _check(
    where: str, places: Places, expected: Mapping[Path, Any], what: str, absent: Iterable[Path] = ()
) -> None:
    """Checks that variables are there for all arrays, and for no others.

    Raises:
      UserError: they are not.
    """
    if more := [name for path, name in places.items() if path not in expected]:
        raise _mismatch(where, f"has {what} that the configuration does not have", more)
    missing = expected.keys() - places.keys() - set(absent)
    if missing:
        names = sorted("/".join(map(str, path)) for path in missing)
        raise _mismatch(where, f"lacks {what} that the configuration has", names)


def _tree(
    places: Places,
    variables: Variables,
    expected: Mapping[Path, Any],
    initial: Mapping[Path, Any] | None = None,
) -> Tree:
    """The arrays of a network, as nested dictionaries.

    Raises:
      UserError: one has another shape or type.
    """
    found = {}
    for path, like in expected.items():
        if initial and path in initial:
            found[path] = initial[path]
            continue
        name = places[path]
        found[path] = _array(variables, name, like)
    return traverse_util.unflatten_dict(found)


def _array(variables: Variables, name: str, like: Any) -> jax.Array:
    value = variables[name]
    if value.shape != like.shape or value.dtype != like.dtype:
        raise UserError(
            f"{variables.bundle.prefix}: {name} is {value.dtype} {list(value.shape)}, but {like.dtype} "
            f"{list(like.shape)} in the configuration"
        )
    return jnp.array(value)  # a copy, so that the file can be closed


def _with_statistics(extra: Tree, filled: Variables, architecture: str) -> Tree:
    """The state of a generator with the accumulated statistics of another checkpoint."""
    places = sort_variables(filled, architecture).networks["g"]

    def chosen(path: tuple, value: Any) -> Any:
        keys = tuple(key.key for key in path)
        is_statistic = str(keys[-1]).startswith("accu_") and keys in places
        return _array(filled, places[keys], value) if is_statistic else value

    return jax.tree.map_with_path(chosen, extra)


def _statistics(extra: Tree) -> Iterator[str]:
    """What is to be said of the accumulated statistics."""
    counts = [
        float(value) for path, value in jax.tree.leaves_with_path(extra) if path[-1].key == "accu_counter"
    ]
    if counts and min(counts) >= MIN_COUNT:
        batches = counted(int(min(counts)), "batch", "batches")
        yield f"its batch statistics, accumulated over {batches}, are taken over"
    elif counts:
        yield "its batch statistics are empty; they are accumulated anew from generated images at each use"


def _initial_discriminator(gan: GAN) -> NetState:
    make: Callable[[Any], NetState] = jax.jit(lambda rng: net_state(gan.discriminator(random_streams(rng))))
    return make(jax.random.key(0))


def _mismatch(where: str, what: str, names: list[str]) -> UserError:
    return UserError(
        f"{where}: {what}: {first_few(names, SHOWN)}; give the configuration of its training with "
        "--gin_config, or another file"
    )
