"""Hyper-parameters of layers, as frozen dataclasses."""

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
    """Initialiser of kernels: "normal", "truncated" (at two standard deviations) or "orthogonal"."""

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
                # As in TensorFlow, stddev is that of the normal distribution before truncation.
                return nnx.initializers.truncated_normal(self.stddev)
            case _:
                return nnx.initializers.orthogonal()


@expose("standardize_batch", module=OPS)
@dataclasses.dataclass(frozen=True)
class StandardizeBatch:
    """Batch statistics for training and evaluation.

    Evaluation uses a moving average, in which `decay` is the weight of the old value; without
    `use_moving_averages` it uses the mean over batches generated before evaluation ("standing statistics").
    `epsilon` is added to the variance. Batch statistics are those of the global batch; if
    `use_cross_replica_mean` is False, each device uses its own.
    """

    decay: float = 0.999
    epsilon: float = 1e-3
    use_cross_replica_mean: bool | None = None
    use_moving_averages: bool = True


@expose("cross_replica_moments", module=TPU_OPS)
@dataclasses.dataclass(frozen=True)
class CrossReplicaMoments:
    """Which devices share batch statistics: groups of `group_size`, or all if it is None.

    `parallel` selects between two equivalent TPU reductions in compare_gan; here it has no effect.
    """

    parallel: bool = True
    group_size: int | None = None

    def __post_init__(self):
        if self.group_size is not None and self.group_size < 1:
            raise UserError(f"cross_replica_moments.group_size is {self.group_size}; it must be at least 1")


@expose("spectral_norm", module=OPS)
@dataclasses.dataclass(frozen=True)
class SpectralNorm:
    """The stored singular vector of a kernel [rows, columns]: "left", "right", or "auto" (the shorter)."""

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
    """The dtype of convolutions and attention: "float32" or "bfloat16".

    Parameters, statistics, spectral and batch normalisation, linear layers, images and losses are always
    float32. bfloat16 is for GPUs, TPUs, and processors for which `nn.kernels` supports it, best with AMX; on
    others it is slower than float32.
    """

    compute: str = "float32"

    def __post_init__(self):
        if self.compute not in ("float32", "bfloat16"):
            raise UserError(f"precision.compute is {self.compute!r}; use float32 or bfloat16")


@dataclasses.dataclass(frozen=True)
class Layers:
    """Settings shared by all layers of a GAN."""

    weights: Weights = Weights()
    batch: StandardizeBatch = StandardizeBatch()
    spectral: SpectralNorm = SpectralNorm()
    moments: CrossReplicaMoments = CrossReplicaMoments()
    precision: Precision = Precision()
    replicas: int = 1  # devices that share a batch

    @property
    def dtype(self) -> Any:
        """The dtype of the inputs and outputs of convolutions."""
        return jnp.dtype(self.precision.compute)

    @property
    def moment_groups(self) -> int:
        """The number of device groups, each with its own batch statistics.

        Raises:
          UserError: the group size does not divide the number of devices.
        """
        if self.batch.use_cross_replica_mean is False:
            return self.replicas
        size = self.moments.group_size or self.replicas
        if self.replicas % size:
            raise UserError(
                f"cross_replica_moments.group_size is {size}; it must divide the {self.replicas} devices"
            )
        return self.replicas // size


NormFactory = Callable[..., Norm | None]  # maps a `LayerFactory` and a number of features to a norm


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
    """Lengths of the latent and the label vector that condition a layer; 0 if absent."""

    z: int = 0
    y: int = 0
