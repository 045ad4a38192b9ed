// The blocks of the GPU's kernels, compiled for the CPU, against all that a GPU is held to:
// finds wrong indices (with the sanitizers), missing barriers (by the threads' order) and wrong
// sums where there is no GPU. What it cannot see is what CUDA adds: the launch and its speed.

#include <sys/mman.h>

#include "gaussian_product_gpu_cases.h"
#include "gaussian_product_gpu_emulation.h"

namespace tf_mvae {
namespace {

class EmulatedGpu {
 public:
  template <typename T>
  T* New(int64_t size) {
    return new T[size];  // of no more than was asked for, so that a sanitizer sees an overrun
  }
  template <typename T>
  void Delete(T* memory) {
    delete[] memory;
  }
  template <typename T>
  void Put(const T* from, int64_t size, T* to) {
    std::copy(from, from + size, to);
  }
  template <typename T>
  void Get(const T* from, int64_t size, T* to) {
    std::copy(from, from + size, to);
  }

  template <typename T, typename M>
  void Product(const ProductShape& shape, const Experts<T, M>& experts,
               const tf_mvae::Product<T>& product) {
    const Samples<T> none = {0, nullptr, nullptr, nullptr};
    Start(gpu::MakeProductTask(shape, experts, product, none));
  }
  template <typename T, typename M>
  void Sample(const ProductShape& shape, const Experts<T, M>& experts,
              const tf_mvae::Product<T>& product, const Samples<T>& samples) {
    Start(gpu::MakeProductTask(shape, experts, product, samples));
  }
  template <typename T, typename M>
  void Gradient(const ProductShape& shape, const Experts<T, M>& experts,
                const tf_mvae::Product<const T>& product, const ProductGradient<T>& by_product,
                const ExpertsGradient<T>& by_experts) {
    Start(gpu::MakeGradientTask(shape, experts, product, by_product, by_experts));
  }

  void Vary() {
    order_ = order_ == emulation::Order::kUp     ? emulation::Order::kDown
             : order_ == emulation::Order::kDown ? emulation::Order::kShuffled
                                                 : emulation::Order::kUp;
  }

  void Extra(cases::Report& report) {
    LargeIndices(report);
    PlansFitAGpu(report);
  }

 private:
  template <typename Task>
  void Start(const Task& task) {
    emulation::Run(task, order_);
  }

