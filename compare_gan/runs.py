"""Opening a run folder that training made."""

import dataclasses
from pathlib import Path
from typing import Any

import jax

from compare_gan.config.parse import parse
from compare_gan.core.errors import UserError
from compare_gan.core.registry import GAN_METHODS
from compare_gan.core.run_files import CONFIG
from compare_gan.core.types import GANState, ImageSpec
from compare_gan.evaluation.steps import select_steps
from compare_gan.gans.gan import GAN
from compare_gan.train.checkpoints import Checkpoints
from compare_gan.train.run_dir import read_run


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run."""

    run_dir: Path
    about: dict[str, Any]  # `run.json`, with the names of the architecture and of the GAN method
    gan: GAN  # with the prior that images for scores are generated with

    def template(self) -> GANState:
        """A state with fresh weights, to restore checkpoints into."""
        return jax.jit(self.gan.init)(jax.random.key(0))

    def restore(self, step: str = "latest") -> GANState:
        """The state of a checkpoint.

        Args:
          step: "latest", which is the newest one that is not damaged; "best"; or a number.

        Raises:
          UserError: there is no such checkpoint, or it is damaged.
        """
        if step not in ("latest", "best") and not step.isdecimal():
            raise UserError(f"step {step!r}: give latest, best, or one number")
        number, *_ = select_steps(self.run_dir, step)
        checkpoints, template = Checkpoints(self.run_dir), self.template()
        state = (
            checkpoints.restore(template) if step == "latest" else checkpoints.restore_step(number, template)
        )
        if state is None:
            raise UserError(f"{checkpoints.folder}: step {number} is damaged; choose another, or train again")
        return state


def open_run(run_dir: Path) -> Run:
    """The run of a folder that `compare-gan train` or a study made. Its configuration is parsed.

    Raises:
      UserError: this is not a run folder, or its configuration cannot be read.
    """
    about = read_run(run_dir)
    parsed = parse([run_dir / CONFIG], [])
    gan = parsed.gan(ImageSpec(tuple(about["image_shape"]), about["num_classes"]))
    gan = dataclasses.replace(gan, prior=parsed.eval_prior)
    options = parsed.options
    target = getattr(options.gan_class, "func", options.gan_class)
    method = next(name for name in GAN_METHODS if GAN_METHODS[name] is target)
    return Run(run_dir, {"method": method} | about | {"architecture": options.architecture}, gan)
