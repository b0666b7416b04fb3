"""Single convolutions that are measured, and how much work each is."""

from typing import NamedTuple

OPERATIONS = ("forward", "input gradient", "kernel gradient")
DTYPES = ("float32", "bfloat16")
PRODUCT = 3000  # side of the square matrices whose product is the limit


class Case(NamedTuple):
    """A convolution of square images with "SAME" padding."""

    batch: int
    side: int  # of the input
    c_in: int
    c_out: int
    kernel: int = 3
    scale: str = "none"  # "stride 2", or as in `compare_gan.nn.rescale`: "up", "repeat" or "down"

    @property
    def name(self) -> str:
        scale = {"none": "", "stride 2": " stride 2", "up": " zeros", "repeat": " repeat", "down": " pool"}
        kind = f"{self.kernel}x{self.kernel}{scale[self.scale]}"
        return f"{kind}, {self.batch}x{self.side}x{self.side}, {self.c_in}-{self.c_out}"

    @property
    def side_out(self) -> int:
        """Side of the output."""
        match self.scale:
            case "none":
                return self.side
            case "stride 2" | "down":
                return self.side // 2
            case _:
                return 2 * self.side

    @property
    def flops(self) -> int:
        """Useful operations of each of the three maps: two for each product that cannot be avoided.

        Border pixels count like all others. For a doubled image, and for means of four outputs, these are the
        products of the kernel with each pixel of the smaller image: the others are with zeros, or vanish if
        sums of four neighbours are taken before, or after, the convolution.
        """
        small = min(self.side, self.side_out)
        return 2 * self.batch * small**2 * self.kernel**2 * self.c_in * self.c_out


CASES = (
    Case(32, 28, 16, 16),
    Case(64, 8, 32, 32),
    Case(64, 32, 3, 32),
    Case(64, 32, 32, 3),
    Case(64, 32, 32, 32),
    Case(64, 16, 64, 64),
    Case(64, 32, 64, 64),
    Case(16, 64, 16, 16),
    Case(16, 64, 48, 48),
    Case(64, 8, 128, 128),
    Case(16, 32, 128, 128),
    Case(16, 16, 256, 256),
    Case(32, 28, 16, 32, 4, "stride 2"),
    Case(64, 32, 32, 64, 4, "stride 2"),
    Case(64, 16, 64, 128, 4, "stride 2"),
    Case(64, 8, 128, 256, 4, "stride 2"),
    Case(64, 16, 32, 64, 1),
    Case(64, 8, 256, 256, 1),
    Case(32, 14, 32, 16, 3, "repeat"),
    Case(64, 16, 64, 32, 3, "repeat"),
    Case(64, 8, 128, 128, 3, "repeat"),
    Case(64, 16, 64, 64, 3, "up"),
    Case(64, 8, 256, 256, 3, "up"),
    Case(32, 28, 16, 32, 3, "down"),
    Case(64, 32, 64, 64, 3, "down"),
)
QUICK = tuple(CASES[i] for i in (0, 1, 12, 18, 21, 23))
