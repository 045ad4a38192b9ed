// The product's ops as TensorFlow kernels, for any device. A Device does the work, with memory
// that is checked and there:
//
//   static absl::Status Product(OpKernelContext*, ProductShape, Experts<T, M>, Product<T>);
//   static absl::Status Sample(OpKernelContext*, ProductShape, Experts<T, M>, Product<T>,
//                              Samples<T>);
//   static absl::Status Gradient(OpKernelContext*, ProductShape, Experts<T, M>,
//                                Product<const T>, ProductGradient<T>, ExpertsGradient<T>);
//
// (references to constants each, T and M free), and its file ends in
// TF_MVAE_REGISTER_KERNELS(Device, tensorflow::DEVICE_...).

#ifndef TF_MVAE_CUSTOM_OPS_CC_KERNELS_OP_KERNELS_H_
#define TF_MVAE_CUSTOM_OPS_CC_KERNELS_OP_KERNELS_H_

#include "cc/kernels/arguments.h"
#include "cc/lib/gaussian_product.h"
#include "tensorflow/core/framework/op_kernel.h"

namespace tf_mvae {

template <typename Device, typename T, typename M>
class GaussianProductOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    Product<T> product;
    OP_REQUIRES_OK(context, MakeProduct(context, shape, &product));
    const Experts<T, M> experts = ReadExperts<T, M>(context);
    OP_REQUIRES_OK(context, Device::Product(context, shape, experts, product));
  }
};

template <typename Device, typename T, typename M>
class GaussianProductSampleOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
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
    const Experts<T, M> experts = ReadExperts<T, M>(context);
    OP_REQUIRES_OK(context, Device::Sample(context, shape, experts, product, samples));
  }
};

// The gradient of either op: that of the sampled one has more to read.
template <typename Device, typename T, typename M, bool sampled>
class GradientOp : public tensorflow::OpKernel {
 public:
  using OpKernel::OpKernel;

  void Compute(tensorflow::OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    OP_REQUIRES_OK(context,
                   CheckProducts(context, shape,
                                 {"product_loc", "product_log_variance", "by_product_loc",
                                  "by_product_log_variance"}));
    ProductGradient<T> by_product;
    by_product.loc = Input<T>(context, "by_product_loc");
    by_product.log_variance = Input<T>(context, "by_product_log_variance");
    if (sampled) OP_REQUIRES_OK(context, ReadSampled(context, shape, &by_product));
    ExpertsGradient<T> by_experts;
    OP_REQUIRES_OK(context, MakeExpertsGradient(context, shape, &by_experts));
    const Experts<T, M> experts = ReadExperts<T, M>(context);
    const Product<const T> product{Input<T>(context, "product_loc"),
                                   Input<T>(context, "product_log_variance")};
    OP_REQUIRES_OK(context,
                   Device::Gradient(context, shape, experts, product, by_product, by_experts));
  }

 private:
  static absl::Status ReadSampled(tensorflow::OpKernelContext* context, const ProductShape& shape,
                                  ProductGradient<T>* by_product) {
    TF_RETURN_IF_ERROR(ReadSamples(context, shape, &by_product->samples));
    TF_RETURN_IF_ERROR(CheckShape(
        context, "by_z", {by_product->samples, shape.terms, shape.batch, shape.latent}));
    TF_RETURN_IF_ERROR(CheckShape(context, "by_kl", {shape.terms, shape.batch}));
    by_product->noise = Input<T>(context, "noise");
    by_product->z = Input<T>(context, "by_z");
    by_product->kl = Input<T>(context, "by_kl");
    return absl::OkStatus();
  }
};

template <typename Device, typename T, typename M>
using GaussianProductGradOp = GradientOp<Device, T, M, false>;
template <typename Device, typename T, typename M>
using GaussianProductSampleGradOp = GradientOp<Device, T, M, true>;

#define TF_MVAE_REGISTER_ONE(name, Work, device_name, T, M) \
  REGISTER_KERNEL_BUILDER(Name("TfMvae>" #name) \
                              .Device(device_name) \
                              .TypeConstraint<T>("T") \
                              .TypeConstraint<M>("M"), \
                          name##Op<Work, T, M>)
#define TF_MVAE_REGISTER_TYPES(Work, device_name, T, M) \
  TF_MVAE_REGISTER_ONE(GaussianProduct, Work, device_name, T, M); \
  TF_MVAE_REGISTER_ONE(GaussianProductGrad, Work, device_name, T, M); \
  TF_MVAE_REGISTER_ONE(GaussianProductSample, Work, device_name, T, M); \
  TF_MVAE_REGISTER_ONE(GaussianProductSampleGrad, Work, device_name, T, M)
#define TF_MVAE_REGISTER_KERNELS(Work, device_name) \
  TF_MVAE_REGISTER_TYPES(Work, device_name, float, bool); \
  TF_MVAE_REGISTER_TYPES(Work, device_name, float, float); \
  TF_MVAE_REGISTER_TYPES(Work, device_name, double, bool); \
  TF_MVAE_REGISTER_TYPES(Work, device_name, double, float)

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_KERNELS_OP_KERNELS_H_
