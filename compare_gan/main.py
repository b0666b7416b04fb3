"""Entry point of the command line; the commands are in `compare_gan.commands`."""

import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from compare_gan import __version__
from compare_gan.commands import load_commands
from compare_gan.commands.shared import Parser
from compare_gan.core.allocator import keep_freed_memory
from compare_gan.core.errors import UserError, printable
from compare_gan.core.files import remove_least_recent, user_cache
from compare_gan.core.follow_up import hide_logged_errors, unraisable
from compare_gan.core.interrupt import Interrupted
from compare_gan.core.limits import is_stuck
from compare_gan.core.progress import bars_removed

CACHE_BYTES = 2 * 2**30  # of compiled programs that are kept between commands
GARBAGE_THRESHOLDS = 50_000, 20, 20  # Python's own are (700, 10, 10), which take a sixth of tracing a step
CANNOT_WRITE = errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM


def run() -> NoReturn:
    """The console command: exit code 0, 2 for an error that the user can fix, 130 if interrupted."""
    keep_freed_memory()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # exit cleanly even with nothing to save
    sys.unraisablehook = unraisable
    code = main(sys.argv[1:])
    if is_stuck():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def main(argv: Sequence[str]) -> int:
    arguments = parser().parse_args([normalize_option(argument) for argument in argv])
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[StderrHandler()])
    hide_logged_errors()
    try:
        use_compilation_cache()
        with bars_removed():
            return arguments.command(arguments) or 0
    except UserError as error:
        print(f"compare-gan: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        if error.errno not in CANNOT_WRITE:
            raise
        message = f"{error.filename or 'a file'}: {error.strerror}; fix this and rerun the same command"
        print(f"compare-gan: {message}", file=sys.stderr)
        return 2
    except Interrupted as stop:
        print(f"{stop}; rerun the same command to resume")
        return 130
    except KeyboardInterrupt:
        print("\nstopped; rerun the same command to resume from the last checkpoint")
        return 130


class StderrHandler(logging.StreamHandler):
    """Logs to the current `sys.stderr`, which writes above the progress bars while there are any."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Names and values from files are logged without their control characters."""
        return printable(super().format(record))


def use_compilation_cache() -> None:
    """Keeps compiled programs between runs, in $JAX_COMPILATION_CACHE_DIR or the user's cache folder."""
    import jax

    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        folder = user_cache() / "jax"
        remove_least_recent(folder, CACHE_BYTES)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def normalize_option(argument: str) -> str:
    """`--label-fraction=0.1` -> `--label_fraction=0.1`; both spellings are accepted."""
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    return "--" + name[2:].replace("-", "_") + equals + value


def parser() -> Parser:
    top = Parser(
        prog="compare-gan", description="Train, evaluate and compare GANs, in particular with few labels."
    )
    top.add_argument("--version", action="version", version=f"compare-gan {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in load_commands():
        module.add(commands)
    return top


if __name__ == "__main__":
    run()
