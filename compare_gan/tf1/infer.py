"""Infers a configuration from the names and shapes of a module's variables and from its graph.

They determine the networks and their sizes, conditioning, norms, spectral norms and the moving average, but
not the prior of z, which is an argument, nor the training settings, which keep their defaults.
"""

import re
from collections.abc import Iterator, Mapping

from compare_gan.architectures import resnet_biggan, resnet_biggan_deep
from compare_gan.core.errors import UserError
from compare_gan.core.records import MAX_CLASSES, MAX_DIM, MAX_SIDE
from compare_gan.core.types import ImageSpec
from compare_gan.tf1.names import AVERAGE
from compare_gan.tf1.saved_model import Graph

Shapes = Mapping[str, tuple[int, ...]]  # of variables, by name
BIGGAN = {
    "resnet_biggan": (resnet_biggan.GENERATOR, resnet_biggan.DISCRIMINATOR),
    "resnet_biggan_deep": (resnet_biggan_deep.GENERATOR, resnet_biggan_deep.DISCRIMINATOR),
}
SMALLEST = 4 * 4  # pixels of the first image of a ResNet
WIDTHS = {  # variables of generator and discriminator, the axis that grows with `ch`, its size for ch = 1
    "dcgan": (("g_dc1/kernel", 3, 8), ("d_conv1/kernel", 3, 1)),
    "sndcgan": (("g_dc2/kernel", 3, 8), ("d_conv1/kernel", 3, 1)),
    "infogan": (("g_fc1/kernel", 1, 16), ("d_conv1/kernel", 3, 1)),
    "resnet_cifar": (("fc_noise/kernel", 1, SMALLEST), ("disc_final_fc/kernel", 0, 1)),
    "resnet_stl": (("fc_noise/kernel", 1, 6 * 6 * 8), ("disc_final_fc/kernel", 0, 16)),
    "resnet5": (("fc_noise/kernel", 1, SMALLEST * 8), ("disc_final_fc/kernel", 0, 8)),
    "resnet30": (("fc_noise/kernel", 1, SMALLEST * 32), ("color_conv/kernel", 3, 1)),
}
TO_RGB = 128  # channels of the last convolution with `experimental_fast_conv_to_rgb`
LAST_NORM = "generator/final_norm/"  # always a plain batch norm in BigGAN
MAX_WIDTH = 2**14
DEFAULT_EPSILON = 1e-5  # of the original's example configurations


def architecture(shapes: Shapes) -> str:
    """The name of the networks' architecture, without `_arch`.

    Raises:
      UserError: the variables do not belong to any known generator.
    """
    names = [name.removeprefix("generator/") for name in shapes if name.startswith("generator/")]

    def has(pattern: str) -> bool:
        return any(re.match(pattern, name) for name in names)

    if has("g_fc1/"):
        return "infogan" if has("g_fc2/") else "sndcgan" if has("g_dc5/") else "dcgan"
    if has("B_0_0/"):
        return "resnet30"
    if has("B1/conv1/"):
        return "resnet_biggan_deep"
    if has("B1/") and has("fc_noise/"):
        kernels = (f"generator/B1/{scale}_conv_shortcut/kernel" for scale in ("up", "same"))
        if not any(_dim(shapes, kernel, 0) > 1 for kernel in kernels):  # 1x1, or there is none
            return "resnet_biggan"
        if has("B5/"):
            return "resnet5"
        narrows = _dim(shapes, "generator/B1/up_conv1/kernel", 2) > _dim(
            shapes, "generator/B1/up_conv1/kernel", 3
        )
        return "resnet_stl" if narrows else "resnet_cifar"
    raise UserError("its variables do not belong to any generator of compare_gan")


def image_shape(shapes: Shapes, name: str) -> tuple[int, int, int] | None:
    """Height, width and channels of an architecture's images; None if the variables do not determine them."""
    blocks = {match[1] for each in shapes if (match := re.match(r"generator/(B\d+)/", each))}
    match name:
        case "resnet_cifar":
            side = 32
        case "resnet_stl":
            side = 48
        case "resnet30":
            side = 128
        case "resnet5":
            side = 4 * 2 ** sum(f"generator/{block}/up_conv1/kernel" in shapes for block in blocks)
        case "resnet_biggan" | "resnet_biggan_deep":
            side = next((s for s, widths in BIGGAN[name][0].items() if len(widths) == len(blocks) + 1), 0)
        case _:  # the sides of transposed convolutions are rounded up
            return None
    colors = _dim(shapes, "generator/final_conv/kernel", -1, 3)
    if colors == TO_RGB:
        colors = _dim(shapes, "discriminator/initial_conv/kernel", 2, 3)
    return (side, side, colors) if side else None