  // Places beyond 2^32: the last block of a problem of which only that block's memory is
  // touched, and so is all that there is.
  static void LargeIndices(cases::Report& report) {
    const ProductShape shape = {2, 3, 3, (int64_t{1} << 29) + 5};
    const int64_t expert_size = shape.batch * shape.experts * shape.latent;
    const int64_t product_size = shape.terms * shape.batch * shape.latent;
    float* loc = Reserve(expert_size);
    float* log_variance = Reserve(expert_size);
    float* product_loc = Reserve(product_size);
    float* product_log_variance = Reserve(product_size);
    float* loc_gradient = Reserve(expert_size);
    float* log_variance_gradient = Reserve(expert_size);
    report.Check(loc && log_variance && product_loc && product_log_variance && loc_gradient &&
                     log_variance_gradient,
                 "there is no room for large indices");
    if (report.failures > 0) return;
    bool mask[2 * 3 * 3];
    for (bool& in : mask) in = true;
    for (int64_t expert = 0; expert < 3; ++expert) {
      const int64_t last = ((shape.batch - 1) * 3 + expert + 1) * shape.latent - 1;
      loc[last] = static_cast<float>(expert + 1);
    }
    const Experts<float, bool> experts = {loc, log_variance, mask};
    const auto product = gpu::MakeProductTask<float, bool>(
        shape, experts, {product_loc, product_log_variance}, {0, nullptr, nullptr, nullptr});
    // The last part of the latent, of the last examples.
    emulation::Run(product, emulation::Order::kUp, gpu::Blocks(product) - 1,
                   gpu::Blocks(product));
    for (int64_t term = 0; term < 2; ++term) {
      const int64_t last = (term * 3 + 3) * shape.latent - 1;
      report.Check(product_loc[last] == 1.5f, "the last loc", product_loc[last], 1.5);
      report.Check(std::fabs(product_log_variance[last] + std::log(4.0)) < 1e-6,
                   "the last log_variance", product_log_variance[last], -std::log(4.0));
    }
    // Derivatives of the sum of the last terms' loc, each 1/4 by each expert's.
    const auto gradient = gpu::MakeGradientTask<float, bool>(
        shape, experts, {product_loc, product_log_variance},
        {loc, product_loc}, {loc_gradient, log_variance_gradient});
    emulation::Run(gradient, emulation::Order::kUp, gpu::Blocks(gradient) - 1,
                   gpu::Blocks(gradient));
    // By hand: A = P g_loc, C = P (g_lv + g_loc m) with P = 1/4, m = 1.5, g_lv = m, and g_loc
    // what stands in `loc` at the same places.
    double a = 0, c = 0;
    for (int64_t term = 0; term < 2; ++term) {
      const double g = loc[(term * 3 + 3) * shape.latent - 1];
      a += 0.25 * g;
      c += 0.25 * (1.5 + g * 1.5);
    }
    for (int64_t expert = 0; expert < 3; ++expert) {
      const int64_t last = (2 * 3 + expert + 1) * shape.latent - 1;
      report.Check(std::fabs(loc_gradient[last] - a) < 1e-5, "the last derivative by loc",
                   loc_gradient[last], a);
      const double by_log_variance = c - (expert + 1) * a;
      report.Check(std::fabs(log_variance_gradient[last] - by_log_variance) < 1e-5,
                   "the last derivative by log_variance", log_variance_gradient[last],
                   by_log_variance);
    }
    for (float* memory : {loc, log_variance, loc_gradient, log_variance_gradient}) {
      munmap(memory, expert_size * sizeof(float));
    }
    munmap(product_loc, product_size * sizeof(float));
    munmap(product_log_variance, product_size * sizeof(float));
  }

  // Zeros that take no memory until they are written.
  static float* Reserve(int64_t size) {
    void* memory = mmap(nullptr, size * sizeof(float), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? nullptr : static_cast<float*>(memory);
  }

  // No plan asks for more than every GPU has: 1,024 threads and 48 KiB of shared memory, half
  // of each so that two blocks find room. And a plan's parts cover the whole.
  static void PlansFitAGpu(cases::Report& report) {
    for (int64_t batch : {1, 2, 7, 100, 1024}) {
      for (int64_t columns : {1, 2, 3, 5, 9, 16, 17, 22, 40, 64, 100, 128, 129, 1000, 5000}) {
        for (int64_t latent : {0, 1, 2, 3, 5, 16, 63, 64, 100, 128, 129, 1000, 100000}) {
          CheckPlan<float>(report, batch, columns, latent);
          CheckPlan<double>(report, batch, columns, latent);
        }
      }
    }
  }

  template <typename T>
  static void CheckPlan(cases::Report& report, int64_t batch, int64_t columns, int64_t latent) {
    const GpuPlan plan = MakeGpuPlan<T>(batch, columns, latent);
    report.Check(plan.threads() >= 1 && plan.threads() <= kMaxThreads, "a plan's threads",
                 plan.threads(), kMaxThreads);
    report.Check(plan.shared_bytes <= 48 * 1024, "a plan's shared memory",
                 static_cast<double>(plan.shared_bytes), 48 * 1024);
    report.Check(plan.example_groups * plan.examples >= batch, "a plan leaves examples out");
    report.Check(plan.tile_groups * plan.tiles * plan.columns >= columns,
                 "a plan leaves columns out");
    report.Check(plan.latent_parts * plan.lanes * kLatents >= latent, "a plan leaves latents out");
    report.Check((plan.latent_parts - 1) * plan.lanes * kLatents < latent || latent == 0,
                 "a plan has a part without latents");
  }

  emulation::Order order_ = emulation::Order::kUp;
};

}  // namespace
}  // namespace tf_mvae

int main() {
  tf_mvae::EmulatedGpu machine;
  return tf_mvae::cases::RunAll(machine);
}
