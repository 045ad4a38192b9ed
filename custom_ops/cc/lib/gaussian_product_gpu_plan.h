// How the work of the GPU's kernels is cut into blocks. Host code alone.
//
// Both kernels are a product with a matrix of zeros and ones: the forward one adds experts
// (rows) into terms (columns), the backward one adds terms (rows) into experts (columns). A
// thread keeps a tile of columns in registers, for kLatents latents of one example; the
// threads of a block share rows, which they fetch and transform once, through shared memory.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_PLAN_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_PLAN_H_

#include <cstddef>
#include <cstdint>

namespace tf_mvae {

constexpr int kLatents = 2;       // of a thread: the test of a mask's bit serves so many sums
constexpr int kMaxLanes = 64;     // threads along the latent
constexpr int kMaxTiles = 8;      // of columns, side by side in a block
constexpr int kMaxThreads = 384;  // of a block, so that registers are left for a second one
constexpr int kGoodThreads = 256;
constexpr int64_t kGoodBlocks = 256;  // about two for each multiprocessor of a large GPU

// Columns of the largest tile, and rows that a thread fetches at a time. Both keep 64 bytes a
// thread of shared memory busy.
template <typename T>
struct GpuTile {
  static constexpr int kMaxColumns = 64 / sizeof(T);
  static constexpr int kFetches = 64 / (2 * kLatents * sizeof(T));
};

struct GpuPlan {
  int columns;  // of a tile: 1, 2, 4, 8 or 16
  int lanes;
  int examples;  // of a block
  int tiles;     // of a block
  int staged;    // rows in shared memory at a time
  int64_t latent_parts;
  int64_t example_groups;
  int64_t tile_groups;
  std::size_t shared_bytes;

  int threads() const { return lanes * examples * tiles; }
  int64_t blocks() const { return latent_parts * example_groups * tile_groups; }
};

inline int64_t CeilOfRatio(int64_t a, int64_t b) { return (a + b - 1) / b; }

template <typename T>
GpuPlan MakeGpuPlan(int64_t batch, int64_t columns, int64_t latent) {
  GpuPlan plan;
  plan.columns = 1;
  // A tile costs its sums, wanted or not, and the reading of the rows, about two sums' worth.
  int64_t least = CeilOfRatio(columns, 1) * (1 + 2);
  for (int size = 2; size <= GpuTile<T>::kMaxColumns; size *= 2) {
    const int64_t cost = CeilOfRatio(columns, size) * (size + 2);
    if (cost < least) {
      least = cost;
      plan.columns = size;
    }
  }
  // Equal parts, so that no lane idles where the latent is not a power of two.
  plan.latent_parts = latent <= kMaxLanes * kLatents ? 1 : CeilOfRatio(latent, kMaxLanes * kLatents);
  plan.lanes = static_cast<int>(CeilOfRatio(CeilOfRatio(latent, plan.latent_parts), kLatents));
  if (plan.lanes == 0) plan.lanes = 1;
  const int64_t tiles = columns == 0 ? 1 : CeilOfRatio(columns, plan.columns);
  const int fitting = kMaxThreads / plan.lanes < kMaxTiles ? kMaxThreads / plan.lanes : kMaxTiles;
  plan.tile_groups = CeilOfRatio(tiles, fitting);
  plan.tiles = static_cast<int>(CeilOfRatio(tiles, plan.tile_groups));
  // Short latents share a block among several examples, unless that leaves the GPU idle.
  int64_t examples = kGoodThreads / (plan.lanes * plan.tiles);
  if (examples > batch) examples = batch;
  if (examples < 1) examples = 1;
  while (examples > 1 && plan.lanes * plan.tiles * examples / 2 >= 64 &&
         CeilOfRatio(batch, examples) * plan.latent_parts * plan.tile_groups < kGoodBlocks) {
    examples /= 2;
  }
  plan.examples = static_cast<int>(examples);
  plan.example_groups = CeilOfRatio(batch, examples);
  plan.staged = GpuTile<T>::kFetches * plan.tiles;
  plan.shared_bytes =
      64 * static_cast<std::size_t>(plan.threads()) +
      sizeof(uint16_t) * static_cast<std::size_t>(plan.examples * plan.staged * plan.tiles);
  return plan;
}

}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_PLAN_H_
