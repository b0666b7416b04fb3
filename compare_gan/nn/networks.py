"""Protocols of generators and discriminators, and the specification that their constructors take.

An architecture is a pair of NNX modules, registered with `register_pair`. Their constructors match
`MakeGenerator` and `MakeDiscriminator`; further keyword arguments have defaults and are configurable.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from flax import nnx

from compare_gan.core.registry import ARCHITECTURES, expose
from compare_gan.core.types import Array, Cond, DiscriminatorOut, ImageSpec
from compare_gan.nn.layers import LayerFactory
from compare_gan.nn.options import CondDims, DiscriminatorOptions, GeneratorOptions, Layers


@dataclasses.dataclass(frozen=True)
class NetSpec:
    """Arguments of a network's constructor: image shape, input lengths, and hyper-parameters of layers."""

    image: ImageSpec
    z_dim: int  # length of the latent vector; 0 in a discriminator
    y_dim: int  # length of the label vector; 0 without labels
    options: GeneratorOptions | DiscriminatorOptions
    layers: Layers = Layers()

    @property
    def colors(self) -> int:
        """Channels of the images."""
        return self.image.image_shape[-1]

    @property
    def dims(self) -> CondDims:
        """Lengths of the vectors that condition the norms."""
        return CondDims(self.z_dim, self.y_dim)

    def factory(self, rngs: nnx.Rngs) -> LayerFactory:
        """A factory for the layers of the network; see `LayerFactory`."""
        o = self.options
        return LayerFactory(self.layers, rngs, o.spectral_norm, o.batch_norm_fn, o.layer_norm, self.dims)


class Generator(Protocol):
    """An NNX module that maps latent vectors, and labels of conditional GANs, to images.

    `cond.z` is [B, Z] and `cond.y` [B, K] or None; the images are [B, H, W, C], float32 in [0, 1].
    """

    def __call__(self, cond: Cond) -> Array: ...


class Discriminator(Protocol):
    """An NNX module that maps images [B, H, W, C] in [0, 1] to logits [B] and features [B, F].

    The heads of auxiliary tasks take the features as input. `aux` of the output is empty.
    """

    feature_dim: int  # F
    projects_labels: bool  # whether the logits include a label projection (`nn.heads`)

    def __call__(self, x: Array, cond: Cond) -> DiscriminatorOut: ...


Stage = tuple[Any, ...]  # the modules of a block of a discriminator, or None


@runtime_checkable
class Staged(Protocol):
    """A discriminator whose first blocks can be frozen, see `gans.freeze`."""

    @property
    def stages(self) -> Sequence[Stage]:
        """The modules of each block, from the pixels on, without the last layers that follow the blocks."""


class MakeGenerator(Protocol):
    """Creates a generator; usually its class.

    Raises:
      UserError: the network does not fit `net`.
    """

    def __call__(self, net: NetSpec, *, rngs: nnx.Rngs) -> Generator: ...


class MakeDiscriminator(Protocol):
    """Creates a discriminator; usually its class.

    Raises:
      UserError: the network does not fit `net`.
    """

    def __call__(self, net: NetSpec, *, rngs: nnx.Rngs) -> Discriminator: ...


def register_pair(
    name: str, generator: MakeGenerator, discriminator: MakeDiscriminator, *, module: str
) -> None:
    """Registers the networks of an architecture; gin calls them `<module>.Generator` and `.Discriminator`."""
    expose("Generator", module=module)(generator)
    expose("Discriminator", module=module)(discriminator)
    ARCHITECTURES.register(name)((generator, discriminator))
