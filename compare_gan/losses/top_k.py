"""Top-k training: Sinha et al., https://arxiv.org/abs/2002.06224."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from compare_gan.core.errors import UserError
from compare_gan.core.registry import expose
from compare_gan.core.types import Array, Logits


@expose("TopK")
@dataclasses.dataclass(frozen=True)
class TopK:
    """The generator learns only from the k generated images of a batch with the highest logits.

    k starts at the batch size and is multiplied by `gamma` after every `interval` steps, but stays at least
    `nu` times the batch size. With gradient accumulation the batch is a microbatch.

    Args:
      interval: steps of the generator; Sinha et al. use an epoch.
      gamma: the factor.
      nu: the smallest share.

    Raises:
      UserError: a value out of range.
    """

    interval: int
    gamma: float = 0.99
    nu: float = 0.5

    def __post_init__(self):
        if self.interval < 1:
            raise UserError(f"TopK.interval is {self.interval}; it must be at least 1")
        for name in ("gamma", "nu"):
            if not 0 < getattr(self, name) < 1:
                raise UserError(f"TopK.{name} is {getattr(self, name)}; it must be between 0 and 1")

    def counts(self, batch_size: int) -> np.ndarray:
        """k after 0, 1, 2, ... intervals, until it is constant."""
        least = max(1, int(batch_size * self.nu))
        counts = [float(batch_size)]
        while counts[-1] > least:
            counts.append(max(counts[-1] * self.gamma, least))
        return np.array(counts).astype(int)

    def __call__(self, logits: Logits) -> Array:
        batch_size = len(logits.fake)
        counts = self.counts(batch_size)
        k = jnp.asarray(counts)[jnp.minimum(jnp.asarray(logits.step) // self.interval, len(counts) - 1)]
        rank = jnp.argsort(jnp.argsort(-logits.fake))
        return jnp.where(rank < k, batch_size / k, 0.0)
