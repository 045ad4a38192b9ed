// Reading and checking the tensors of the product's ops, for any device.

#ifndef TF_MVAE_CUSTOM_OPS_CC_KERNELS_ARGUMENTS_H_
#define TF_MVAE_CUSTOM_OPS_CC_KERNELS_ARGUMENTS_H_

#include <initializer_list>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "cc/lib/gaussian_product.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/tensor_shape.h"

namespace tf_mvae {

// Checks that an input has the shape that the others make it have.
inline absl::Status CheckShape(tensorflow::OpKernelContext* context, const char* name,
                               std::initializer_list<int64_t> wanted) {
  const tensorflow::TensorShape shape(wanted);
  const tensorflow::Tensor* input;
  TF_RETURN_IF_ERROR(context->input(name, &input));
  if (input->shape() != shape) {
    return absl::InvalidArgumentError(absl::StrCat(name, " must have shape ", shape.DebugString(),
                                                   ", not ", input->shape().DebugString()));
  }
  return absl::OkStatus();
}

// Reads the sizes off loc and mask, and checks log_variance against them.
inline absl::Status ReadShape(tensorflow::OpKernelContext* context, ProductShape* shape) {
  const tensorflow::Tensor *loc, *mask;
  TF_RETURN_IF_ERROR(context->input("loc", &loc));
  TF_RETURN_IF_ERROR(context->input("mask", &mask));
  if (loc->dims() != 3) {
    return absl::InvalidArgumentError(absl::StrCat(
        "loc must be [batch, experts, latent]; it has shape ", loc->shape().DebugString()));
  }
  if (mask->dims() != 3 || mask->dim_size(1) != loc->dim_size(0) ||
      mask->dim_size(2) != loc->dim_size(1)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "mask must be [terms, batch, experts] with the batch and experts of loc, which has shape ",
        loc->shape().DebugString(), "; it has shape ", mask->shape().DebugString()));
  }
  *shape = {mask->dim_size(0), loc->dim_size(0), loc->dim_size(1), loc->dim_size(2)};
  return CheckShape(context, "log_variance", {shape->batch, shape->experts, shape->latent});
}

// Checks inputs that are as large as the products.
inline absl::Status CheckProducts(tensorflow::OpKernelContext* context, const ProductShape& shape,
                                  std::initializer_list<const char*> names) {
  for (const char* name : names) {
    TF_RETURN_IF_ERROR(CheckShape(context, name, {shape.terms, shape.batch, shape.latent}));
  }
  return absl::OkStatus();
}

// Reads how many samples `noise` is for, and checks it.
inline absl::Status ReadSamples(tensorflow::OpKernelContext* context, const ProductShape& shape,
                                int64_t* samples) {
  const tensorflow::Tensor* noise;
  TF_RETURN_IF_ERROR(context->input("noise", &noise));
  *samples = noise->dims() == 4 ? noise->dim_size(0) : 0;
  return CheckShape(context, "noise", {*samples, shape.terms, shape.batch, shape.latent});
}

template <typename T>
const T* Input(tensorflow::OpKernelContext* context, const char* name) {
  const tensorflow::Tensor* input;
  TF_CHECK_OK(context->input(name, &input));
  return input->flat<T>().data();
}

template <typename T, typename M>
Experts<T, M> ReadExperts(tensorflow::OpKernelContext* context) {
  return {Input<T>(context, "loc"), Input<T>(context, "log_variance"), Input<M>(context, "mask")};
}

template <typename T>
absl::Status MakeOutput(tensorflow::OpKernelContext* context, const char* name,
                        std::initializer_list<int64_t> shape, T** data) {
  tensorflow::Tensor* output;
  TF_RETURN_IF_ERROR(
      context->allocate_output(name, tensorflow::TensorShape(shape), &output));
  *data = output->flat<T>().data();
  return absl::OkStatus();
}

template <typename T>
absl::Status MakeProduct(tensorflow::OpKernelContext* context, const ProductShape& shape,
                         Product<T>* product) {
  TF_RETURN_IF_ERROR(MakeOutput(context, "product_loc", {shape.terms, shape.batch, shape.latent},
                                &product->loc));
  return MakeOutput(context, "product_log_variance", {shape.terms, shape.batch, shape.latent},
                    &product->log_variance);
}

template <typename T>
absl::Status MakeExpertsGradient(tensorflow::OpKernelContext* context, const ProductShape& shape,
                                 ExpertsGradient<T>* gradient) {
  TF_RETURN_IF_ERROR(MakeOutput(context, "by_loc", {shape.batch, shape.experts, shape.latent},
                                &gradient->loc));
  return MakeOutput(context, "by_log_variance", {shape.batch, shape.experts, shape.latent},
                    &gradient->log_variance);
}

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_KERNELS_ARGUMENTS_H_