def num_classes(shapes: Shapes, name: str) -> int:
    """The number of classes according to an architecture's variables; 0 if they do not determine it."""
    kernels = [
        "generator/embed_y/kernel",
        "discriminator/embedding_fc/kernel",
        "discriminator_projection/kernel",
        *(each for each in shapes if re.fullmatch(r"discriminator/.*/condition/gamma/kernel", each)),
    ]
    if name == "resnet_cifar":  # the norms of the blocks may get a part of z, too
        kernels.append("generator/final_norm/condition/gamma/kernel")
    elif name not in BIGGAN:
        kernels += [each for each in shapes if re.fullmatch(r"generator/.*/condition/gamma/kernel", each)]
    rows = next((shapes[each][0] for each in kernels if shapes.get(each)), 0)
    return rows or _dim(shapes, "discriminator_predictor/predictor_linear/kernel", -1)


def configuration(
    shapes: Shapes, generator: Graph, discriminator: Graph | None, prior: str
) -> tuple[list[str], ImageSpec]:
    """The bindings that describe a module, its image shape and its number of classes.

    Args:
      shapes: of its variables; those of the discriminator may be missing.
      generator: the graph of its generator.
      discriminator: the graph of its discriminator, if it has one.
      prior: the distribution of z: normal or uniform.

    Raises:
      UserError: it is not a module of compare_gan.
    """
    name = architecture(shapes)
    signature = generator.signatures.get("default") or generator.signatures.get("generator")
    if signature is None or "z" not in signature.inputs or not signature.outputs:
        raise UserError("has no signature with an input z; it is not a generator of compare_gan")
    z_shape, images = signature.inputs["z"], next(iter(signature.outputs.values()))
    if (
        len(z_shape) != 2
        or len(images) != 4
        or min(z_shape[1], *images[1:]) < 1
        or z_shape[1] > MAX_DIM
        or max(images[1:]) > MAX_SIDE
    ):
        raise UserError(f"has an input z {list(z_shape)} and images {list(images)}, which is impossible")
    z_dim, conditional = z_shape[1], "labels" in signature.inputs
    classes = generator.constants.get("one_hot/depth", num_classes(shapes, name)) if conditional else 0
    if conditional and not 0 < classes <= MAX_CLASSES:  # or NaN
        raise UserError(f"has {classes} classes, which is impossible")
    spec = ImageSpec((images[1], images[2], images[3]), int(classes))
    lines = [
        "options.gan_class = @ModularGAN",
        f"options.architecture = '{name}_arch'",
        f"options.z_dim = {z_dim}",
        f"ModularGAN.conditional = {conditional}",
        f"z.distribution_fn = @tf.random.{prior}",
        f"eval_z.distribution_fn = @tf.random.{prior}",
        *_norms(shapes, generator, name),
        *_spectral(shapes),
        *_generator(shapes, generator, name, z_dim, images),
        *_discriminator(shapes, discriminator, name, images),
    ]
    if any(each.endswith(AVERAGE) for each in shapes):
        lines += ["ModularGAN.g_use_ema = True", "ModularGAN.ema_start_step = 0"]
    return lines, spec


def _norms(shapes: Shapes, graph: Graph, name: str) -> Iterator[str]:
    for side, scope in (("G", "generator/"), ("D", "discriminator/")):
        ours = [each for each in shapes if each.startswith(scope) and not each.startswith(LAST_NORM)]
        if (kind := _norm(ours)) and not (name == "infogan" and side == "G"):
            yield f"{side}.batch_norm_fn = @{kind}"
        if side == "D" and any(re.search(r"/ln[12]/gamma$", each) for each in ours):
            yield "D.layer_norm = True"
    if any(each.endswith("/condition/gamma/bias") for each in shapes):
        yield "conditional_batch_norm.use_bias = True"
    if any("/sbn/gamma/kernel" in each for each in shapes):
        hidden = (each for each in shapes if each.endswith("/sbn/hidden/kernel"))
        yield f"self_modulated_batch_norm.num_hidden = {_dim(shapes, next(hidden, ''), -1)}"
    if any(each.endswith("accu_mean") for each in shapes):
        yield "standardize_batch.use_moving_averages = False"
    found = {each: value for each, value in graph.constants.items() if each.endswith("/batchnorm/add/y")}
    epsilons = {value for each, value in found.items() if not re.search(r"/ln[12]/", each)}
    if len(epsilons) > 1:
        raise UserError(f"has norms with different epsilons, {sorted(epsilons)}; give --gin_config")
    epsilon = next(iter(epsilons), DEFAULT_EPSILON)
    if not 0 <= epsilon < 1:  # or NaN
        raise UserError(f"has norms with the epsilon {epsilon}, which is impossible")
    yield f"standardize_batch.epsilon = {float(f'{epsilon:.6g}')}"


