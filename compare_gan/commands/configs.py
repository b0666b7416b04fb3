"""List the packaged configurations, or print one."""

import argparse

from compare_gan.commands.shared import declare


def add(commands) -> None:
    parser = declare(
        commands,
        configs,
        "configs",
        "List the packaged configurations, or print one, so that it can be copied and changed.",
        "sngan_cifar10",
    )
    parser.add_argument("name", nargs="?", help="the configuration to print, such as small.gin or s3gan")


def configs(arguments: argparse.Namespace) -> None:
    from compare_gan.config.catalogue import listing
    from compare_gan.config.recipes import config_file

    if arguments.name is None:
        print(listing())
    else:
        print(config_file(arguments.name).read_text(encoding="utf-8"), end="")
