// The product of a standard normal prior and masked diagonal Gaussian experts, for many
// subsets of the experts at once (Wu and Goodman, NeurIPS 2018, section 2.1), on the CPU.
//
// For term t, example b and one latent, with precisions T_i = exp(-log_variance_i) and the
// sum over the experts i that mask[t, b, i] leaves in,
//
//   product_log_variance = -log(1 + sum_i T_i)
//   product_loc          = (sum_i T_i loc_i) / (1 + sum_i T_i)
//
// Log-variances beyond LogVarianceLimit count as being at the limit, so that no precision, no
// square of one and no sum of them overflows. What stands in an expert that a term does not
// contain has no influence on the term, whatever it is, NaN too.
//
// Arrays are dense, the last axis fastest: loc and log_variance of the experts
// [batch, experts, latent]; mask [terms, batch, experts]; products [terms, batch, latent];
// noise and samples [samples, terms, batch, latent]; kl [terms, batch].
//
// Every function does the examples from `begin` to `end` alone and touches no other example's
// results, so that a caller shares a batch among threads as it likes; an example's results
// are the same to the bit however that is done. T is float or double; M, the mask's type, is
// bool or float, and an expert is in where it is above 0.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_H_

#include <cstdint>

namespace tf_mvae {

struct ProductShape {
  int64_t terms;
  int64_t batch;
  int64_t experts;
  int64_t latent;
};

// The experts, as all functions take them.
template <typename T, typename M>
struct Experts {
  const T* loc;
  const T* log_variance;
  const M* mask;
};

// The product of every term.
template <typename T>
struct Product {
  T* loc;
  T* log_variance;
};

// Samples z = product_loc + exp(product_log_variance / 2) * noise, and the divergences
// KL(product || N(0, I)), summed over the latent.
template <typename T>
struct Samples {
  int64_t number;  // 0: only the divergences
  const T* noise;
  T* z;
  T* kl;
};

// A function's derivatives by what `GaussianProduct` or `GaussianProductSample` returned.
// `z` and `kl` (with `noise`) are null where the product was not sampled.
template <typename T>
struct ProductGradient {
  const T* loc;
  const T* log_variance;
  int64_t samples = 0;
  const T* noise = nullptr;
  const T* z = nullptr;
  const T* kl = nullptr;
};

// The same function's derivatives by the experts.
template <typename T>
struct ExpertsGradient {
  T* loc;
  T* log_variance;
};

template <typename T, typename M>
void GaussianProduct(const ProductShape& shape, const Experts<T, M>& experts,
                     const Product<T>& product, int64_t begin, int64_t end);

template <typename T, typename M>
void GaussianProductSample(const ProductShape& shape, const Experts<T, M>& experts,
                           const Product<T>& product, const Samples<T>& samples,
                           int64_t begin, int64_t end);

// The vector-Jacobian product of both functions. `product` is what they returned.
template <typename T, typename M>
void GaussianProductGrad(const ProductShape& shape, const Experts<T, M>& experts,
                         const Product<const T>& product,
                         const ProductGradient<T>& product_gradient,
                         const ExpertsGradient<T>& experts_gradient, int64_t begin,
                         int64_t end);

// About how many cycles an example takes, for a thread pool that wants to know.
int64_t CyclesPerExample(const ProductShape& shape);

// Which instructions are used: "avx512", "avx2" or "baseline". They are the best that both
// the processor and TF_MVAE_ISA, an environment variable with one of these names, allow.
const char* InstructionSet();

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_H_
