"""Compiles the kernels once for each set of instructions; what the compiler does not know is left out."""

import copy
import platform
from pathlib import Path

import jax
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

LEVELS = {"generic": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    wide = ["-march=x86-64-v4", "-mprefer-vector-width=512"]
    bf16 = [*wide, "-mavx512bf16"]
    LEVELS |= {"v3": ["-march=x86-64-v3"], "v4": wide, "v4_bf16": bf16}
    LEVELS |= {"v4_amx": [*bf16, "-mamx-tile", "-mamx-bf16"]}


class BuildLevels(build_ext):
    """Builds levels in parallel; each has a folder of its own for the object file of the one source."""

    def build_extension(self, ext):
        own = copy.copy(self)
        own.build_temp = str(Path(self.build_temp) / ext.name)
        super(BuildLevels, own).build_extension(ext)


setup(
    cmdclass={"build_ext": BuildLevels},
    ext_modules=[
        Extension(
            f"compare_gan_cpu.{level}",
            ["compare_gan_cpu/convolution.cc"],
            depends=[str(path) for path in Path("compare_gan_cpu").glob("*.h")],
            include_dirs=[jax.ffi.include_dir()],
            extra_compile_args=["-std=c++20", "-O3", "-g0", "-DNDEBUG", "-fvisibility=hidden", "-w", *flags],
            optional=level != "generic",
        )
        for level, flags in LEVELS.items()
    ],
)
