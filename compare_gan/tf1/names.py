"""Maps the variable names of the original compare_gan to paths in a `NetState`.

A name is translated part by part. Rules of an architecture come before those that all share; to add an
architecture, add an entry to `ARCHITECTURE_RULES`.
"""

import re
from collections.abc import Callable

Path = tuple[str | int, ...]
SWITCH = "update_accus"  # a variable in the original, an argument here
AVERAGE = "/ExponentialMovingAverage"  # after the name of a variable
Rule = tuple[str, Callable[[re.Match], Path]]

PREFIX = "gen_module/"  # before the names in `model-with-accu.ckpt`
RENAMED_2018 = {"Matrix": "kernel", "w": "kernel", "biases": "bias"}  # the last part of a name

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
        (r"d_bn(\d)", lambda m: ("norms", int(m[1]))),  # the first convolution has none
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
    """`generator/B1/up_conv1/kernel/u_var` -> `("blocks", 0, "conv1", "u")`.

    Args:
      name: of a variable of a network, without `/ExponentialMovingAverage`.
      architecture: as in `options.architecture`, without `_arch`.
    """
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


def current(name: str) -> str:
    """The name that a variable of any version, with or without a prefix, has in the last version.

    Names of 2018 are translated according to the source of branch v2; none of its files has been tried.
    """
    name = name.removeprefix(PREFIX)
    scope, _, last = name.rpartition("/")
    if vector := re.fullmatch(r"(.+)/\1/(?:w|Matrix)\d*/u_var", name):
        return f"{vector[1]}/kernel/u_var"
    return f"{scope}/{RENAMED_2018[last]}" if scope and last in RENAMED_2018 else name