def _norm(names: list[str]) -> str | None:
    """The kind of batch norm that a network has, by the names of its variables."""
    for part, kind in (("/condition/", "conditional_batch_norm"), ("/sbn/", "self_modulated_batch_norm")):
        if any(part in name for name in names):
            return kind
    statistics = any(re.search(r"/(moving_mean|accu/accu_mean)$", name) for name in names)
    return "batch_norm" if statistics else None


def _spectral(shapes: Shapes) -> Iterator[str]:
    left = right = True  # whether all vectors may be left or right ones
    for scope, side in (("generator/", "G"), ("discriminator/", "D")):
        vectors = [each for each in shapes if each.startswith(scope) and each.endswith("/u_var")]
        if vectors:
            yield f"{side}.spectral_norm = True"
        left &= all(_dim(shapes, each, -1) == 1 for each in vectors)
        right &= all(_dim(shapes, each, 0) == 1 for each in vectors)
    if not left:
        yield f"spectral_norm.singular_value = '{'right' if right else 'auto'}'"


def _generator(shapes: Shapes, graph: Graph, name: str, z_dim: int, images: tuple[int, ...]) -> Iterator[str]:
    owner = f"{name}.Generator"
    yield f"{owner}.ch = {_width(shapes, name, 0, images)}"
    if name not in ("resnet_cifar", *BIGGAN):
        return
    embedded = "generator/embed_y/kernel" in shapes
    yield f"{owner}.embed_y = {embedded}"
    if name != "resnet_biggan_deep":
        rows = _dim(shapes, "generator/fc_noise/kernel", 0)
        yield f"{owner}.embed_z = {'generator/embed_z/kernel' in shapes}"
        yield f"{owner}.hierarchical_z = {rows < z_dim}"
    if name == "resnet_cifar":
        return
    if embedded:
        yield f"{owner}.embed_y_dim = {_dim(shapes, 'generator/embed_y/kernel', -1)}"
    if name == "resnet_biggan":
        bias = any(f"generator/embed_{each}/bias" in shapes for each in "yz")
        yield f"{owner}.embed_bias = {bias}"
        yield f"{owner}.blocks_with_attention = '{_attention(graph, 'generator')}'"
        if not any(re.match(r"generator/B\d+/\w+_conv_shortcut/", each) for each in shapes):
            yield "BigGanResNetBlock.add_shortcut = False"
    elif _dim(shapes, "generator/final_conv/kernel", -1) == TO_RGB:
        yield f"{owner}.experimental_fast_conv_to_rgb = True"


def _discriminator(shapes: Shapes, graph: Graph | None, name: str, images: tuple[int, ...]) -> Iterator[str]:
    owner = f"{name}.Discriminator"
    there = any(each.startswith("discriminator/") for each in shapes)
    if there or name in BIGGAN:  # without one any width will do; take the generator's
        yield f"{owner}.ch = {_width(shapes, name, int(there), images)}"
    if name in ("resnet_cifar", *BIGGAN):
        yield f"{owner}.project_y = {'discriminator/embedding_fc/kernel' in shapes}"
    if name == "resnet_biggan":
        yield f"{owner}.blocks_with_attention = '{_attention(graph, 'discriminator')}'"


def _width(shapes: Shapes, name: str, network: int, images: tuple[int, ...]) -> int:
    """`ch` of a generator (0) or discriminator (1).

    Raises:
      UserError: the variable that determines it is missing or has an impossible size.
    """
    scope = ("generator/", "discriminator/")[network]
    if name in BIGGAN:
        widths = BIGGAN[name][network].get(images[1])
        if widths is None:
            raise UserError(f"has images of {images[1]} pixels, which {name} does not generate")
        table = (("fc_noise/kernel", 1, SMALLEST * widths[0]), ("final_fc/kernel", 0, widths[-1]))
    else:
        table = WIDTHS[name]
    variable, axis, unit = table[network]
    ch, rest = divmod(_dim(shapes, scope + variable, axis), unit)
    if not 0 < ch <= MAX_WIDTH or rest:
        shape = list(shapes.get(scope + variable, ()))
        raise UserError(f"its variable {scope + variable} is {shape}, which is impossible in {name}")
    return ch


def _dim(shapes: Shapes, name: str, axis: int, default: int = 0) -> int:
    """The size of an axis of a variable; the default if it or the variable does not exist."""
    shape = shapes.get(name, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else default


def _attention(graph: Graph | None, scope: str) -> str:
    """The blocks that are followed by attention, as in `blocks_with_attention`."""
    blocks = set()
    for node, inputs in (graph.inputs if graph else {}).items():
        match = re.fullmatch(rf"{scope}/non_local_block(_\d+)?/conv2d_theta/Conv2D", node)
        if match and inputs and (block := re.search(r"/(B\d+)/", inputs[0])):
            blocks.add(block[1])
    return ",".join(sorted(blocks))
