// Chooses the instructions once, when first asked, and hands them memory to work in.

#include "gaussian_product.h"

#include <cstdlib>
#include <cstring>
#include <memory>

#include "gaussian_product_isa.h"

namespace tf_mvae {
namespace {

enum class Isa { kBaseline, kAvx2, kAvx512 };

Isa BestIsa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  const char* wish = std::getenv("TF_MVAE_ISA");
  const bool any = wish == nullptr || *wish == '\0' || std::strcmp(wish, "avx512") == 0;
  if (any && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
    return Isa::kAvx512;
  }
  if ((any || std::strcmp(wish, "avx2") == 0) && __builtin_cpu_supports("avx2") &&
      __builtin_cpu_supports("fma")) {
    return Isa::kAvx2;
  }
#endif
  return Isa::kBaseline;
}

Isa ChosenIsa() {
  static const Isa isa = BestIsa();
  return isa;
}

template <typename T, typename M>
const Kernels<T, M>& ChosenKernels() {
  static const Kernels<T, M> kernels = [] {
#if defined(__x86_64__)
    if (ChosenIsa() == Isa::kAvx512) return avx512::GetKernels<T, M>();
    if (ChosenIsa() == Isa::kAvx2) return avx2::GetKernels<T, M>();
#endif
    return baseline::GetKernels<T, M>();
  }();
  return kernels;
}

struct Free {
  void operator()(char* memory) const { std::free(memory); }
};

std::unique_ptr<char, Free> Scratch(int64_t bytes) {
  const std::size_t whole = (static_cast<std::size_t>(bytes) + 63) / 64 * 64;
  char* memory = static_cast<char*>(std::aligned_alloc(64, whole));
  if (memory == nullptr) std::abort();  // as TensorFlow does where memory is out
  return std::unique_ptr<char, Free>(memory);
}

bool Nothing(const ProductShape& shape, int64_t begin, int64_t end) {
  return begin >= end || shape.latent == 0;
}

}  // namespace

template <typename T, typename M>
void GaussianProduct(const ProductShape& shape, const Experts<T, M>& experts,
                     const Product<T>& product, int64_t begin, int64_t end) {
  if (Nothing(shape, begin, end) || shape.terms == 0) return;
  const Kernels<T, M>& kernels = ChosenKernels<T, M>();
  const auto scratch = Scratch(kernels.scratch_bytes(shape));
  kernels.product(shape, experts, product, nullptr, begin, end, scratch.get());
}

template <typename T, typename M>
void GaussianProductSample(const ProductShape& shape, const Experts<T, M>& experts,
                           const Product<T>& product, const Samples<T>& samples,
                           int64_t begin, int64_t end) {
  if (begin >= end || shape.terms == 0) return;  // without a latent a divergence is 0
  const Kernels<T, M>& kernels = ChosenKernels<T, M>();
  const auto scratch = Scratch(kernels.scratch_bytes(shape));
  kernels.product(shape, experts, product, &samples, begin, end, scratch.get());
}

template <typename T, typename M>
void GaussianProductGrad(const ProductShape& shape, const Experts<T, M>& experts,
                         const Product<const T>& product,
                         const ProductGradient<T>& product_gradient,
                         const ExpertsGradient<T>& experts_gradient, int64_t begin,
                         int64_t end) {
  if (Nothing(shape, begin, end) || shape.experts == 0) return;
  const Kernels<T, M>& kernels = ChosenKernels<T, M>();
  const auto scratch = Scratch(kernels.scratch_bytes(shape));
  kernels.gradient(shape, experts, product, product_gradient, experts_gradient, begin, end,
                   scratch.get());
}

int64_t CyclesPerExample(const ProductShape& shape) {
  // Reading and exponentiating an expert takes about two cycles a number, adding it to a term
  // about a quarter, and finishing a term about four.
  return 100 + shape.latent * (2 * shape.experts + shape.terms * shape.experts / 4 +
                               4 * shape.terms);
}

const char* InstructionSet() {
  switch (ChosenIsa()) {
    case Isa::kAvx512:
      return "avx512";
    case Isa::kAvx2:
      return "avx2";
    default:
      return "baseline";
  }
}

#define TF_MVAE_INSTANTIATE(T, M)                                                              \
  template void GaussianProduct(const ProductShape&, const Experts<T, M>&, const Product<T>&,  \
                                int64_t, int64_t);                                             \
  template void GaussianProductSample(const ProductShape&, const Experts<T, M>&,               \
                                      const Product<T>&, const Samples<T>&, int64_t, int64_t); \
  template void GaussianProductGrad(const ProductShape&, const Experts<T, M>&,                 \
                                    const Product<const T>&, const ProductGradient<T>&,        \
                                    const ExpertsGradient<T>&, int64_t, int64_t);
TF_MVAE_INSTANTIATE(float, bool)
TF_MVAE_INSTANTIATE(float, float)
TF_MVAE_INSTANTIATE(double, bool)
TF_MVAE_INSTANTIATE(double, float)
#undef TF_MVAE_INSTANTIATE

}  // namespace tf_mvae
