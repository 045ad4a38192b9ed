// The product of Gaussian experts on a GPU: what gaussian_product.h says of arrays, masks and
// clipping holds here too, with pointers to device memory and for the whole batch at once.
//
// Every function puts its work on `stream`, does not wait for it, and returns what the launch
// returned. A result is the same to the bit whenever it is computed: no atomics are used, and
// each sum has one order. Where there is nothing to write, nothing is launched.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_H_

#include <cuda_runtime_api.h>

#include "gaussian_product.h"

namespace tf_mvae {

template <typename T, typename M>
cudaError_t GaussianProductGpu(const ProductShape& shape, const Experts<T, M>& experts,
                               const Product<T>& product, cudaStream_t stream);

template <typename T, typename M>
cudaError_t GaussianProductSampleGpu(const ProductShape& shape, const Experts<T, M>& experts,
                                     const Product<T>& product, const Samples<T>& samples,
                                     cudaStream_t stream);

template <typename T, typename M>
cudaError_t GaussianProductGradGpu(const ProductShape& shape, const Experts<T, M>& experts,
                                   const Product<const T>& product,
                                   const ProductGradient<T>& product_gradient,
                                   const ExpertsGradient<T>& experts_gradient,
                                   cudaStream_t stream);

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_H_
