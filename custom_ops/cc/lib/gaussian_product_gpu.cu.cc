// The kernels around gaussian_product_gpu_block.h, and their launches.

#include "gaussian_product_gpu.h"

#include "gaussian_product_gpu_block.h"

namespace tf_mvae {
namespace {

// A block of this GPU's; the state lies in registers, since every index into it is known when
// it is compiled.
template <typename State>
struct Block {
  State state;

  template <typename Phase>
  __device__ __forceinline__ void Each(const Phase& phase) {
    phase(static_cast<int>(threadIdx.x), state);
    __syncthreads();
  }
};

// Registers for a thread: 80, so that a multiprocessor holds two blocks and one waits for memory
// while the other adds; 128 for the largest tiles, which do not fit in 80.
template <typename T, int kColumns>
constexpr int kBoundedThreads = kColumns * sizeof(T) < 64 ? kMaxThreads : 512;
template <typename T, int kColumns>
constexpr int kBoundedBlocks = kColumns * sizeof(T) < 64 ? 2 : 1;

template <typename T, int kColumns>
__global__ void __launch_bounds__(kBoundedThreads<T, kColumns>, kBoundedBlocks<T, kColumns>)
    ProductKernel(const __grid_constant__ gpu::ProductTask<T> task) {
  extern __shared__ __align__(16) char shared[];
  Block<gpu::ThreadState<T, kColumns>> block;
  gpu::ProductBlock<kColumns>(block, task, blockIdx.x, shared);
}

template <typename T, int kColumns>
__global__ void __launch_bounds__(kBoundedThreads<T, kColumns>, kBoundedBlocks<T, kColumns>)
    GradientKernel(const __grid_constant__ gpu::GradientTask<T> task) {
  extern __shared__ __align__(16) char shared[];
  Block<gpu::ThreadState<T, kColumns>> block;
  gpu::GradientBlock<kColumns>(block, task, blockIdx.x, shared);
}

template <int kColumns, typename T>
void Start(const gpu::ProductTask<T>& task, unsigned blocks, cudaStream_t stream) {
  ProductKernel<T, kColumns>
      <<<blocks, task.plan.threads(), task.plan.shared_bytes, stream>>>(task);
}

template <int kColumns, typename T>
void Start(const gpu::GradientTask<T>& task, unsigned blocks, cudaStream_t stream) {
  GradientKernel<T, kColumns>
      <<<blocks, task.plan.threads(), task.plan.shared_bytes, stream>>>(task);
}

template <typename T, template <typename> class Task>
cudaError_t Launch(const Task<T>& task, cudaStream_t stream) {
  const int64_t blocks = gpu::Blocks(task);
  if (blocks == 0) return cudaSuccess;
  if (blocks > 0x7fffffff) return cudaErrorInvalidConfiguration;
  gpu::WithColumns<T>(task.plan.columns, [&](auto columns) {
    Start<decltype(columns)::value>(task, static_cast<unsigned>(blocks), stream);
  });
  return cudaGetLastError();
}

}  // namespace

template <typename T, typename M>
cudaError_t GaussianProductGpu(const ProductShape& shape, const Experts<T, M>& experts,
                               const Product<T>& product, cudaStream_t stream) {
  const Samples<T> none = {0, nullptr, nullptr, nullptr};
  return Launch<T>(gpu::MakeProductTask(shape, experts, product, none), stream);
}

template <typename T, typename M>
cudaError_t GaussianProductSampleGpu(const ProductShape& shape, const Experts<T, M>& experts,
                                     const Product<T>& product, const Samples<T>& samples,
                                     cudaStream_t stream) {
  return Launch<T>(gpu::MakeProductTask(shape, experts, product, samples), stream);
}

template <typename T, typename M>
cudaError_t GaussianProductGradGpu(const ProductShape& shape, const Experts<T, M>& experts,
                                   const Product<const T>& product,
                                   const ProductGradient<T>& product_gradient,
                                   const ExpertsGradient<T>& experts_gradient,
                                   cudaStream_t stream) {
  return Launch<T>(
      gpu::MakeGradientTask(shape, experts, product, product_gradient, experts_gradient), stream);
}

#define TF_MVAE_INSTANTIATE(T, M)                                                               \
  template cudaError_t GaussianProductGpu(const ProductShape&, const Experts<T, M>&,            \
                                          const Product<T>&, cudaStream_t);                     \
  template cudaError_t GaussianProductSampleGpu(const ProductShape&, const Experts<T, M>&,      \
                                                const Product<T>&, const Samples<T>&,           \
                                                cudaStream_t);                                  \
  template cudaError_t GaussianProductGradGpu(const ProductShape&, const Experts<T, M>&,        \
                                              const Product<const T>&,                          \
                                              const ProductGradient<T>&,                        \
                                              const ExpertsGradient<T>&, cudaStream_t);
TF_MVAE_INSTANTIATE(float, bool)
TF_MVAE_INSTANTIATE(float, float)
TF_MVAE_INSTANTIATE(double, bool)
TF_MVAE_INSTANTIATE(double, float)
#undef TF_MVAE_INSTANTIATE

}  // namespace tf_mvae
