#!/bin/sh
# Check lecdsr on a GPU in at most seven minutes, without a network: `sh benchmarks/gpu.sh [NUMBER ...]`. Every check prints PASS, FAIL
# or SKIP with a figure; a failure does not stop the others. The summary is also written to $OUT/gpu.txt if OUT is set.
# PYTHON chooses the interpreter. GPU_CHECK_DEVICE=cpu tries the script itself, at small sizes, where there is no GPU.
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
exec timeout 420 "${PYTHON:-python3}" -m benchmarks.gpu "$@"
