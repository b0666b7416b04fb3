"""The length of a training, and the steps at which it logs, samples, scores and saves."""

import dataclasses

from compare_gan.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class TrainSchedule:
    """The number of steps, and the interval in steps of each kind of event.

    >>> schedule = cg.TrainSchedule(steps=1000, sample_every=250)
    >>> [step for step in range(1001) if schedule.due(schedule.sample_every, step)]
    [250, 500, 750, 1000]

    Raises:
      UserError: a number below 1.
    """

    steps: int
    log_every: int = 50
    sample_every: int = 500
    save_every: int = 1000
    keep_checkpoints: int | None = 2  # the newest ones; None keeps all
    score_every: int | None = None  # None: no scores during training

    def __post_init__(self):
        for field in ("steps", "log_every", "sample_every", "save_every", "score_every"):
            value = getattr(self, field)
            if value is not None and value < 1:
                raise UserError(f"{field} is {value}; it must be at least 1")

    def due(self, every: int | None, step: int) -> bool:
        """Whether `step` is a multiple of `every`, or the last step; False if `every` is None."""
        return every is not None and step > 0 and (step % every == 0 or step == self.steps)

    def uses_state(self, step: int) -> bool:
        """Whether samples, scores or a checkpoint are due, which read the state from the devices."""
        return any(self.due(every, step) for every in (self.sample_every, self.save_every, self.score_every))

    def reports(self, step: int) -> bool:
        """Whether a metrics report is due. It depends on the step alone."""
        return self.due(self.log_every, step) or self.uses_state(step)
