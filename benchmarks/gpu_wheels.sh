#!/bin/bash
# Downloads wheels for `benchmarks/gpu.sh` on a machine without a package index.
#
#   benchmarks/gpu_wheels.sh FOLDER [NAME...]
#
# NAME: packages, with a version if need be (grain==0.2.18); default: all that this library needs and JAX, Flax,
# optax, orbax and PyTorch do not bring. Their own requirements are not followed. For Linux on x86-64 and
# Python 3.12; TARGET=3.13 is for another.
set -euo pipefail
folder=${1:?names the folder for the wheels}
shift
target=${TARGET:-3.12}
[[ $# -gt 0 ]] || set -- absl-py array-record cloudpickle etils filelock flatbuffers gin-config grain joblib \
  narwhals packaging pillow protobuf pyarrow rich markdown-it-py mdurl pygments safetensors scikit-learn scipy \
  tensorboardX threadpoolctl
platforms=()
for name in manylinux_2_28 manylinux_2_27 manylinux_2_24 manylinux_2_17 manylinux2014 manylinux1; do
  platforms+=(--platform "${name}_x86_64")
done
${PYTHON:-python3} -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
  --implementation cp --python-version "$target" "${platforms[@]}" --dest "$folder" "$@"
ls -sh "$folder"
