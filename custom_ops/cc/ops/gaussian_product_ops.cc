// The ops of the product of experts and what is known of their shapes.

#include <initializer_list>

#include "tensorflow/core/framework/common_shape_fns.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Merges inputs that have one shape, from `first` on.
absl::Status MergeInputs(InferenceContext* context, int first, int number, ShapeHandle* shape) {
  for (int input = first; input < first + number; ++input) {
    TF_RETURN_IF_ERROR(context->Merge(*shape, context->input(input), shape));
  }
  return absl::OkStatus();
}

// The shapes of an op whose inputs begin with loc, log_variance and mask.
struct Shapes {
  ShapeHandle experts;  // [batch, experts, latent]
  ShapeHandle product;  // [terms, batch, latent]
  ShapeHandle rows;     // [terms, batch]
};

absl::Status ReadShapes(InferenceContext* context, Shapes* shapes) {
  ShapeHandle experts, mask;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &experts));
  TF_RETURN_IF_ERROR(MergeInputs(context, 1, 1, &experts));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 3, &mask));
  DimensionHandle batch, number;
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(mask, 1), context->Dim(experts, 0), &batch));
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(mask, 2), context->Dim(experts, 1), &number));
  const DimensionHandle terms = context->Dim(mask, 0), latent = context->Dim(experts, 2);
  shapes->experts = context->MakeShape({batch, number, latent});
  shapes->product = context->MakeShape({terms, batch, latent});
  shapes->rows = context->MakeShape({terms, batch});
  return absl::OkStatus();
}

// What is known of the products' shape is known of the others.
absl::Status Refine(InferenceContext* context, Shapes* shapes) {
  const DimensionHandle terms = context->Dim(shapes->product, 0);
  const DimensionHandle batch = context->Dim(shapes->product, 1);
  const DimensionHandle latent = context->Dim(shapes->product, 2);
  const DimensionHandle number = context->Dim(shapes->experts, 1);
  TF_RETURN_IF_ERROR(context->Merge(shapes->rows, context->MakeShape({terms, batch}),
                                    &shapes->rows));
  return context->Merge(shapes->experts, context->MakeShape({batch, number, latent}),
                        &shapes->experts);
}

// Merges an input [samples, terms, batch, latent] with `samples`, and both with the product.
absl::Status MergeSamples(InferenceContext* context, int input, ShapeHandle* samples,
                          Shapes* shapes) {
  ShapeHandle given, product;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(input), 4, &given));
  TF_RETURN_IF_ERROR(context->Merge(*samples, given, samples));
  TF_RETURN_IF_ERROR(context->Subshape(*samples, 1, &product));
  TF_RETURN_IF_ERROR(context->Merge(shapes->product, product, &shapes->product));
  return context->Concatenate(context->Vector(context->Dim(*samples, 0)), shapes->product,
                              samples);
}

absl::Status ProductShapes(InferenceContext* context) {
  Shapes shapes;
  TF_RETURN_IF_ERROR(ReadShapes(context, &shapes));
  context->set_output(0, shapes.product);
  context->set_output(1, shapes.product);
  return absl::OkStatus();
}

absl::Status SampleShapes(InferenceContext* context) {
  Shapes shapes;
  ShapeHandle samples = context->UnknownShapeOfRank(4);
  TF_RETURN_IF_ERROR(ReadShapes(context, &shapes));
  TF_RETURN_IF_ERROR(MergeSamples(context, 3, &samples, &shapes));
  TF_RETURN_IF_ERROR(Refine(context, &shapes));
  context->set_output(0, samples);
  context->set_output(1, shapes.rows);
  context->set_output(2, shapes.product);
  context->set_output(3, shapes.product);
  return absl::OkStatus();
}

absl::Status GradShapes(InferenceContext* context) {
  Shapes shapes;
  TF_RETURN_IF_ERROR(ReadShapes(context, &shapes));
  TF_RETURN_IF_ERROR(MergeInputs(context, 3, 4, &shapes.product));
  TF_RETURN_IF_ERROR(Refine(context, &shapes));
  context->set_output(0, shapes.experts);
  context->set_output(1, shapes.experts);
  return absl::OkStatus();
}

