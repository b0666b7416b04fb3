"""Makes the state of a GAN from the variables of a checkpoint."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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
COUNTERS = ("global_step", "global_step_disc")  # numbers of updates of the generator and of the discriminator
KNOWN = re.compile(r"(gen_step|disc_step)(_\d+)?/(.+/)?beta[12]_power(_\d+)?")  # follow from the counters
SHOWN = 6  # names in a message
MIN_COUNT = 1  # batches: a counter of accumulated statistics starts at 1e-12
Places = dict[Path, str]  # the variable of each array of a network


@dataclasses.dataclass(frozen=True)
class Sorted:
    """The variables of a checkpoint, by what they belong to."""

    networks: dict[str, Places]  # of "g" and "d"
    averages: Places
    slots: dict[str, tuple[Places, Places]]  # first and second moments of "g" and "d"
    left_over: list[str]


@dataclasses.dataclass(frozen=True)
class Imported:
    """The state of a GAN, and notes for the user on what was missing."""

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
            places = slots[side][bool(slot[3])]
        else:
            places = averages if name.endswith(AVERAGE) else networks[side]
        if path in places:
            left_over.append(name)
        places[path] = name
    return Sorted(networks, averages, slots, left_over)


def read_state(
    gan: GAN, architecture: str, variables: Variables, filled: Variables | None, step: int, module: bool
) -> Imported:
    """The state of a GAN from a checkpoint.

    Args:
      gan: the GAN.
      architecture: the name of its networks, without `_arch`.
      variables: of the checkpoint, or of a module, which may lack the discriminator.
      filled: variables of the generator after its batch statistics were accumulated. For a module the whole
        generator is read from them, since it is the one that the original scored; for a checkpoint only the
        statistics are.
      step: the number of generator updates, if the variables do not include it.
      module: whether `variables` are those of a module.

    Raises:
      UserError: variables are missing, unknown, damaged, or of another shape or type.
    """
    found = sort_variables(variables, architecture)
    if found.left_over:
        what = "has variables that compare_gan does not have"
        raise _mismatch(variables, what, found.left_over)
    shapes: GANState = jax.eval_shape(gan.init, jax.eval_shape(lambda: jax.random.key(0)))
    generator = filled if filled is not None and module else variables
    of_g = found if generator is variables else sort_variables(generator, architecture)
    g = _network(generator, shapes.g, of_g.networks["g"], "of the generator")
    if filled is not None and not module:
        g = NetState(g.params, _with_statistics(g.extra, filled, architecture))
    ema, notes_of_average = _average(gan, generator, shapes.g, g, of_g.averages)
    idle = _idle_heads(found, shapes.d)
    places = {path: name for path, name in found.networks["d"].items() if path[:2] not in idle}
    d, notes_of_d = _discriminator(gan, variables, shapes.d, places)
    notes_of_d += [f"its head for {task} was never trained; it is left out" for _, task in sorted(idle)]
    updates = _updates(gan, variables, step)
    g_opt, d_opt, notes_of_opt = _optimizers(gan, variables, found, g.params, d.params, updates)
    state = GANState(
        step=jnp.asarray(updates[0], jnp.int32),
        g=g,
        d=d,
        g_opt=g_opt,
        d_opt=d_opt,
        g_ema=ema,
        adaptive={name: part.init() for name, part in gan.adaptive.items()},
    )
    return Imported(state, (*notes_of_average, *notes_of_d, *notes_of_opt, *_statistics(g.extra)))


def _idle_heads(found: Sorted, shapes: NetState) -> set[Path]:
    """Heads that the configuration does not have, and that the optimiser of the others did not train.

    SSGAN makes its head with `self_supervision = "none"`, too.
    """
    trained = {path[:2] for path in found.slots["d"][0]}
    heads = {path[:2] for path in found.networks["d"] if path[0] == "heads"}
    known = {("heads", name) for name in shapes.params.get("heads", {})}
    return heads - known - trained if trained else set()


def _average(
    gan: GAN, variables: Variables, shapes: NetState, g: NetState, places: Places
) -> tuple[Tree | None, list[str]]:
    """The moving average of the generator's weights, and notes on it."""
    if not gan.g_use_ema:
        if places:
            raise UserError(
                f"{variables.prefix}: has a moving average of the generator's weights ({AVERAGE}), but "
                "ModularGAN.g_use_ema is False in the configuration"
            )
        return None, []
    if not places:
        note = "it has no moving average of the generator's weights; the average starts as a copy of them"
        return jax.tree.map(jnp.copy, g.params), [note]
    return _tree(variables, shapes.params, places, "of the generator's average"), []


def _discriminator(
    gan: GAN, variables: Variables, shapes: NetState, places: Places
) -> tuple[NetState, list[str]]:
    """The discriminator, and notes on it. Without heads, or as a whole, it may be absent."""
    if not places:
        note = (
            "it has no discriminator; an untrained one takes its place: the run can generate and be scored, "
            "but training would start with that discriminator"
        )
        return _initial_discriminator(gan), [note]
    if "heads" not in shapes.params or any(path[0] == "heads" for path in places):
        return _network(variables, shapes, places, "of the discriminator"), []
    without, initial = _without_heads(shapes), _initial_discriminator(gan)
    d = _network(variables, without, places, "of the discriminator")
    with_heads = (
        tree | {"heads": fresh["heads"]} if "heads" in fresh else tree
        for tree, fresh in ((d.params, initial.params), (d.extra, initial.extra))
    )
    note = "it has no heads for the discriminator's tasks; untrained ones take their place"
    return NetState(*with_heads), [note]


