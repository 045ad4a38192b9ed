// The product's ops on the CPU: examples are shared among TensorFlow's own threads.

#include "cc/kernels/arguments.h"
#include "cc/lib/gaussian_product.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mvae {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;

template <typename Work>
void ForExamples(OpKernelContext* context, const ProductShape& shape, const Work& work) {
  const auto& threads = *context->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(threads.num_threads, threads.workers, shape.batch, CyclesPerExample(shape),
                    work);
}

template <typename T, typename M>
class GaussianProductOp : public OpKernel {
 public:
  explicit GaussianProductOp(OpKernelConstruction* construction) : OpKernel(construction) {}

  void Compute(OpKernelContext* context) override {
    ProductShape shape;
    OP_REQUIRES_OK(context, ReadShape(context, &shape));
    Product<T> product;
    OP_REQUIRES_OK(context, MakeProduct(context, shape, &product));
    const auto experts = ReadExperts<T, M>(context);
    ForExamples(context, shape, [&](int64_t begin, int64_t end) {
      GaussianProduct(shape, experts, product, begin, end);
    });
  }
};

template <typename T, typename M>
class GaussianProductSampleOp : public OpKernel {
 public:
  explicit GaussianProductSampleOp(OpKernelConstruction* construction) : OpKernel(construction) {}

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
    const auto experts = ReadExperts<T, M>(context);
    ForExamples(context, shape, [&](int64_t begin, int64_t end) {
      GaussianProductSample(shape, experts, product, samples, begin, end);
    });
  }
};

// What both gradients have in common, once a product's gradient has been read.
template <typename T, typename M>
void ComputeGradient(OpKernelContext* context, const ProductShape& shape,
                     const ProductGradient<T>& by_product) {
  ExpertsGradient<T> by_experts;
  OP_REQUIRES_OK(context, MakeExpertsGradient(context, shape, &by_experts));
  const auto experts = ReadExperts<T, M>(context);
  const Product<const T> product{Input<T>(context, "product_loc"),
                                 Input<T>(context, "product_log_variance")};
  ForExamples(context, shape, [&](int64_t begin, int64_t end) {
    GaussianProductGrad(shape, experts, product, by_product, by_experts, begin, end);
  });
}

template <typename T, typename M>
class GaussianProductGradOp : public OpKernel {
 public:
  explicit GaussianProductGradOp(OpKernelConstruction* construction) : OpKernel(construction) {}

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
    ComputeGradient<T, M>(context, shape, by_product);
  }
};

template <typename T, typename M>
class GaussianProductSampleGradOp : public OpKernel {
 public:
  explicit GaussianProductSampleGradOp(OpKernelConstruction* construction)
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
    ComputeGradient<T, M>(context, shape, by_product);
  }
};

#define TF_MVAE_REGISTER_ONE(name, T, M)                                          \
  REGISTER_KERNEL_BUILDER(Name("TfMvae>" #name)                                   \
                              .Device(tensorflow::DEVICE_CPU)                     \
                              .TypeConstraint<T>("T")                             \
                              .TypeConstraint<M>("M"),                            \
                          name##Op<T, M>)
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
