"""The modules that Google published, by name.

The data is from their pages in the repository tensorflow/tfhub.dev. The files themselves have not been tried.
"""

import re
from typing import NamedTuple

HANDLE = re.compile(r"(?:https://tfhub\.dev/)?google/compare_gan/(\w+?)(?:/1)?")


class Published(NamedTuple):
    """A published module; `is_score` is None where its page has none."""

    network: str
    data: str
    labels: bool
    z_dim: int
    prior: str
    fid: float
    is_score: float | None = None


def _s3gan(fid: float, is_score: float, side: int = 128, z_dim: int = 120) -> Published:
    return Published(f"BigGAN {side}", f"imagenet_{side}", True, z_dim, "normal", fid, is_score)


def _study(network: str, data: str, fid: float) -> Published:
    return Published(network, data, False, 128, "uniform", fid)


PUBLISHED = {
    "s3gan_2_5_128x128": _s3gan(12.6, 48),
    "s3gan_5_128x128": _s3gan(8.4, 74),
    "s3gan_10_128x128": _s3gan(7.6, 80),
    "s3gan_20_128x128": _s3gan(6.9, 98),
    "s3gan_10_256x256": _s3gan(8.0, 133, 256, 140),
    "ssgan_128x128": Published("BigGAN 128", "imagenet_128", False, 120, "normal", 20.6, 24.9),
    **{
        f"model_{number}_celebahq128_resnet19": _study("ResNet19", "celeb_a_hq_128", fid)
        for number, fid in ((1, 34.29), (2, 35.85), (5, 30.02), (6, 32.05), (9, 29.13))
    },
    **{
        f"model_{number}_lsun_bedroom_resnet19": _study("ResNet19", "lsun-bedroom", fid)
        for number, fid in ((3, 102.74), (4, 112.92), (7, 41.60), (8, 42.51), (10, 40.36))
    },
    **{
        f"model_{number}_cifar10_resnet_cifar": _study("ResNet CIFAR", "cifar10", fid)
        for number, fid in ((11, 28.12), (12, 30.08), (13, 22.91), (14, 23.22), (15, 22.73))
    },
}


def published_name(source: str) -> str | None:
    """NAME of `google/compare_gan/NAME`, with or without `https://tfhub.dev/` and `/1`, or None."""
    match = HANDLE.fullmatch(source)
    return match[1] if match else None