absl::Status SampleGradShapes(InferenceContext* context) {
  Shapes shapes;
  ShapeHandle samples = context->UnknownShapeOfRank(4);
  TF_RETURN_IF_ERROR(ReadShapes(context, &shapes));
  TF_RETURN_IF_ERROR(MergeInputs(context, 4, 2, &shapes.product));
  TF_RETURN_IF_ERROR(MergeInputs(context, 8, 2, &shapes.product));
  TF_RETURN_IF_ERROR(MergeInputs(context, 7, 1, &shapes.rows));
  TF_RETURN_IF_ERROR(MergeSamples(context, 3, &samples, &shapes));
  TF_RETURN_IF_ERROR(MergeSamples(context, 6, &samples, &shapes));
  TF_RETURN_IF_ERROR(Refine(context, &shapes));
  context->set_output(0, shapes.experts);
  context->set_output(1, shapes.experts);
  return absl::OkStatus();
}

}  // namespace

REGISTER_OP("TfMvae>GaussianProduct")
    .Input("loc: T")
    .Input("log_variance: T")
    .Input("mask: M")
    .Output("product_loc: T")
    .Output("product_log_variance: T")
    .Attr("T: {float, double}")
    .Attr("M: {bool, float}")
    .SetShapeFn(ProductShapes)
    .Doc(R"doc(
Multiplies a standard normal prior and the diagonal Gaussian experts that a mask leaves in.

loc: Means of the experts, [batch, experts, latent].
log_variance: Logarithms of their variances, the same shape.
mask: Above 0 where a term contains an expert, [terms, batch, experts].
product_loc: Means of the products, [terms, batch, latent].
product_log_variance: Logarithms of their variances, the same shape.
)doc");

REGISTER_OP("TfMvae>GaussianProductGrad")
    .Input("loc: T")
    .Input("log_variance: T")
    .Input("mask: M")
    .Input("product_loc: T")
    .Input("product_log_variance: T")
    .Input("by_product_loc: T")
    .Input("by_product_log_variance: T")
    .Output("by_loc: T")
    .Output("by_log_variance: T")
    .Attr("T: {float, double}")
    .Attr("M: {bool, float}")
    .SetShapeFn(GradShapes)
    .Doc("The vector-Jacobian product of TfMvae>GaussianProduct.");

REGISTER_OP("TfMvae>GaussianProductSample")
    .Input("loc: T")
    .Input("log_variance: T")
    .Input("mask: M")
    .Input("noise: T")
    .Output("z: T")
    .Output("kl: T")
    .Output("product_loc: T")
    .Output("product_log_variance: T")
    .Attr("T: {float, double}")
    .Attr("M: {bool, float}")
    .SetShapeFn(SampleShapes)
    .Doc(R"doc(
TfMvae>GaussianProduct, with samples of the products and their divergences from the prior.

noise: Standard normal numbers, [samples, terms, batch, latent].
z: product_loc + exp(product_log_variance / 2) * noise.
kl: KL(product || prior), summed over the latent, [terms, batch].
)doc");

REGISTER_OP("TfMvae>GaussianProductSampleGrad")
    .Input("loc: T")
    .Input("log_variance: T")
    .Input("mask: M")
    .Input("noise: T")
    .Input("product_loc: T")
    .Input("product_log_variance: T")
    .Input("by_z: T")
    .Input("by_kl: T")
    .Input("by_product_loc: T")
    .Input("by_product_log_variance: T")
    .Output("by_loc: T")
    .Output("by_log_variance: T")
    .Attr("T: {float, double}")
    .Attr("M: {bool, float}")
    .SetShapeFn(SampleGradShapes)
    .Doc("The vector-Jacobian product of TfMvae>GaussianProductSample.");
