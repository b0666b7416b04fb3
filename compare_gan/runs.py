"""Opening the run folder of a trained GAN."""

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
from compare_gan.training.checkpoints import Checkpoints
from compare_gan.training.run_dir import read_run


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run."""

    run_dir: Path
    about: dict[str, Any]  # `run.json`, plus the names of the architecture and of the GAN method
    gan: GAN  # with the prior of evaluation

    def template(self) -> GANState:
        """A freshly initialised state, the template for restoring checkpoints."""
        return jax.jit(self.gan.init)(jax.random.key(0))

    def restore(self, step: str = "latest") -> GANState:
        """The state of a checkpoint.

        Args:
          step: "latest", the newest intact checkpoint; "best"; or a step number.

        Raises:
          UserError: there is no such checkpoint, or it is corrupted.
        """
        if step not in ("latest", "best") and not step.isdecimal():
            raise UserError(f"step {step!r}: give latest, best, or one number")
        number, *_ = select_steps(self.run_dir, step)
        checkpoints, template = Checkpoints(self.run_dir), self.template()
        state = (
            checkpoints.restore(template) if step == "latest" else checkpoints.restore_step(number, template)
        )
        if state is None:
            raise UserError(
                f"{checkpoints.folder}: step {number} is corrupted; choose another step, or train again"
            )
        return state


def open_run(run_dir: Path) -> Run:
    """Opens a run folder of `compare-gan train` or of a study, and parses its configuration.

    Raises:
      UserError: this is not a run folder, or its configuration is invalid.
    """
    about = read_run(run_dir)
    parsed = parse([run_dir / CONFIG], [])
    gan = parsed.gan(ImageSpec(tuple(about["image_shape"]), about["num_classes"]))
    gan = dataclasses.replace(gan, prior=parsed.eval_prior)
    options = parsed.options
    target = getattr(options.gan_class, "func", options.gan_class)
    method = next(name for name in GAN_METHODS if GAN_METHODS[name] is target)
    return Run(run_dir, {"method": method} | about | {"architecture": options.architecture}, gan)
