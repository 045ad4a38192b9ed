// Runs the GPU's blocks (gaussian_product_gpu_block.h) on the CPU, one thread after another in
// each phase. A phase in which one thread reads what another one writes gives a result that
// depends on the threads' order: so there are several orders, and a test compares them.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_EMULATION_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_EMULATION_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "gaussian_product_gpu_block.h"

namespace tf_mvae {
namespace emulation {

enum class Order { kUp, kDown, kShuffled };

template <typename State>
class Block {
 public:
  Block(int threads, Order order) : states_(threads), threads_(threads), order_(order) {
    std::memset(static_cast<void*>(states_.data()), 0xa5, threads * sizeof(State));
    std::iota(threads_.begin(), threads_.end(), 0);
    if (order == Order::kDown) std::reverse(threads_.begin(), threads_.end());
  }

  template <typename Phase>
  void Each(const Phase& phase) {
    if (order_ == Order::kShuffled) std::shuffle(threads_.begin(), threads_.end(), random_);
    for (int thread : threads_) phase(thread, states_[thread]);
  }

 private:
  std::vector<State> states_;
  std::vector<int> threads_;
  Order order_;
  std::minstd_rand random_;
};

template <int kColumns, typename T, typename B>
void RunBlock(B& block, const gpu::ProductTask<T>& task, int64_t index, char* shared) {
  gpu::ProductBlock<kColumns>(block, task, index, shared);
}
template <int kColumns, typename T, typename B>
void RunBlock(B& block, const gpu::GradientTask<T>& task, int64_t index, char* shared) {
  gpu::GradientBlock<kColumns>(block, task, index, shared);
}

// Runs the blocks from `begin` to `end`, which are there; all of them if `end` is negative.
template <typename T, template <typename> class Task>
void Run(const Task<T>& task, Order order, int64_t begin = 0, int64_t end = -1) {
  const int64_t blocks = gpu::Blocks(task);
  if (end < 0) end = blocks;
  // No more shared memory than there will be, with NaN in it, as a kernel may find it.
  const std::unique_ptr<double[]> shared(new double[(task.plan.shared_bytes + 7) / 8]);
  gpu::WithColumns<T>(task.plan.columns, [&](auto columns) {
    constexpr int kColumns = decltype(columns)::value;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t index = order == Order::kUp ? i : begin + end - 1 - i;
      std::memset(static_cast<void*>(shared.get()), 0xff, (task.plan.shared_bytes + 7) / 8 * 8);
      Block<gpu::ThreadState<T, kColumns>> block(task.plan.threads(), order);
      RunBlock<kColumns>(block, task, index, reinterpret_cast<char*>(shared.get()));
    }
  });
}

}  // namespace emulation
}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_EMULATION_H_
