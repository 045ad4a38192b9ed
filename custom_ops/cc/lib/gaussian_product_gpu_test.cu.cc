// The product of experts on the GPU of this machine. Ends with status 77 where there is none.

#include "gaussian_product_gpu.h"
#include "gaussian_product_gpu_cases.h"
#include "gaussian_product_gpu_machine.h"

namespace tf_mvae {
namespace {

class Gpu {
 public:
  template <typename T>
  T* New(int64_t size) {
    return NewOnGpu<T>(size);
  }
  template <typename T>
  void Delete(T* memory) {
    CheckCuda(cudaFree(memory), "cudaFree");
  }
  template <typename T>
  void Put(const T* from, int64_t size, T* to) {
    CheckCuda(cudaMemcpy(to, from, size * sizeof(T), cudaMemcpyHostToDevice), "to the GPU");
  }
  template <typename T>
  void Get(const T* from, int64_t size, T* to) {
    CheckCuda(cudaMemcpy(to, from, size * sizeof(T), cudaMemcpyDeviceToHost), "from the GPU");
  }

  template <typename T, typename M>
  void Product(const ProductShape& shape, const Experts<T, M>& experts,
               const tf_mvae::Product<T>& product) {
    Wait(GaussianProductGpu(shape, experts, product, nullptr), "GaussianProductGpu");
  }
  template <typename T, typename M>
  void Sample(const ProductShape& shape, const Experts<T, M>& experts,
              const tf_mvae::Product<T>& product, const Samples<T>& samples) {
    Wait(GaussianProductSampleGpu(shape, experts, product, samples, nullptr),
         "GaussianProductSampleGpu");
  }
  template <typename T, typename M>
  void Gradient(const ProductShape& shape, const Experts<T, M>& experts,
                const tf_mvae::Product<const T>& product, const ProductGradient<T>& by_product,
                const ExpertsGradient<T>& by_experts) {
    Wait(GaussianProductGradGpu(shape, experts, product, by_product, by_experts, nullptr),
         "GaussianProductGradGpu");
  }

  void Vary() {}  // a GPU's blocks take another order by themselves

  // A launch that cannot be is told: more blocks than a grid may have.
  void Extra(cases::Report& report) {
    const ProductShape shape = {1, int64_t{1} << 40, 1, 128};
    const Experts<float, bool> experts = {nullptr, nullptr, nullptr};
    report.Check(GaussianProductGpu(shape, experts, tf_mvae::Product<float>{nullptr, nullptr},
                                    nullptr) == cudaErrorInvalidConfiguration,
                 "a grid that is too large is not refused");
  }

 private:
  void Wait(cudaError_t launched, const char* what) {
    CheckCuda(launched, what);
    CheckCuda(cudaDeviceSynchronize(), what);
  }
};

}  // namespace
}  // namespace tf_mvae

int main() {
  tf_mvae::NeedGpu();
  tf_mvae::Gpu machine;
  return tf_mvae::cases::RunAll(machine);
}
