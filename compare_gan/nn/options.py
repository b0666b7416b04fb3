"""Hyper-parameters of layers: plain values, made once, handed down."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax.numpy as jnp
from flax import nnx

from compare_gan.core.errors import UserError
from compare_gan.core.registry import expose
from compare_gan.core.types import Norm

OPS = "compare_gan.architectures.arch_ops"
TPU_OPS = "compare_gan.tpu.tpu_ops"
ARCH = "compare_gan.architectures.abstract_arch"


@expose("weights", module=OPS)
@dataclasses.dataclass(frozen=True)
class Weights:
    """How kernels begin: "normal", "truncated" (at two deviations) or "orthogonal"."""

    initializer: str = "normal"
    stddev: float = 0.02

    def __post_init__(self):
        if self.initializer not in ("normal", "truncated", "orthogonal"):
            raise UserError(
                f"weights.initializer is {self.initializer!r}; use normal, truncated or orthogonal"
            )

    def make(self) -> Callable[..., Any]:
        match self.initializer:
            case "normal":
                return nnx.initializers.normal(self.stddev)
            case "truncated":
                # TensorFlow's stddev is that of the normal before it is cut.
                return nnx.initializers.truncated_normal(self.stddev)
            case _:
                return nnx.initializers.orthogonal()


@expose("standardize_batch", module=OPS)
@dataclasses.dataclass(frozen=True)
class StandardizeBatch:
    """Batch statistics, and what stands for them outside training.

    With `use_moving_averages` that is a moving average, of which `decay` is the weight of the old
    value; without, the mean over batches that are generated for the purpose before evaluation.
    `epsilon` is added to the variance. Statistics are those of the global batch, unless
    `use_cross_replica_mean` is False: then each device has its own.
    """

    decay: float = 0.999
    epsilon: float = 1e-3
    use_cross_replica_mean: bool | None = None
    use_moving_averages: bool = True


@expose("cross_replica_moments", module=TPU_OPS)
@dataclasses.dataclass(frozen=True)
class CrossReplicaMoments:
    """Which devices share batch statistics: groups of `group_size`, or all where it is None.

    `parallel` chose between two ways of summing on a TPU, with the same result; here it says nothing.
    """

    parallel: bool = True
    group_size: int | None = None

    def __post_init__(self):
        if self.group_size is not None and self.group_size < 1:
            raise UserError(f"cross_replica_moments.group_size is {self.group_size}; it must be at least 1")


@expose("spectral_norm", module=OPS)
@dataclasses.dataclass(frozen=True)
class SpectralNorm:
    """Which singular vector of a kernel [rows, columns] is kept: "left", "right" or the "auto" shorter."""

    epsilon: float = 1e-12
    singular_value: str = "left"

    def __post_init__(self):
        if self.singular_value not in ("left", "right", "auto"):
            raise UserError(
                f"spectral_norm.singular_value is {self.singular_value!r}; use left, right or auto"
            )

    def side(self, rows: int, columns: int) -> str:
        if self.singular_value != "auto":
            return self.singular_value
        return "left" if rows <= columns else "right"


@expose("precision", module=OPS)
@dataclasses.dataclass(frozen=True)
class Precision:
    """In what convolutions and attention compute: "float32" or "bfloat16".

    Parameters, statistics, spectral and batch normalisation, linear layers, images and losses are
    float32 either way. bfloat16 is for GPUs and TPUs; XLA's CPU backend is slower with it.
    """

    compute: str = "float32"

    def __post_init__(self):
        if self.compute not in ("float32", "bfloat16"):
            raise UserError(f"precision.compute is {self.compute!r}; use float32 or bfloat16")


@dataclasses.dataclass(frozen=True)
class Layers:
    """What all layers of one experiment share."""

    weights: Weights = Weights()
    batch: StandardizeBatch = StandardizeBatch()
    spectral: SpectralNorm = SpectralNorm()
    moments: CrossReplicaMoments = CrossReplicaMoments()
    precision: Precision = Precision()
    replicas: int = 1  # devices that share a batch

    @property
    def dtype(self) -> Any:
        """Of what convolutions see and give."""
        return jnp.dtype(self.precision.compute)

    @property
    def moment_groups(self) -> int:
        """Into how many parts a batch is cut, each with batch statistics of its own.

        Raises:
          UserError: the devices do not divide into groups.
        """
        if self.batch.use_cross_replica_mean is False:
            return self.replicas
        size = self.moments.group_size or self.replicas
        if self.replicas % size:
            raise UserError(
                f"cross_replica_moments.group_size is {size}; it must divide the {self.replicas} devices"
            )
        return self.replicas // size


NormFactory = Callable[..., Norm | None]  # of a `LayerFactory` and the number of features, see `norms.py`


@expose("G", module=ARCH)
@dataclasses.dataclass(frozen=True)
class GeneratorOptions:
    """Normalisation of the generator: a norm factory (see `norms.py`), or None."""

    batch_norm_fn: NormFactory | None = None
    layer_norm: ClassVar[bool] = False
    spectral_norm: bool = False


@expose("D", module=ARCH)
@dataclasses.dataclass(frozen=True)
class DiscriminatorOptions:
    """Normalisation of the discriminator: a norm factory (see `norms.py`), or None."""

    batch_norm_fn: NormFactory | None = None
    layer_norm: bool = False
    spectral_norm: bool = False


@dataclasses.dataclass(frozen=True)
class CondDims:
    """Lengths of the latent and of the label vector that condition a layer; 0 where there is none."""

    z: int = 0
    y: int = 0
