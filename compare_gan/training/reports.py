"""Mean metrics between two reports."""

import jax
import jax.numpy as jnp
import numpy as np

from compare_gan.core.types import Metrics
from compare_gan.training.schedule import TrainSchedule


class Reports:
    """Sums metrics on the devices, and fetches their means without stalling the devices.

    Unless samples, scores or a checkpoint are due, a report is fetched one step late, while the devices run
    the next step. Summing also keeps the host at most one step ahead of the devices.
    """

    def __init__(self, schedule: TrainSchedule, step: int):
        self.schedule = schedule
        self.last = step  # of the last report
        self.sums: Metrics | None = None  # since then
        self.pending: tuple[int, int, Metrics] | None = None  # step, number of steps, sums

    def update(self, step: int, metrics: Metrics, now: bool = False) -> dict[str, float] | None:
        """Adds the metrics of a step.

        Args:
          step: the number of steps taken.
          metrics: scalars on the devices.
          now: report at this step regardless of the schedule.

        Returns:
          The means of a report and its "step", which may be the previous step; None if no report is due.
        """
        if self.sums is None:
            self.sums = metrics
        else:
            jax.block_until_ready(self.sums)  # of the previous step
            self.sums = _add(self.sums, metrics)
        late = self._fetch()  # then this step has no report of its own
        if late is not None or not (now or self.schedule.reports(step)):
            return late
        jax.tree.map(lambda x: x.copy_to_host_async(), self.sums)
        self.pending = step, step - self.last, self.sums
        self.last, self.sums = step, None
        wait = now or self.schedule.uses_state(step) or self.schedule.reports(step + 1)
        return self._fetch() if wait else None

    def _fetch(self) -> dict[str, float] | None:
        if self.pending is None:
            return None
        step, count, sums = self.pending
        self.pending = None
        return {"step": step} | {name: float(np.float32(x) / np.float32(count)) for name, x in sums.items()}


@jax.jit
def _add(sums: Metrics, metrics: Metrics) -> Metrics:
    return jax.tree.map(jnp.add, sums, metrics)
