// A GPU's memory and checks, for the test and the benchmark.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_MACHINE_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_MACHINE_H_

#include <cuda_runtime_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace tf_mvae {

constexpr int kNoGpu = 77;  // a program's status, which test runners take as "skipped"

inline void CheckCuda(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  std::exit(1);
}

// Ends the program with status 77 where there is no GPU, or no driver for one.
inline void NeedGpu() {
  int number = 0;
  const cudaError_t error = cudaGetDeviceCount(&number);
  if (error == cudaSuccess && number > 0) return;
  std::fprintf(stderr, "skipped, there is no GPU: %s\n",
               error == cudaSuccess ? "none found" : cudaGetErrorString(error));
  std::exit(kNoGpu);
}

template <typename T>
T* NewOnGpu(int64_t size) {
  void* memory = nullptr;
  if (size > 0) CheckCuda(cudaMalloc(&memory, size * sizeof(T)), "cudaMalloc");
  return static_cast<T*>(memory);
}

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_MACHINE_H_
