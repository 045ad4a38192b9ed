// What the library tells of itself to the Python loader.

#include "cc/lib/gaussian_product.h"

extern "C" {

// Whether there are kernels for the GPU too.
__attribute__((visibility("default"))) int tf_mvae_has_gpu_kernels() {
#ifdef GOOGLE_CUDA
  return 1;
#else
  return 0;
#endif
}

// The instructions that the CPU's kernels use on this processor.
__attribute__((visibility("default"))) const char* tf_mvae_instruction_set() { return tf_mvae::InstructionSet(); }
}
