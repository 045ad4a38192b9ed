// The product's ops on the GPU: tensors are there already, so that an op is a launch on
// TensorFlow's own stream.

#include "cc/kernels/arguments.h"
#include "cc/lib/gaussian_product_gpu.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/device_base.h"
#include "tensorflow/core/platform/stream_executor.h"

namespace tf_mvae {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

cudaStream_t Stream(OpKernelContext* context) {
  return reinterpret_cast<cudaStream_t>(
      context->op_device_context()->stream()->platform_specific_handle().stream);
}

absl::Status Launched(cudaError_t error) {
  if (error == cudaSuccess) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("the product of experts did not start: ", cudaGetErrorString(error)));
}

template <typename T, typename M>
class GaussianProductGpuOp : public OpKernel {
 public:
  explicit GaussianProductGpuOp(OpKernelConstruction* construction) : OpKernel(construction) {}

  void Compute(OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    Product<T> product;
    OP_REQUIRES_OK(context, MakeProduct(context, shape, &product));
    OP_REQUIRES_OK(context, Launched(GaussianProductGpu(shape, ReadExperts<T, M>(context), product,
                                                        Stream(context))));
  }
};

template <typename T, typename M>
class GaussianProductSampleGpuOp : public OpKernel {
 public:
  explicit GaussianProductSampleGpuOp(OpKernelConstruction* construction)
      : OpKernel(construction) {}

  void Compute(OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    Samples<T> samples;
    OP_REQUIRES_OK(context, ReadSamples(context, shape, &samples.number));
    samples.noise = Input<T>(context, "noise");
    Product<T> product;
    OP_REQUIRES_OK(context, MakeProduct(context, shape, &product));
    OP_REQUIRES_OK(context, MakeOutput(context, "kl", {shape.terms, shape.batch}, &samples.kl));
    OP_REQUIRES_OK(context, MakeOutput(context, "z",
                                       {samples.number, shape.terms, shape.batch, shape.latent},
                                       &samples.z));
    OP_REQUIRES_OK(context, Launched(GaussianProductSampleGpu(shape, ReadExperts<T, M>(context),
                                                              product, samples, Stream(context))));
  }
};

// What both gradients have in common, once a product's gradient has been read.
template <typename T, typename M>
absl::Status LaunchGradient(OpKernelContext* context, const ProductShape& shape,
                            const ProductGradient<T>& by_product) {
  ExpertsGradient<T> by_experts;
  TF_RETURN_IF_ERROR(MakeExpertsGradient(context, shape, &by_experts));
  const Product<const T> product{Input<T>(context, "product_loc"),
                                 Input<T>(context, "product_log_variance")};
  return Launched(GaussianProductGradGpu(shape, ReadExperts<T, M>(context), product, by_product,
                                         by_experts, Stream(context)));
}

template <typename T, typename M>
class GaussianProductGradGpuOp : public OpKernel {
 public:
  explicit GaussianProductGradGpuOp(OpKernelConstruction* construction) : OpKernel(construction) {}

  void Compute(OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    OP_REQUIRES_OK(context,
                   CheckProducts(context, shape,
                                 {"product_loc", "product_log_variance", "by_product_loc",
                                  "by_product_log_variance"}));
    ProductGradient<T> by_product;
    by_product.loc = Input<T>(context, "by_product_loc");
    by_product.log_variance = Input<T>(context, "by_product_log_variance");
    OP_REQUIRES_OK(context, (LaunchGradient<T, M>(context, shape, by_product)));
  }
};

template <typename T, typename M>
class GaussianProductSampleGradGpuOp : public OpKernel {
 public:
  explicit GaussianProductSampleGradGpuOp(OpKernelConstruction* construction)
      : OpKernel(construction) {}

  void Compute(OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    OP_REQUIRES_OK(context,
                   CheckProducts(context, shape,
                                 {"product_loc", "product_log_variance", "by_product_loc",
                                  "by_product_log_variance"}));
    ProductGradient<T> by_product;
    OP_REQUIRES_OK(context, ReadSamples(context, shape, &by_product.samples));
    OP_REQUIRES_OK(context,
                   CheckShape(context, "by_z",
                              {by_product.samples, shape.terms, shape.batch, shape.latent}));
    OP_REQUIRES_OK(context, CheckShape(context, "by_kl", {shape.terms, shape.batch}));
    by_product.loc = Input<T>(context, "by_product_loc");
    by_product.log_variance = Input<T>(context, "by_product_log_variance");
    by_product.noise = Input<T>(context, "noise");
    by_product.z = Input<T>(context, "by_z");
    by_product.kl = Input<T>(context, "by_kl");
    OP_REQUIRES_OK(context, (LaunchGradient<T, M>(context, shape, by_product)));
  }
};

#define TF_MVAE_REGISTER_ONE(name, T, M)                      \
  REGISTER_KERNEL_BUILDER(Name("TfMvae>" #name)               \
                              .Device(tensorflow::DEVICE_GPU) \
                              .TypeConstraint<T>("T")         \
                              .TypeConstraint<M>("M"),        \
                          name##GpuOp<T, M>)
#define TF_MVAE_REGISTER(T, M)                       \
  TF_MVAE_REGISTER_ONE(GaussianProduct, T, M);       \
  TF_MVAE_REGISTER_ONE(GaussianProductGrad, T, M);   \
  TF_MVAE_REGISTER_ONE(GaussianProductSample, T, M); \
  TF_MVAE_REGISTER_ONE(GaussianProductSampleGrad, T, M)
TF_MVAE_REGISTER(float, bool);
TF_MVAE_REGISTER(float, float);
TF_MVAE_REGISTER(double, bool);
TF_MVAE_REGISTER(double, float);
#undef TF_MVAE_REGISTER
#undef TF_MVAE_REGISTER_ONE

}  // namespace
}  // namespace tf_mvae
