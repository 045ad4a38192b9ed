// The product's ops on the CPU: examples are shared among TensorFlow's own threads.

#include "cc/kernels/op_kernels.h"
#include "cc/lib/gaussian_product.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/util/work_sharder.h"

namespace tf_mvae {
namespace {

struct Cpu {
  template <typename T, typename M>
  static absl::Status Product(tensorflow::OpKernelContext* context, const ProductShape& shape,
                              const Experts<T, M>& experts, const tf_mvae::Product<T>& product) {
    return ForExamples(context, shape, [&](int64_t begin, int64_t end) {
      GaussianProduct(shape, experts, product, begin, end);
    });
  }

  template <typename T, typename M>
  static absl::Status Sample(tensorflow::OpKernelContext* context, const ProductShape& shape,
                             const Experts<T, M>& experts, const tf_mvae::Product<T>& product,
                             const Samples<T>& samples) {
    return ForExamples(context, shape, [&](int64_t begin, int64_t end) {
      GaussianProductSample(shape, experts, product, samples, begin, end);
    });
  }

  template <typename T, typename M>
  static absl::Status Gradient(tensorflow::OpKernelContext* context, const ProductShape& shape,
                               const Experts<T, M>& experts,
                               const tf_mvae::Product<const T>& product,
                               const ProductGradient<T>& by_product,
                               const ExpertsGradient<T>& by_experts) {
    return ForExamples(context, shape, [&](int64_t begin, int64_t end) {
      GaussianProductGrad(shape, experts, product, by_product, by_experts, begin, end);
    });
  }

 private:
  template <typename Work>
  static absl::Status ForExamples(tensorflow::OpKernelContext* context, const ProductShape& shape,
                                  const Work& work) {
    const auto& threads = *context->device()->tensorflow_cpu_worker_threads();
    tensorflow::Shard(threads.num_threads, threads.workers, shape.batch, CyclesPerExample(shape),
                      work);
    return absl::OkStatus();
  }
};

TF_MVAE_REGISTER_KERNELS(Cpu, tensorflow::DEVICE_CPU);

}  // namespace
}  // namespace tf_mvae
