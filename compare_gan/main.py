"""The command line: `compare_gan.commands` has the commands, this file runs one."""

import errno
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from compare_gan import __version__
from compare_gan.commands import load_commands
from compare_gan.commands.shared import Parser
from compare_gan.core.allocator import keep_freed_memory
from compare_gan.core.errors import UserError
from compare_gan.core.files import user_cache
from compare_gan.core.interrupt import Interrupted

CANNOT_WRITE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM


def run() -> NoReturn:
    """The console command: exit code 0, 2 for a mistake that the user can mend, 130 if stopped."""
    keep_freed_memory()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a word, also where there is nothing to save
    sys.unraisablehook = unraisable
    sys.exit(main(sys.argv[1:]))


def unraisable(event: Any) -> None:
    """Passes on what cannot be raised, but for what follows a checkpoint that could not be written.

    Where one write fails Orbax stops waiting for the others, and TensorStore, when they end, finds nobody
    there to tell. The failure itself is raised, and told in a line.
    """
    if not (isinstance(event.exc_value, RuntimeError) and str(event.exc_value) == "Event loop is closed"):
        sys.__unraisablehook__(event)


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args([underscored(word) for word in argv])
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name in ("absl", "asyncio"):  # what Orbax and TensorStore log they also raise
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        use_compilation_cache()
        return arguments.command(arguments) or 0
    except UserError as error:
        print(f"compare-gan: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        message = f"{error.filename or 'a file'}: {error.strerror}; fix this and give the same command again"
        print(f"compare-gan: {message}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"{stop}; the same command resumes from there")
        return 130
    except KeyboardInterrupt:
        print("\nstopped; the same command resumes from the last checkpoint")
        return 130


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, in $JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def underscored(word: str) -> str:
    """`--label-fraction=0.1` -> `--label_fraction=0.1`; both spellings are welcome."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def parser() -> Parser:
    top = Parser(
        prog="compare-gan", description="Train, evaluate and compare GANs, above all when labels are scarce."
    )
    top.add_argument("--version", action="version", version=f"compare-gan {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in load_commands():
        module.add(commands)
    return top


if __name__ == "__main__":
    run()
