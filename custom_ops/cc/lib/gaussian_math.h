// The formulas of one number, for the host and for the device.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_MATH_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_MATH_H_

#ifdef __CUDACC__
#define TF_MVAE_HOST_DEVICE __host__ __device__
#else
#define TF_MVAE_HOST_DEVICE
#endif

namespace tf_mvae {

// The largest absolute log-variance that is told apart: floor(0.45 log(largest number)), so
// that a precision, its square and its product with a mean of up to about the square root of
// the largest number are finite, and so is the sum of as many precisions as memory holds.
// `tf_mvae.ops.gaussian_product.log_variance_limit` is the same.
template <typename T>
struct LogVarianceLimit;
template <>
struct LogVarianceLimit<float> {
  static constexpr float value = 39.0f;
};
template <>
struct LogVarianceLimit<double> {
  static constexpr double value = 319.0;
};

// A log-variance within the limits; NaN stays NaN.
template <typename T>
TF_MVAE_HOST_DEVICE inline T Clipped(T log_variance) {
  const T limit = LogVarianceLimit<T>::value;
  return log_variance > limit ? limit : (log_variance < -limit ? -limit : log_variance);
}

// Whether a derivative passes the clipping.
template <typename T>
TF_MVAE_HOST_DEVICE inline bool WithinLimits(T log_variance) {
  const T limit = LogVarianceLimit<T>::value;
  return !(log_variance > limit || log_variance < -limit);
}

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_MATH_H_
