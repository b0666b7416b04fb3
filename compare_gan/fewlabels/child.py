"""A child process that does one task of a study for a worker of a cluster (`core.child`)."""

import dataclasses
import os
import pickle
import signal
from collections.abc import Callable
from typing import Any

import jax

from compare_gan.core.child import answer, read_question
from compare_gan.core.errors import UserError
from compare_gan.core.files import user_cache
from compare_gan.core.interrupt import Interrupted
from compare_gan.fewlabels.execute import Call, Outcome, attempt, open_quietly, working

STOPPED = "stopped; progress is saved"


@dataclasses.dataclass(frozen=True)
class Question:
    """A task, and how it is done; sent to the child as a pickle."""

    open_call: Callable[[], Call]  # as for `fewlabels.execute.ProcessExecutor`
    task: Any
    cache_options: dict[str, Any]


def main() -> None:
    """Answers with the pickled `Outcome`, or a `UserError` if `open_call` fails on this machine."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    question: Question = pickle.loads(read_question())
    with working(local(question.cache_options)):
        answer(pickle.dumps(outcome_of(question)))


def outcome_of(question: Question) -> Outcome | UserError:
    """Does the task. A stopped task can be done again."""
    try:
        opened = attempt(lambda task: open_quietly(question.open_call), question.task)
        if opened.error is not None:
            return UserError(opened.error)
        return attempt(opened.value, question.task)
    except (Interrupted, KeyboardInterrupt):
        return Outcome(question.task, error=STOPPED, again=True)


def open_platform() -> Call:
    """A call that returns the name of the platform that JAX uses here, such as "gpu"."""
    return lambda task: jax.default_backend()


def local(cache_options: dict[str, Any]) -> dict[str, Any]:
    """Options for keeping compiled programs in this machine's own folder, if they are kept at all."""
    name = "jax_compilation_cache_dir"
    if cache_options[name] is None:
        return cache_options
    return cache_options | {name: os.environ.get(name.upper()) or str(user_cache() / "jax")}


if __name__ == "__main__":
    main()
