// What gaussian_product_isa.cc offers, once for each instruction set it is compiled for.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_ISA_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_ISA_H_

#include <cstdint>

#include "gaussian_product.h"

namespace tf_mvae {

// `scratch` is 64-byte aligned memory of ScratchBytes, which a call may use as it likes.
// `samples` may be null.
template <typename T, typename M>
struct Kernels {
  int64_t (*scratch_bytes)(const ProductShape& shape);
  void (*product)(const ProductShape& shape, const Experts<T, M>& experts,
                  const Product<T>& product, const Samples<T>* samples, int64_t begin,
                  int64_t end, char* scratch);
  void (*gradient)(const ProductShape& shape, const Experts<T, M>& experts,
                   const Product<const T>& product, const ProductGradient<T>& product_gradient,
                   const ExpertsGradient<T>& experts_gradient, int64_t begin, int64_t end,
                   char* scratch);
};

#define TF_MVAE_DECLARE_ISA(isa)       \
  namespace isa {                      \
  template <typename T, typename M>    \
  Kernels<T, M> GetKernels();          \
  }
TF_MVAE_DECLARE_ISA(baseline)
TF_MVAE_DECLARE_ISA(avx2)
TF_MVAE_DECLARE_ISA(avx512)
#undef TF_MVAE_DECLARE_ISA

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_ISA_H_
