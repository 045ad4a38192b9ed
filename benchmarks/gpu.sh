#!/usr/bin/env bash
# Measures a GPU in less than ten minutes: the step, the sampler, the likelihood and the product of
# experts, for MNIST, CelebA-19 and six images, in float32, TF32 and bfloat16.
#
#   benchmarks/gpu.sh                                  # ours alone
#   benchmarks/gpu.sh --peer_python=PEER/bin/python    # and MultiVae in PyTorch, torch.compile too
#   benchmarks/gpu.sh --tiny --setups=mnist            # a rehearsal without a GPU
#
# It needs TensorFlow for CUDA (pip install "tf-mvae[cuda]"); benchmarks/README.md says more. The
# table is in benchmarks/results/gpu.md, or next to --output. The exit status is 77 without a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
export TF_CPP_MIN_LOG_LEVEL="${TF_CPP_MIN_LOG_LEVEL:-3}"
# Processes take turns; none keeps the whole memory of the GPU.
export TF_FORCE_GPU_ALLOW_GROWTH=true
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}"
exec timeout --kill-after=5 590 "${PYTHON:-python}" benchmarks/gpu.py "$@"
