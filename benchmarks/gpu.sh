#!/bin/bash
# Measurements on a machine with one GPU, within 9 minutes: see benchmarks/README.md.
#
#   OUT=results CIFAR10=cifar10/ STUDIOGAN=PyTorch-StudioGAN/ WHEELS=wheels/ benchmarks/gpu.sh
#   OUT=results benchmarks/gpu.sh --smoke       on a CPU, with shrunken networks, in 2 minutes
#
#   OUT        folder for the results; the same folder goes on where a run ended
#   WORK       folder for logs, compiled programs and the study; default: OUT.work
#   WHEELS     folder of benchmarks/gpu_wheels.sh; what this Python lacks is installed from it into WORK
#   CIFAR10    CIFAR-10 as a Hugging Face parquet folder or an .npz; without it, all time is for speed
#   STUDIOGAN  a checkout of PyTorch-StudioGAN
#   PYTHON     default: python3
#   LIMIT      seconds that all this may take; default: 540, or 120 with --smoke
set -euo pipefail
python=${PYTHON:-python3} limit=${LIMIT:-540}
[[ -z ${LIMIT:-} && " $* " == *" --smoke "* ]] && limit=120
absolute() { "$python" -c 'import os, sys; print(os.path.abspath(sys.argv[1]))' "$1"; }
out=$(absolute "${OUT:?names the folder for the results}")
work=$(absolute "${WORK:-$out.work}")
options=(--out "$out" --work "$work")
[[ -n ${CIFAR10:-} ]] && options+=(--cifar10 "$(absolute "$CIFAR10")")
[[ -n ${STUDIOGAN:-} ]] && options+=(--studiogan "$(absolute "$STUDIOGAN")")
wheels=${WHEELS:+$(absolute "$WHEELS")}
mkdir -p "$out" "$work"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PYTHONPATH="$work/site:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
if [[ -n $wheels ]]; then
  missing=$("$python" benchmarks/missing.py "$wheels")
  # shellcheck disable=SC2086  # names, one word each
  [[ -n $missing ]] && "$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --no-compile \
    --find-links "$wheels" --target "$work/site" $missing
fi
left=$((limit - SECONDS))
exec timeout --kill-after=3 $((left - 4)) "$python" -m benchmarks.gpu "${options[@]}" --seconds $((left - 6)) "$@"