def _without_heads(net: NetState) -> NetState:
    trees = ({key: tree[key] for key in tree if key != "heads"} for tree in (net.params, net.extra))
    return NetState(*trees)


def _updates(gan: GAN, variables: Variables, step: int) -> tuple[int, int]:
    """The numbers of updates of generator and discriminator.

    Raises:
      UserError: a counter is not an integer, or out of range.
    """
    g, d = (_counter(variables, name) for name in COUNTERS)
    g = step if g is None else g
    d = g * gan.disc_iters if d is None else d
    if not (0 <= g < 2**31 and 0 <= d < 2**31):
        raise UserError(f"{variables.prefix}: counts {g} and {d} updates, which is impossible")
    return g, d


def _counter(variables: Variables, name: str) -> int | None:
    """The value of a counter; None if it does not exist."""
    if name not in variables:
        return None
    value = variables[name]
    if value.shape or not np.issubdtype(value.dtype, np.integer):
        raise UserError(
            f"{variables.prefix}: {name} is {value.dtype} {list(value.shape)}; it must be one integer"
        )
    return int(value)


def _optimizers(
    gan: GAN,
    variables: Variables,
    found: Sorted,
    g_params: Tree,
    d_params: Tree,
    updates: tuple[int, int],
) -> tuple[optax.OptState, optax.OptState, list[str]]:
    """The states of both optimisers, and notes on them."""
    states, notes = [], []
    for side, player, tx, params, count in (
        ("g", "generator", gan.g_tx(), g_params, updates[0]),
        ("d", "discriminator", gan.d_tx(), d_params, updates[1]),
    ):
        slots, fresh = found.slots[side], jax.eval_shape(tx.init, params)
        if not any(slots):
            states.append(tx.init(params))
            if jax.tree.leaves(fresh):
                notes.append(
                    f"it has no state of the {player}'s optimiser, which starts from its initial state"
                )
        elif isinstance(fresh, optax.ScaleByAdamState):
            first, second = (
                _tree(variables, params, places, f"of Adam's {which} moments of the {player}")
                for which, places in zip(("first", "second"), slots, strict=True)
            )
            states.append(optax.ScaleByAdamState(jnp.asarray(count, jnp.int32), first, second))
        else:
            states.append(tx.init(params))
            notes.append(f"the {player}'s optimiser is not Adam; it starts from its initial state")
    return states[0], states[1], notes


def _network(variables: Variables, shapes: NetState, places: Places, what: str) -> NetState:
    """The arrays of a network."""
    params, extra = (traverse_util.flatten_dict(tree) for tree in (shapes.params, shapes.extra))
    _check(variables, {**params, **extra}, places, what)
    return NetState(*(_filled(variables, flat, places) for flat in (params, extra)))


def _tree(variables: Variables, shapes: Tree, places: Places, what: str) -> Tree:
    """Arrays like those of a network."""
    flat = traverse_util.flatten_dict(shapes)
    _check(variables, flat, places, what)
    return _filled(variables, flat, places)


def _filled(variables: Variables, flat: Mapping[Path, Any], places: Places) -> Tree:
    arrays = {path: _array(variables, places[path], like) for path, like in flat.items()}
    return traverse_util.unflatten_dict(arrays)


def _check(variables: Variables, expected: Mapping[Path, Any], places: Places, what: str) -> None:
    """Checks that every array has a variable, and every variable an array.

    Raises:
      UserError: one of them does not.
    """
    if more := [name for path, name in places.items() if path not in expected]:
        raise _mismatch(variables, f"has variables {what} that the configuration does not have", more)
    if missing := expected.keys() - places.keys():
        names = sorted("/".join(map(str, path)) for path in missing)
        raise _mismatch(variables, f"lacks variables {what} that the configuration has", names)


def _array(variables: Variables, name: str, like: Any) -> jax.Array:
    value = variables[name]
    if value.shape != like.shape or value.dtype != like.dtype:
        raise UserError(
            f"{variables.prefix}: {name} is {value.dtype} {list(value.shape)}, but {like.dtype} "
            f"{list(like.shape)} in the configuration"
        )
    return jnp.array(value)  # a copy, so that the file is not kept mapped


def _with_statistics(extra: Tree, filled: Variables, architecture: str) -> Tree:
    """The state of a generator with the accumulated statistics of another checkpoint."""
    places = sort_variables(filled, architecture).networks["g"]

    def chosen(path: tuple, value: Any) -> Any:
        keys = tuple(key.key for key in path)
        is_statistic = str(keys[-1]).startswith("accu_") and keys in places
        return _array(filled, places[keys], value) if is_statistic else value

    return jax.tree.map_with_path(chosen, extra)


def _statistics(extra: Tree) -> Iterator[str]:
    """A note on the accumulated statistics."""
    counts = [
        float(value) for path, value in jax.tree.leaves_with_path(extra) if path[-1].key == "accu_counter"
    ]
    if counts and min(counts) >= MIN_COUNT:
        batches = counted(int(min(counts)), "batch", "batches")
        yield f"its batch statistics, accumulated over {batches}, are used"
    elif counts:
        yield "its batch statistics are empty; they are accumulated from generated images at each use"


def _initial_discriminator(gan: GAN) -> NetState:
    make: Callable[[Any], NetState] = jax.jit(lambda rng: net_state(gan.discriminator(random_streams(rng))))
    return make(jax.random.key(0))


def _mismatch(variables: Variables, what: str, names: list[str]) -> UserError:
    return UserError(
        f"{variables.prefix}: {what}: {first_few(names, SHOWN)}; give the configuration of its training with "
        "--gin_config, or another file"
    )
