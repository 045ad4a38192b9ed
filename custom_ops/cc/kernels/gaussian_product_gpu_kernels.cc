// The product's ops on the GPU: tensors are there already, so that an op is a launch on
// TensorFlow's own stream.

#include "cc/kernels/op_kernels.h"
#include "cc/lib/gaussian_product_gpu.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/platform/stream_executor.h"

namespace tf_mvae {
namespace {

struct Gpu {
  template <typename T, typename M>
  static absl::Status Product(tensorflow::OpKernelContext* context, const ProductShape& shape,
                              const Experts<T, M>& experts, const tf_mvae::Product<T>& product) {
    return Launched(GaussianProductGpu(shape, experts, product, Stream(context)));
  }

  template <typename T, typename M>
  static absl::Status Sample(tensorflow::OpKernelContext* context, const ProductShape& shape,
                             const Experts<T, M>& experts, const tf_mvae::Product<T>& product,
                             const Samples<T>& samples) {
    return Launched(GaussianProductSampleGpu(shape, experts, product, samples, Stream(context)));
  }

  template <typename T, typename M>
  static absl::Status Gradient(tensorflow::OpKernelContext* context, const ProductShape& shape,
                               const Experts<T, M>& experts,
                               const tf_mvae::Product<const T>& product,
                               const ProductGradient<T>& by_product,
                               const ExpertsGradient<T>& by_experts) {
    return Launched(GaussianProductGradGpu(shape, experts, product, by_product, by_experts,
                                           Stream(context)));
  }

 private:
  static cudaStream_t Stream(tensorflow::OpKernelContext* context) {
    return reinterpret_cast<cudaStream_t>(
        context->op_device_context()->stream()->platform_specific_handle().stream);
  }

  static absl::Status Launched(cudaError_t error) {
    if (error == cudaSuccess) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("the product of experts did not start: ", cudaGetErrorString(error)));
  }
};

TF_MVAE_REGISTER_KERNELS(Gpu, tensorflow::DEVICE_GPU);

}  // namespace
}  // namespace tf_mvae
