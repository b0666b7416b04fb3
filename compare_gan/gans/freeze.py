"""FreezeD: the discriminator's blocks nearest the pixels are not trained.

For a GAN that starts from the weights of another: low-level features fit other images, too. Mo et al.,
https://arxiv.org/abs/2002.10964, and `--layer` of https://github.com/sangwoomo/FreezeD. A first convolution
before the blocks is frozen with the first block.

As there, only parameters are frozen. Spectral vectors go on to converge to the singular vectors of the
constant kernels. Batch statistics follow the new images: in training they are always those of the batch, and
moving averages of the old images would not match.
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.types import Tree
from compare_gan.nn.networks import Staged


def frozen_parameters(discriminator: nnx.Module, backbone: object, blocks: int) -> Tree:
    """For each parameter of a discriminator, whether it belongs to its first blocks.

    Args:
      discriminator: the discriminator with its heads; its arrays may be shapes.
      backbone: the same without heads.
      blocks: number of frozen blocks, counted from the pixels.

    Raises:
      UserError: there are fewer blocks, or the discriminator does not list them.
    """
    if not isinstance(backbone, Staged):
        raise UserError(
            f"ModularGAN.freeze_d_layers is {blocks}, but {type(backbone).__name__} does not list its "
            "blocks; set it to 0, or add the property `stages` (compare_gan.nn.networks.Staged)"
        )
    stages = backbone.stages
    if not 0 < blocks <= len(stages):
        raise UserError(
            f"ModularGAN.freeze_d_layers is {blocks}; it must be from 0 to {len(stages)}, the blocks of this "
            "discriminator"
        )
    modules = [module for stage in stages[:blocks] for module in stage if module is not None]
    chosen = {id(node) for module in modules for _, node in nnx.iter_graph(module)}
    paths = {path for path, node in nnx.iter_graph(discriminator) if id(node) in chosen}
    params = nnx.to_pure_dict(nnx.state(discriminator, nnx.Param))
    return jax.tree.map_with_path(lambda path, _: tuple(key.key for key in path) in paths, params)


def without_updates(tx: optax.GradientTransformation, frozen: Tree) -> optax.GradientTransformation:
    """An optimiser that does not change the frozen parameters, nor counts their gradients.

    Args:
      tx: the optimiser of all parameters.
      frozen: for each parameter, whether it is frozen.
    """

    def zeroed(tree: Tree) -> Tree:
        return jax.tree.map(lambda stays, x: jnp.zeros_like(x) if stays else x, frozen, tree)

    def update(gradients, state, params=None):
        updates, state = tx.update(zeroed(gradients), state, params)
        return zeroed(updates), state

    return optax.GradientTransformation(tx.init, update)
