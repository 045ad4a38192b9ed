// What one block of the GPU's kernels does; see gaussian_product_gpu_plan.h for the cut.
//
// The code is written in phases: block.Each(phase) has every thread do the phase, and after it
// all see what the others wrote to shared memory. A thread's own state is handed to each of its
// phases. So a GPU runs it with a barrier behind each phase, and a CPU, for tests, with a loop
// over the threads: nothing here is known to CUDA alone.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_BLOCK_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_BLOCK_H_

#include <cmath>
#include <cstdint>
#include <type_traits>

#include "gaussian_math.h"
#include "gaussian_product.h"
#include "gaussian_product_gpu_plan.h"

// What CUDA calls by other names.
#ifdef __CUDACC__
#define TF_MVAE_GPU __device__ __forceinline__
#define TF_MVAE_UNROLL _Pragma("unroll")
#define TF_MVAE_UNROLL_4 _Pragma("unroll 4")
#define TF_MVAE_ROLLED _Pragma("unroll 1")
#else
#define TF_MVAE_GPU inline
#define TF_MVAE_UNROLL
#define TF_MVAE_UNROLL_4
#define TF_MVAE_ROLLED
#endif

namespace tf_mvae {
namespace gpu {

TF_MVAE_GPU float Exp(float x) { return expf(x); }
TF_MVAE_GPU double Exp(double x) { return exp(x); }
TF_MVAE_GPU float Log1p(float x) { return log1pf(x); }
TF_MVAE_GPU double Log1p(double x) { return log1p(x); }

// Reads what no kernel writes. Told so, the compiler may read ahead of writes before it.
template <typename T>
TF_MVAE_GPU T Read(const T* from) {
#ifdef __CUDA_ARCH__
  return __ldg(from);
#else
  return *from;
#endif
}

TF_MVAE_GPU bool IsIn(const float* mask) { return Read(mask) > 0; }
TF_MVAE_GPU bool IsIn(const bool* mask) {
  return Read(reinterpret_cast<const unsigned char*>(mask)) != 0;
}

// A mask of any type: telling types apart here, once a word of bits, saves half of the
// kernels that there would be to compile.
struct Mask {
  bool are_bools;
  const void* values;
};
inline Mask MakeMask(const bool* values) { return {true, values}; }
inline Mask MakeMask(const float* values) { return {false, values}; }

template <int kColumns, typename M>
TF_MVAE_GPU uint16_t PackWord(const M* mask, int64_t stride, int64_t number) {
  unsigned word = 0;
  TF_MVAE_UNROLL_4
  for (int column = 0; column < kColumns; ++column) {
    if (column < number && IsIn(mask + column * stride)) word |= 1u << column;
  }
  return static_cast<uint16_t>(word);
}

// The bits of `number` columns whose mask stands at `first` and every `stride` behind it.
template <int kColumns>
TF_MVAE_GPU uint16_t Pack(const Mask& mask, int64_t first, int64_t stride, int64_t number) {
  if (mask.are_bools) {
    return PackWord<kColumns>(static_cast<const bool*>(mask.values) + first, stride, number);
  }
  return PackWord<kColumns>(static_cast<const float*>(mask.values) + first, stride, number);
}

// Two sums that run side by side: in the product those of precisions and of precisions times
// means, in the gradient those of their derivatives.
template <typename T>
struct alignas(2 * sizeof(T)) Pair {
  T first;
  T second;
};

// What a thread keeps from phase to phase.
template <typename T, int kColumns>
struct ThreadState {
  int lane, example, tile;  // within the block
  int latents;              // how many of kLatents there are; none where the example is not
  int columns;              // how many of kColumns there are
  int64_t batch;            // the example, maybe beyond the last
  int64_t latent;           // the first of the thread's; the others follow, `lanes` apart
  int64_t column;           // the first of the thread's tile, maybe beyond the last
  unsigned used;            // columns into which any row went
  Pair<T> sums[kColumns][kLatents];
};

// The block's place in the whole, and its shared memory.
template <typename T>
struct BlockContext {
  ProductShape shape;
  int lanes, examples, tiles, staged, threads;
  int64_t first_example, first_tile;
  Pair<T>* pairs;   // [examples, staged, kLatents, lanes]; the divergences' when those are added
  uint16_t* words;  // [examples, staged, tiles]
};

template <typename T>
TF_MVAE_GPU BlockContext<T> MakeContext(const ProductShape& shape, const GpuPlan& plan,
                                        int64_t block, char* shared) {
  BlockContext<T> context;
  context.shape = shape;
  context.lanes = plan.lanes;
  context.examples = plan.examples;
  context.tiles = plan.tiles;
  context.staged = plan.staged;
  context.threads = plan.lanes * plan.examples * plan.tiles;
  context.first_example = block % plan.example_groups * plan.examples;
  context.first_tile = block / plan.example_groups % plan.tile_groups * plan.tiles;
  context.pairs = reinterpret_cast<Pair<T>*>(shared);
  context.words = reinterpret_cast<uint16_t*>(shared + 64 * context.threads);
  return context;
}

template <typename I>
TF_MVAE_GPU I Between(I least, I number, I most) {
  return number < least ? least : number > most ? most : number;
}

template <typename T, int kColumns>
TF_MVAE_GPU void StartThread(const BlockContext<T>& context, int thread, int64_t columns,
                             int64_t part, ThreadState<T, kColumns>* state) {
  state->lane = thread % context.lanes;
  state->example = thread / context.lanes % context.examples;
  state->tile = thread / context.lanes / context.examples;
  state->batch = context.first_example + state->example;
  state->latent = part * context.lanes * kLatents + state->lane;
  state->column = (context.first_tile + state->tile) * kColumns;
  state->used = 0;
  state->columns = static_cast<int>(Between<int64_t>(0, columns - state->column, kColumns));
  state->latents = 0;
  for (int v = 0; v < kLatents; ++v) {
    if (state->batch < context.shape.batch &&
        state->latent + v * context.lanes < context.shape.latent) {
      ++state->latents;
    }
  }
  TF_MVAE_UNROLL
  for (int column = 0; column < kColumns; ++column) {
    TF_MVAE_UNROLL
    for (int v = 0; v < kLatents; ++v) state->sums[column][v] = {T(0), T(0)};
  }
}

// Adds rows to the columns that contain them. `fetch(batch, row, latent)` makes a row's pair
// and `pack(batch, row, column)` the word of the columns of one tile that contain it, which
// are asked for things within the shape only. kRowsFastest says in which order neighbouring
// threads pack: the order in which the mask lies in memory. kAtOnce is how many of its rows a
// thread fetches together, as registers allow.
template <bool kRowsFastest, int kAtOnce, int kColumns, typename T, typename Block, typename Fetch,
          typename PackRow>
TF_MVAE_GPU void AddRows(Block& block, const BlockContext<T>& context, int64_t rows,
                         int64_t columns, const Fetch& fetch, const PackRow& pack) {
  const ProductShape& shape = context.shape;
  for (int64_t first = 0; first < rows; first += context.staged) {
    const int number = static_cast<int>(Between<int64_t>(0, rows - first, context.staged));
    block.Each([&](int thread, ThreadState<T, kColumns>& state) {
      // Several at once, so that a thread's reads wait together.
#ifdef __CUDACC__
#pragma unroll kAtOnce
#endif
      for (int i = 0; i < GpuTile<T>::kFetches; ++i) {
        const int row = state.tile + i * context.tiles;
        TF_MVAE_UNROLL
        for (int v = 0; v < kLatents; ++v) {
          Pair<T> pair = {T(0), T(0)};
          if (row < number && v < state.latents) {
            pair = fetch(state.batch, first + row, state.latent + v * context.lanes);
          }
          context.pairs[((state.example * context.staged + row) * kLatents + v) * context.lanes +
                        state.lane] = pair;
        }
      }
      const int words = context.examples * context.staged * context.tiles;
      for (int i = thread; i < words; i += context.threads) {
        const int rest = kRowsFastest ? i / context.staged : i / context.tiles;
        const int row = kRowsFastest ? i % context.staged : rest % context.staged;
        const int tile = kRowsFastest ? rest % context.tiles : i % context.tiles;
        const int example = kRowsFastest ? rest / context.tiles : rest / context.staged;
        const int64_t batch = context.first_example + example;
        const int64_t column = (context.first_tile + tile) * kColumns;
        uint16_t word = 0;
        if (batch < shape.batch && row < number && column < columns) {
          word = pack(batch, first + row, column);
        }
        context.words[(example * context.staged + row) * context.tiles + tile] = word;
      }
    });
    block.Each([&](int, ThreadState<T, kColumns>& state) {
      const uint16_t* words = context.words + state.example * context.staged * context.tiles +
                              state.tile;
      const Pair<T>* pairs =
          context.pairs + state.example * context.staged * kLatents * context.lanes + state.lane;
      for (int row = 0; row < number; ++row) {
        const unsigned word = words[row * context.tiles];
        if (word == 0) continue;
        state.used |= word;
        Pair<T> pair[kLatents];
        TF_MVAE_UNROLL
        for (int v = 0; v < kLatents; ++v) {
          pair[v] = pairs[(row * kLatents + v) * context.lanes];
        }
        // A condition, not a multiplication by 0: what is not contained may be NaN.
        TF_MVAE_UNROLL
        for (int column = 0; column < kColumns; ++column) {
          if (word & (1u << column)) {
            TF_MVAE_UNROLL
            for (int v = 0; v < kLatents; ++v) {
              state.sums[column][v].first += pair[v].first;
              state.sums[column][v].second += pair[v].second;
            }
          }
        }
      }
    });
  }
}

// Does something with every column's sums, kStep columns at a time. To unroll it for all of them
// would take more registers than there are, and since registers have no index, the sums move up
// instead: each column's are among the first when their turn comes, and the last turn leaves
// the columns in order. kStep columns' reads wait for memory together.
template <int kStep, int kColumns, typename T, typename Do>
TF_MVAE_GPU void ForEachColumn(ThreadState<T, kColumns>& state, const Do& act) {
  constexpr int kNow = kStep < kColumns ? kStep : kColumns;
  TF_MVAE_ROLLED
  for (int first = 0; first < kColumns; first += kNow) {
    Pair<T> now[kNow][kLatents];
    TF_MVAE_UNROLL
    for (int c = 0; c < kNow; ++c) {
      act(first + c, state.sums[c]);
      TF_MVAE_UNROLL
      for (int v = 0; v < kLatents; ++v) now[c][v] = state.sums[c][v];
    }
    TF_MVAE_UNROLL
    for (int v = 0; v < kLatents; ++v) {
      TF_MVAE_UNROLL
      for (int c = 0; c + kNow < kColumns; ++c) state.sums[c][v] = state.sums[c + kNow][v];
      TF_MVAE_UNROLL
      for (int c = 0; c < kNow; ++c) state.sums[kColumns - kNow + c][v] = now[c][v];
    }
  }
}

// Adds kColumns numbers of each thread over the lanes, by halves, so that the order is that of
// the shape alone; `number(state, column)` is a thread's, `take(state, column, sum)` is called
// for the first lane's. The sum takes the place of the pairs.
template <int kColumns, typename T, typename Block, typename Number, typename Take>
TF_MVAE_GPU void AddLanes(Block& block, const BlockContext<T>& context, const Number& number,
                          const Take& take) {
  static_assert(kColumns * sizeof(T) <= 64, "more than the memory of a thread");
  T* numbers = reinterpret_cast<T*>(context.pairs);  // [columns, threads]
  block.Each([&](int thread, ThreadState<T, kColumns>& state) {
    ForEachColumn<1>(state, [&](int column, Pair<T>* sums) {
      numbers[column * context.threads + thread] = number(state, column, sums);
    });
  });
  for (int width = context.lanes; width > 1;) {
    const int half = (width + 1) / 2;
    block.Each([&](int thread, ThreadState<T, kColumns>& state) {
      if (state.lane + half >= width) return;
      TF_MVAE_UNROLL
      for (int column = 0; column < kColumns; ++column) {
        numbers[column * context.threads + thread] +=
            numbers[column * context.threads + thread + half];
      }
    });
    width = half;
  }
  block.Each([&](int thread, ThreadState<T, kColumns>& state) {
    if (state.lane != 0) return;
    TF_MVAE_UNROLL
    for (int column = 0; column < kColumns; ++column) {
      take(state, column, numbers[column * context.threads + thread]);
    }
  });
}

template <typename T>
struct ProductTask {
  ProductShape shape;
  GpuPlan plan;
  const T* loc;
  const T* log_variance;
  Mask mask;
  Product<T> product;
  Samples<T> samples;  // `kl` is null where none are wanted
};

// A term's sums, once all experts are in them: writes the product, puts its mean and standard
// deviation in the sums' place and returns what the thread's latents add to the divergence.
template <int kColumns, typename T>
TF_MVAE_GPU T FinishTerm(const ProductTask<T>& task, int lanes, int column,
                         const ThreadState<T, kColumns>& state, Pair<T>* sums) {
  const ProductShape& shape = task.shape;
  const int64_t first =
      ((state.column + column) * shape.batch + state.batch) * shape.latent + state.latent;
  T divergence = 0;
  TF_MVAE_UNROLL
  for (int v = 0; v < kLatents; ++v) {
    if (column >= state.columns || v >= state.latents) continue;
    const int64_t place = first + v * lanes;
    Pair<T>& sum = sums[v];
    const T variance = T(1) / (T(1) + sum.first);
    const T loc = sum.second * variance;
    const T log_variance = -Log1p(sum.first);
    task.product.loc[place] = loc;
    task.product.log_variance[place] = log_variance;
    // variance - 1 is -sum / (1 + sum), which loses nothing where the sum is small.
    divergence += T(0.5) * (-sum.first * variance - log_variance + loc * loc);
    sum = {loc, Exp(T(0.5) * log_variance)};
  }
  return divergence;
}

// Samples of the terms that FinishTerm left behind; a sample's reads wait for no other's.
template <int kColumns, typename T>
TF_MVAE_GPU void DrawSamples(const ProductTask<T>& task, int lanes,
                             ThreadState<T, kColumns>& state) {
  const ProductShape& shape = task.shape;
  TF_MVAE_ROLLED
  for (int64_t s = 0; s < task.samples.number; ++s) {
    const int64_t first =
        ((s * shape.terms + state.column) * shape.batch + state.batch) * shape.latent +
        state.latent;
    ForEachColumn<16 / sizeof(T)>(state, [&](int column, const Pair<T>* sums) {
      TF_MVAE_UNROLL
      for (int v = 0; v < kLatents; ++v) {
        if (column >= state.columns || v >= state.latents) continue;
        const int64_t place = first + column * shape.batch * shape.latent + v * lanes;
        task.samples.z[place] = sums[v].first + sums[v].second * Read(task.samples.noise + place);
      }
    });
  }
}

// Terms are columns. Without divergences the parts of the latent are blocks of their own;
// with them a block goes through all of them and adds.
template <int kColumns, typename T, typename Block>
TF_MVAE_GPU void ProductBlock(Block& block, const ProductTask<T>& task, int64_t index,
                              char* shared) {
  const BlockContext<T> context = MakeContext<T>(task.shape, task.plan, index, shared);
  const ProductShape& shape = context.shape;
  const bool sampled = task.samples.kl != nullptr;
  const int64_t groups = task.plan.example_groups * task.plan.tile_groups;
  const int64_t begin = sampled ? 0 : index / groups;
  const int64_t end = sampled ? task.plan.latent_parts : begin + 1;
  for (int64_t part = begin; part < end; ++part) {
    block.Each([&](int thread, ThreadState<T, kColumns>& state) {
      StartThread(context, thread, shape.terms, part, &state);
    });
    AddRows<true, sizeof(T) == 4 ? 4 : 1, kColumns>(
        block, context, shape.experts, shape.terms,
        [&](int64_t batch, int64_t expert, int64_t latent) {
          const int64_t place = (batch * shape.experts + expert) * shape.latent + latent;
          const T precision = Exp(-Clipped(Read(task.log_variance + place)));
          return Pair<T>{precision, precision * Read(task.loc + place)};
        },
        [&](int64_t batch, int64_t expert, int64_t term) {
          const int64_t first = (term * shape.batch + batch) * shape.experts + expert;
          return Pack<kColumns>(task.mask, first, shape.batch * shape.experts,
                                shape.terms - term);
        });
    if (!sampled) {
      block.Each([&](int, ThreadState<T, kColumns>& state) {
        ForEachColumn<1>(state, [&](int column, Pair<T>* sums) {
          FinishTerm<kColumns>(task, context.lanes, column, state, sums);
        });
      });
      continue;
    }
    AddLanes<kColumns>(
        block, context,
        [&](const ThreadState<T, kColumns>& state, int column, Pair<T>* sums) {
          return FinishTerm<kColumns>(task, context.lanes, column, state, sums);
        },
        [&](const ThreadState<T, kColumns>& state, int column, T sum) {
          if (state.batch >= shape.batch || column >= state.columns) return;
          T& kl = task.samples.kl[(state.column + column) * shape.batch + state.batch];
          kl = part == 0 ? sum : kl + sum;  // the same thread's, every time
        });
    block.Each([&](int, ThreadState<T, kColumns>& state) {
      DrawSamples<kColumns>(task, context.lanes, state);
    });
  }
}

template <typename T>
struct GradientTask {
  ProductShape shape;
  GpuPlan plan;
  const T* loc;
  const T* log_variance;
  Mask mask;
  Product<const T> product;
  ProductGradient<T> by_product;
  ExpertsGradient<T> by_experts;
};

// What a term adds to the derivatives of the experts it contains: P g_loc and
// P (g_log_variance + g_loc loc), with P the product's variance.
template <typename T>
TF_MVAE_GPU Pair<T> TermGradient(const GradientTask<T>& task, int64_t batch, int64_t term,
                                 int64_t latent) {
  const ProductShape& shape = task.shape;
  const int64_t row = term * shape.batch + batch, place = row * shape.latent + latent;
  const T loc = Read(task.product.loc + place);
  const T log_variance = Read(task.product.log_variance + place);
  const T variance = Exp(log_variance);
  T by_loc = Read(task.by_product.loc + place);
  T by_log_variance = Read(task.by_product.log_variance + place);
  if (task.by_product.kl != nullptr) {
    const T by_kl = Read(task.by_product.kl + row);
    by_loc += by_kl * loc;
    by_log_variance += T(0.5) * by_kl * (variance - T(1));
  }
  if (task.by_product.samples > 0) {
    const int64_t size = shape.terms * shape.batch * shape.latent;
    const T half_scale = T(0.5) * Exp(T(0.5) * log_variance);
    // The first sample's reads stand outside the loop so that a thread's rows share the wait.
    T by_z = Read(task.by_product.z + place);
    T noise = Read(task.by_product.noise + place);
    by_loc += by_z;
    by_log_variance += by_z * noise * half_scale;
    TF_MVAE_ROLLED
    for (int64_t s = 1; s < task.by_product.samples; ++s) {
      by_z = Read(task.by_product.z + s * size + place);
      noise = Read(task.by_product.noise + s * size + place);
      by_loc += by_z;
      by_log_variance += by_z * noise * half_scale;
    }
  }
  return {variance * by_loc, variance * (by_log_variance + by_loc * loc)};
}

// An expert's sums, once all terms are in them: its derivatives.
template <int kColumns, typename T>
TF_MVAE_GPU void FinishExperts(const GradientTask<T>& task, int lanes,
                               ThreadState<T, kColumns>& state) {
  const ProductShape& shape = task.shape;
  const int64_t first =
      (state.batch * shape.experts + state.column) * shape.latent + state.latent;
  ForEachColumn<8 / sizeof(T)>(state, [&](int column, const Pair<T>* sums) {
    TF_MVAE_UNROLL
    for (int v = 0; v < kLatents; ++v) {
      if (column >= state.columns || v >= state.latents) continue;
      const int64_t place = first + column * shape.latent + v * lanes;
      T by_loc = 0, by_log_variance = 0;
      if (state.used & (1u << column)) {
        const T log_variance = Read(task.log_variance + place);
        const T precision = Exp(-Clipped(log_variance));
        by_loc = precision * sums[v].first;
        if (WithinLimits(log_variance)) {
          by_log_variance =
              precision * (sums[v].second - Read(task.loc + place) * sums[v].first);
        }
      }
      task.by_experts.loc[place] = by_loc;
      task.by_experts.log_variance[place] = by_log_variance;
    }
  });
}

// Experts are columns.
template <int kColumns, typename T, typename Block>
TF_MVAE_GPU void GradientBlock(Block& block, const GradientTask<T>& task, int64_t index,
                               char* shared) {
  const BlockContext<T> context = MakeContext<T>(task.shape, task.plan, index, shared);
  const ProductShape& shape = context.shape;
  const int64_t part = index / (task.plan.example_groups * task.plan.tile_groups);
  block.Each([&](int thread, ThreadState<T, kColumns>& state) {
    StartThread(context, thread, shape.experts, part, &state);
  });
  AddRows<false, sizeof(T) == 4 ? 2 : 1, kColumns>(
      block, context, shape.terms, shape.experts,
      [&](int64_t batch, int64_t term, int64_t latent) {
        return TermGradient(task, batch, term, latent);
      },
      [&](int64_t batch, int64_t term, int64_t expert) {
        return Pack<kColumns>(task.mask, (term * shape.batch + batch) * shape.experts + expert, 1,
                              shape.experts - expert);
      });
  block.Each([&](int, ThreadState<T, kColumns>& state) {
    FinishExperts<kColumns>(task, context.lanes, state);
  });
}

// The tasks of the functions of gaussian_product_gpu.h, and how many blocks they take. A sampled
// product's parts of the latent are not blocks.
template <typename T, typename M>
ProductTask<T> MakeProductTask(const ProductShape& shape, const Experts<T, M>& experts,
                               const Product<T>& product, const Samples<T>& samples) {
  return {shape,
          MakeGpuPlan<T>(shape.batch, shape.terms, shape.latent),
          experts.loc,
          experts.log_variance,
          MakeMask(experts.mask),
          product,
          samples};
}

template <typename T>
int64_t Blocks(const ProductTask<T>& task) {
  const ProductShape& shape = task.shape;
  if (shape.terms == 0 || shape.batch == 0) return 0;
  if (task.samples.kl != nullptr) return task.plan.example_groups * task.plan.tile_groups;
  return shape.latent == 0 ? 0 : task.plan.blocks();
}

template <typename T, typename M>
GradientTask<T> MakeGradientTask(const ProductShape& shape, const Experts<T, M>& experts,
                                 const Product<const T>& product,
                                 const ProductGradient<T>& by_product,
                                 const ExpertsGradient<T>& by_experts) {
  return {shape,
          MakeGpuPlan<T>(shape.batch, shape.experts, shape.latent),
          experts.loc,
          experts.log_variance,
          MakeMask(experts.mask),
          product,
          by_product,
          by_experts};
}

template <typename T>
int64_t Blocks(const GradientTask<T>& task) {
  const ProductShape& shape = task.shape;
  return shape.experts == 0 || shape.latent == 0 || shape.batch == 0 ? 0 : task.plan.blocks();
}

// Calls `act` with a tile's number of columns as a type, std::integral_constant.
template <typename T, typename Act>
void WithColumns(int columns, const Act& act) {
  if (columns == 1) return act(std::integral_constant<int, 1>());
  if (columns == 2) return act(std::integral_constant<int, 2>());
  if (columns == 4) return act(std::integral_constant<int, 4>());
  if (columns == 8) return act(std::integral_constant<int, 8>());
  act(std::integral_constant<int, GpuTile<T>::kMaxColumns>());
}

}  // namespace gpu
}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_BLOCK_H_
