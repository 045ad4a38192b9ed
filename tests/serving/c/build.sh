#!/usr/bin/env bash
# Compiles run_saved_model.c against the installed TensorFlow: `build.sh OUTPUT`.
# The CPU and the GPU wheel alike carry the C API's headers and libraries.
set -euo pipefail
python=${PYTHON:-python}
tensorflow=$("$python" -c 'import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("tensorflow").origin).parent)')
"${CC:-cc}" -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror \
  -I "$tensorflow/include" -o "$1" "$(dirname "$0")/run_saved_model.c" \
  -L "$tensorflow" -l:libtensorflow_cc.so.2 -l:libtensorflow_framework.so.2 \
  -Wl,-rpath,"$tensorflow"
