"""From compare_gan's variable names to places in a `NetState`, and back again for whole networks.

A name is translated part by part. Rules of an architecture come before those all share; to add
an architecture is to add an entry to `ARCHITECTURE_RULES`.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp
from flax import nnx, traverse_util

from compare_gan.core.types import NetState
from compare_gan.nn.state import net_state

from .reference import fill

Path = tuple[str | int, ...]
SWITCH = "update_accus"  # a variable there, an argument here
Variable = tuple[str, list[int], bool]  # name, shape, trainable
Rule = tuple[str, Callable[[re.Match], Path]]

SCOPES: dict[str, Path] = {
    "generator/": (),
    "discriminator/": ("backbone",),
    "discriminator_rotation/score_classify/": ("heads", "rotation"),
    "discriminator_predictor/predictor_linear/": ("heads", "class", "predictor"),
    "discriminator_projection/": ("heads", "class", "projection"),
}

SHARED_RULES: tuple[Rule, ...] = (
    (r"condition|sbn", lambda m: ()),
    (r"(?:moving|accu)_(?:mean|variance|counter)", lambda m: ("standardize", m[0])),
    (r"accu", lambda m: ()),
)

BLOCK_RULES: tuple[Rule, ...] = (
    (r"(?:up|down|same)_conv_shortcut", lambda m: ("shortcut",)),
    (r"(?:up|down|same)_(conv[12])", lambda m: (m[1],)),
)

BIGGAN_RULES: tuple[Rule, ...] = (
    (r"conv2d_(theta|phi|g|attn_g)", lambda m: (m[1],)),
    (r"final_norm|final_conv", lambda m: ("to_image", m[0])),
    (r"final_fc|embedding_fc", lambda m: ("head", m[0])),
)

RESNET_RULES: tuple[Rule, ...] = (
    (r"B0", lambda m: ("color_block",)),
    (r"B(\d)", lambda m: ("blocks", int(m[1]) - 1)),
    (r"disc_final_fc", lambda m: ("final_fc",)),
    *BLOCK_RULES,
)

ARCHITECTURE_RULES: dict[str, tuple[Rule, ...]] = {
    "op": ((r"conv2d_(theta|phi|g|attn_g)", lambda m: (m[1],)), *BLOCK_RULES),
    "resnet_cifar": RESNET_RULES,
    "resnet5": RESNET_RULES,
    "resnet_stl": ((r"batch_norm", lambda m: ("final_norm",)), *RESNET_RULES),
    "resnet30": (
        (r"B_(\d)_(\d)", lambda m: ("blocks", 6 * int(m[1]) + int(m[2]))),
        (r"B_(\d)_up", lambda m: ("blocks", 6 * int(m[1]) + 5)),  # down, in a discriminator
        *RESNET_RULES,
    ),
    "infogan": ((r"[gd]_((?:fc|bn|dc|conv)\d)", lambda m: (m[1],)),),
    "sndcgan": (
        (r"[gd]_(fc1)", lambda m: (m[1],)),
        (r"g_bn(\d)", lambda m: ("norms", int(m[1]) - 1)),
        (r"g_dc(\d)", lambda m: ("deconvs", int(m[1]) - 2)),
        (r"d_conv(\d)", lambda m: ("convs", int(m[1]) - 1)),
    ),
    "dcgan": (
        (r"g_fc1", lambda m: ("fc1",)),
        (r"g_bn(\d)", lambda m: ("norms", int(m[1]) - 1)),
        (r"g_dc(\d)", lambda m: ("deconvs", int(m[1]) - 1)),
        (r"d_conv(\d)", lambda m: ("convs", int(m[1]) - 1)),
        (r"d_fc4", lambda m: ("fc4",)),
    ),
    "resnet_biggan": (
        (r"B(\d)", lambda m: ("blocks", int(m[1]) - 1)),
        (r"non_local_block", lambda m: ("attention", "blocks", 0)),
        *BIGGAN_RULES,
        *BLOCK_RULES,
    ),
    "resnet_biggan_deep": (
        (r"B(\d+)", lambda m: ("trunk", "blocks", int(m[1]) - 1)),
        (r"bn", lambda m: ("norm",)),
        (r"[13]x[13]_conv", lambda m: ("conv",)),
        (r"shortcut", lambda m: ()),
        (r"non_local_block", lambda m: ("trunk", "attention")),
        *BIGGAN_RULES,
    ),
}


def place(name: str, architecture: str) -> Path:
    """`generator/B1/up_conv1/kernel/u_var` -> `("blocks", 0, "conv1", "u")`."""
    scope = next(scope for scope in SCOPES if name.startswith(scope))
    rest = name.removeprefix(scope)
    if rest.endswith("kernel/u_var"):
        rest = rest.removesuffix("kernel/u_var") + "u"
    return SCOPES[scope] + inside(rest, architecture)


def inside(rest: str, architecture: str) -> Path:
    """The path below a scope."""
    path: Path = ()
    for part in rest.split("/"):
        for pattern, translate in (*ARCHITECTURE_RULES[architecture], *SHARED_RULES):
            match = re.fullmatch(pattern, part)
            if match:
                path += translate(match)
                break
        else:
            path += (part,)
    return path


def filled(
    network: nnx.Module | NetState,
    variables: Iterable[Variable],
    where: Callable[[str], Path],
    values: bool = True,
) -> NetState:
    """compare_gan's values in the places of a network's arrays, or of its shapes; or only the places.

    Raises:
      AssertionError: the two do not have the same variables, shapes and trainable ones.
    """
    shapes = network if isinstance(network, NetState) else net_state(network)
    params, extra = traverse_util.flatten_dict(shapes.params), traverse_util.flatten_dict(shapes.extra)
    new: dict[bool, dict[Path, Any]] = {True: {}, False: {}}
    for name, shape, trainable in variables:
        if name.endswith(SWITCH):
            continue
        path = where(name)
        assert path in (params if trainable else extra), f"{name}: no {path} here"
        assert (params if trainable else extra)[path].shape == tuple(shape), name
        assert path not in new[trainable], f"{name}: {path} is taken"
        new[trainable][path] = jnp.asarray(fill(name, shape)) if values else name
    missing = (params.keys() - new[True].keys()) | (extra.keys() - new[False].keys())
    assert not missing, f"compare_gan has nothing for {sorted(map(str, missing))}"
    return NetState(*(traverse_util.unflatten_dict(new[trainable]) for trainable in (True, False)))


def at(tree: Any, path: Path) -> Any:
    """The leaf of a nested dictionary at a path."""
    for key in path:
        tree = tree[key]
    return tree
