// The product of experts for one instruction set, TF_MVAE_ISA with vectors of
// TF_MVAE_VECTOR_BYTES; see gaussian_product_isa.h and simd.h.
//
// A term's sums over its experts are made of the tables of subset_tables.h: a group's rows are
// its experts, and the terms read entries. The gradient is the same with terms and experts in
// each other's place.

#include "gaussian_product_isa.h"

#include <cstdint>
#include <initializer_list>

#include "gaussian_math.h"
#include "simd.h"
#include "subset_tables.h"

namespace {

using tf_mvae::Experts;
using tf_mvae::ExpertsGradient;
using tf_mvae::LogVarianceLimit;
using tf_mvae::Product;
using tf_mvae::ProductGradient;
using tf_mvae::ProductShape;
using tf_mvae::Samples;

// How many experts ahead of the one in hand the gradient asks for the places it will write to.
constexpr int kExpertsAhead = 16;

// Parts of the scratch memory, one behind the other, each aligned.
class Arena {
 public:
  explicit Arena(char* memory) : memory_(memory) {}
  template <typename U>
  U* Take(int64_t number) {
    char* taken = memory_ + used_;
    used_ += CeilOfRatio(number * static_cast<int64_t>(sizeof(U)), 64) * 64;
    return reinterpret_cast<U*>(taken);
  }
  int64_t used() const { return used_; }

 private:
  char* memory_;
  int64_t used_ = 0;
};

template <int G, typename T>
struct ProductScratch {
  ProductScratch(const ProductShape& shape, char* memory) : arena(memory) {
    columns = CeilOfRatio(shape.latent, Simd<T>::kLanes);
    words = CeilOfRatio(shape.experts, kGroups * G);
    subsets = arena.template Take<uint64_t>(shape.terms * words);
    tables = arena.template Take<Pair<T>>(kGroups << G);
    sums = arena.template Take<Pair<T>>(shape.terms * columns);
  }
  Arena arena;
  int64_t columns;    // vectors that a row of latents takes
  int64_t words;      // words of kGroups groups that the experts take
  uint64_t* subsets;  // [terms, words]
  Pair<T>* tables;    // [kGroups, 2^G]
  Pair<T>* sums;      // [terms, columns]
};

// Turns one vector of a term's sums into the product, samples of it and its divergence.
template <typename T>
inline void Finish(const ProductShape& shape, const Product<T>& product, const Samples<T>* samples,
                   const Pair<T>& sums, int64_t row, int64_t column, Vector<T>* divergence) {
  const int64_t first = column * Simd<T>::kLanes, lanes = shape.latent - first;
  const Vector<T> sum = sums.first, variance = T(1) / (T(1) + sum);
  const Vector<T> loc = sums.second * variance, log_variance = -Log1p<T>(sum);
  const int64_t place = row * shape.latent + first;
  Store<T>(loc, product.loc + place, lanes);
  Store<T>(log_variance, product.log_variance + place, lanes);
  if (samples == nullptr) return;
  // variance - 1 is -sum / (1 + sum), which loses nothing where the sum is small.
  const Vector<T> less_one = -sum * variance;
  *divergence = T(0.5) * (less_one - log_variance + loc * loc);
  const Vector<T> scale = Exp<T>(log_variance * T(0.5));
  const int64_t size = shape.terms * shape.batch * shape.latent;
  for (int64_t s = 0; s < samples->number; ++s) {
    const Vector<T> noise = Load<T>(samples->noise + s * size + place, lanes);
    Store<T>(loc + scale * noise, samples->z + s * size + place, lanes);
  }
}

template <int G, typename T, typename M>
void ProductOfExample(const ProductShape& shape, const Experts<T, M>& experts,
                      const Product<T>& product, const Samples<T>* samples, int64_t example,
                      const ProductScratch<G, T>& scratch) {
  constexpr int kLanes = Simd<T>::kLanes;
  const int64_t per_word = kGroups * G;
  for (int64_t term = 0; term < shape.terms; ++term) {
    uint64_t* subsets = scratch.subsets + term * scratch.words;
    if (scratch.words > 0) subsets[scratch.words - 1] = 0;  // the last may not be filled
    PackAlong<G>(experts.mask + (term * shape.batch + example) * shape.experts, shape.experts,
                 reinterpret_cast<uint8_t*>(subsets));
  }
  for (int64_t i = 0; i < shape.terms * scratch.columns; ++i) scratch.sums[i] = Pair<T>{};

  for (int64_t word = 0; word < scratch.words; ++word) {
    const int groups = GroupsOfWord<G>(shape.experts, word);
    for (int64_t column = 0; column < scratch.columns; ++column) {
      const int64_t lanes = shape.latent - column * kLanes;
      for (int group = 0; group < groups; ++group) {
        const int64_t first = word * per_word + group * G;
        MakeTable<G, T>(
            [&](int bit, Vector<T>* precision, Vector<T>* weighted) {
              const int64_t expert = first + bit;
              *precision = *weighted = Vector<T>{};
              if (expert >= shape.experts) return;
              const int64_t place =
                  (example * shape.experts + expert) * shape.latent + column * kLanes;
              Prefetch(experts.log_variance + place, per_word * shape.latent);
              Prefetch(experts.loc + place, per_word * shape.latent);
              const Vector<T> log_variance = Load<T>(experts.log_variance + place, lanes);
              *precision = Exp<T>(-Clamp<T>(log_variance, LogVarianceLimit<T>::value));
              *weighted = *precision * Load<T>(experts.loc + place, lanes);
            },
            scratch.tables + (group << G));
      }
      for (int64_t term = 0; term < shape.terms; ++term) {
        AddEntries<G, T>(scratch.tables, groups, scratch.subsets[term * scratch.words + word],
                         scratch.sums + term * scratch.columns + column);
      }
    }
  }

  for (int64_t term = 0; term < shape.terms; ++term) {
    const int64_t row = term * shape.batch + example;
    Vector<T> divergences{};
    T divergence_of_rest = 0;
    for (int64_t column = 0; column < scratch.columns; ++column) {
      const int64_t lanes = shape.latent - column * kLanes;
      Vector<T> divergence{};
      Finish<T>(shape, product, samples, scratch.sums[term * scratch.columns + column], row, column,
                &divergence);
      if (lanes >= kLanes) {
        divergences += divergence;
      } else {
        divergence_of_rest = SumOfLanes<T>(divergence, lanes);
      }
    }
    if (samples != nullptr) {
      samples->kl[row] = SumOfLanes<T>(divergences, kLanes) + divergence_of_rest;
    }
  }
}

template <int G, typename T>
struct GradientScratch {
  GradientScratch(const ProductShape& shape, char* memory) : arena(memory) {
    words = CeilOfRatio(shape.terms, kGroups * G);
    subsets = arena.template Take<uint64_t>(shape.experts * words);
    tables = arena.template Take<Pair<T>>(kGroups << G);
    sums = arena.template Take<Pair<T>>(shape.experts);
    bytes = arena.template Take<uint8_t>(shape.experts);
    used = arena.template Take<uint8_t>(shape.experts);
  }
  Arena arena;
  int64_t words;      // words of kGroups groups that the terms take
  uint64_t* subsets;  // [words, experts]
  Pair<T>* tables;    // [kGroups, 2^G]
  Pair<T>* sums;      // [experts]
  uint8_t* bytes;     // [experts]
  uint8_t* used;      // [experts], whether any term contains the expert
};

// What one vector of a term adds to the derivatives of the experts it contains:
// P g_loc and P (g_log_variance + g_loc loc), with P the product's variance.
template <typename T>
inline void TermGradient(const ProductShape& shape, const Product<const T>& product,
                         const ProductGradient<T>& gradient, int64_t row, int64_t column,
                         Vector<T>* first_sum, Vector<T>* second_sum) {
  const int64_t first = column * Simd<T>::kLanes, lanes = shape.latent - first;
  const int64_t place = row * shape.latent + first;
  // The next example's rows lie behind this one's, a long way from each other.
  for (const T* array : {product.loc, product.log_variance, gradient.loc, gradient.log_variance}) {
    Prefetch(array + place, shape.latent);
  }
  const Vector<T> loc = Load<T>(product.loc + place, lanes);
  const Vector<T> log_variance =
      Clamp<T>(Load<T>(product.log_variance + place, lanes), 2 * LogVarianceLimit<T>::value);
  const Vector<T> variance = Exp<T>(log_variance);
  Vector<T> by_loc = Load<T>(gradient.loc + place, lanes);
  Vector<T> by_log_variance = Load<T>(gradient.log_variance + place, lanes);
  if (gradient.kl != nullptr) {
    const T by_kl = gradient.kl[row];
    by_loc += by_kl * loc;
    by_log_variance += T(0.5) * by_kl * (variance - T(1));
  }
  if (gradient.samples > 0) {
    const Vector<T> half_scale = T(0.5) * Exp<T>(log_variance * T(0.5));
    const int64_t size = shape.terms * shape.batch * shape.latent;
    for (int64_t s = 0; s < gradient.samples; ++s) {
      const Vector<T> by_z = Load<T>(gradient.z + s * size + place, lanes);
      by_loc += by_z;
      by_log_variance += by_z * Load<T>(gradient.noise + s * size + place, lanes) * half_scale;
    }
  }
  *first_sum = variance * by_loc;
  *second_sum = variance * (by_log_variance + by_loc * loc);
}

// Turns one vector of an expert's sums into its derivatives.
template <typename T, typename M>
inline void FinishExpert(const ProductShape& shape, const Experts<T, M>& experts,
                         const ExpertsGradient<T>& gradient, const Pair<T>& sum, bool used,
                         int64_t example, int64_t expert, int64_t column) {
  const int64_t first = column * Simd<T>::kLanes, lanes = shape.latent - first;
  const int64_t place = (example * shape.experts + expert) * shape.latent + first;
  Vector<T> by_loc{}, by_log_variance{};
  // What is read here in the next example, and what will soon be written in this one.
  Prefetch(experts.log_variance + place, shape.experts * shape.latent);
  Prefetch(experts.loc + place, shape.experts * shape.latent);
  Prefetch<1>(gradient.loc + place, kExpertsAhead * shape.latent);
  Prefetch<1>(gradient.log_variance + place, kExpertsAhead * shape.latent);
  if (used) {
    const Vector<T> limit = Broadcast<T>(LogVarianceLimit<T>::value);
    const Vector<T> log_variance = Load<T>(experts.log_variance + place, lanes);
    const Vector<T> precision = Exp<T>(-Clamp<T>(log_variance, LogVarianceLimit<T>::value));
    by_loc = precision * sum.first;
    by_log_variance = precision * (sum.second - Load<T>(experts.loc + place, lanes) * sum.first);
    by_log_variance = log_variance > limit ? Vector<T>{} : by_log_variance;
    by_log_variance = log_variance < -limit ? Vector<T>{} : by_log_variance;
  }
  Store<T>(by_loc, gradient.loc + place, lanes);
  Store<T>(by_log_variance, gradient.log_variance + place, lanes);
}

// Reads which terms contain each expert.
template <int G, typename T, typename M>
void PackAcross(const ProductShape& shape, const M* mask, int64_t example,
                const GradientScratch<G, T>& scratch) {
  for (int64_t i = 0; i < shape.experts; ++i) scratch.used[i] = 0;
  for (int64_t word = 0; word < scratch.words; ++word) {
    uint64_t* subsets = scratch.subsets + word * shape.experts;
    for (int64_t i = 0; i < shape.experts; ++i) subsets[i] = 0;
    for (int group = 0; group < kGroups; ++group) {
      const int64_t first = (word * kGroups + group) * G;
      if (first >= shape.terms) break;
      for (int64_t i = 0; i < shape.experts; ++i) scratch.bytes[i] = 0;
      for (int bit = 0; bit < G && first + bit < shape.terms; ++bit) {
        SetBit(mask + ((first + bit) * shape.batch + example) * shape.experts, shape.experts, bit,
               scratch.bytes);
      }
      for (int64_t i = 0; i < shape.experts; ++i) {
        subsets[i] |= static_cast<uint64_t>(scratch.bytes[i]) << (8 * group);
        scratch.used[i] |= scratch.bytes[i];
      }
    }
  }
}

template <int G, typename T, typename M>
void GradientOfExample(const ProductShape& shape, const Experts<T, M>& experts,
                       const Product<const T>& product, const ProductGradient<T>& by_product,
                       const ExpertsGradient<T>& by_experts, int64_t example,
                       const GradientScratch<G, T>& scratch) {
  PackAcross<G, T>(shape, experts.mask, example, scratch);
  const int64_t columns = CeilOfRatio(shape.latent, Simd<T>::kLanes);
  for (int64_t column = 0; column < columns; ++column) {
    for (int64_t i = 0; i < shape.experts; ++i) scratch.sums[i] = Pair<T>{};
    for (int64_t word = 0; word < scratch.words; ++word) {
      const int groups = GroupsOfWord<G>(shape.terms, word);
      for (int group = 0; group < groups; ++group) {
        const int64_t first = (word * kGroups + group) * G;
        MakeTable<G, T>(
            [&](int bit, Vector<T>* by_sum, Vector<T>* by_precisions) {
              *by_sum = *by_precisions = Vector<T>{};
              if (first + bit >= shape.terms) return;
              const int64_t row = (first + bit) * shape.batch + example;
              TermGradient<T>(shape, product, by_product, row, column, by_sum, by_precisions);
            },
            scratch.tables + (group << G));
      }
      const uint64_t* subsets = scratch.subsets + word * shape.experts;
      for (int64_t expert = 0; expert < shape.experts; ++expert) {
        AddEntries<G, T>(scratch.tables, groups, subsets[expert], scratch.sums + expert);
      }
    }
    for (int64_t expert = 0; expert < shape.experts; ++expert) {
      FinishExpert<T, M>(shape, experts, by_experts, scratch.sums[expert], scratch.used[expert],
                         example, expert, column);
    }
  }
}

// A group's size by how often its table is read.
template <template <int> class Function, typename... Arguments>
inline void WithGroupSize(int64_t uses, Arguments&&... arguments) {
  if (uses < 3) {
    Function<1>::Run(arguments...);
  } else if (uses < 8) {
    Function<2>::Run(arguments...);
  } else {
    Function<4>::Run(arguments...);
  }
}

template <typename T, typename M>
struct ForOne {
  template <int G>
  struct DoProduct {
    static void Run(const ProductShape& shape, const Experts<T, M>& experts,
                    const Product<T>& product, const Samples<T>* samples, int64_t begin,
                    int64_t end, char* scratch) {
      const ProductScratch<G, T> parts(shape, scratch);
      Clear<G, T>(parts.tables);
      for (int64_t example = begin; example < end; ++example) {
        ProductOfExample<G, T, M>(shape, experts, product, samples, example, parts);
      }
    }
  };

  template <int G>
  struct DoGradient {
    static void Run(const ProductShape& shape, const Experts<T, M>& experts,
                    const Product<const T>& product, const ProductGradient<T>& by_product,
                    const ExpertsGradient<T>& by_experts, int64_t begin, int64_t end,
                    char* scratch) {
      const GradientScratch<G, T> parts(shape, scratch);
      Clear<G, T>(parts.tables);
      for (int64_t example = begin; example < end; ++example) {
        GradientOfExample<G, T, M>(shape, experts, product, by_product, by_experts, example,
                                   parts);
      }
    }
  };

  static void TheProduct(const ProductShape& shape, const Experts<T, M>& experts,
                         const Product<T>& product, const Samples<T>* samples, int64_t begin,
                         int64_t end, char* scratch) {
    WithGroupSize<DoProduct>(shape.terms, shape, experts, product, samples, begin, end, scratch);
  }

  static void TheGradient(const ProductShape& shape, const Experts<T, M>& experts,
                          const Product<const T>& product, const ProductGradient<T>& by_product,
                          const ExpertsGradient<T>& by_experts, int64_t begin, int64_t end,
                          char* scratch) {
    WithGroupSize<DoGradient>(shape.experts, shape, experts, product, by_product, by_experts,
                              begin, end, scratch);
  }
};

// Enough for any group's size: subsets take most words with the smallest one, tables most
// entries with the largest.
template <typename T>
int64_t ScratchBytes(const ProductShape& shape) {
  const ProductScratch<1, T> product(shape, nullptr);
  const GradientScratch<1, T> gradient(shape, nullptr);
  const int64_t larger = product.arena.used() > gradient.arena.used() ? product.arena.used()
                                                                      : gradient.arena.used();
  return larger + static_cast<int64_t>(sizeof(Pair<T>)) * (kGroups << 4);
}

}  // namespace

namespace tf_mvae {
namespace TF_MVAE_ISA {

template <typename T, typename M>
Kernels<T, M> GetKernels() {
  return {ScratchBytes<T>, ForOne<T, M>::TheProduct, ForOne<T, M>::TheGradient};
}

template Kernels<float, bool> GetKernels();
template Kernels<float, float> GetKernels();
template Kernels<double, bool> GetKernels();
template Kernels<double, float> GetKernels();

}  // namespace TF_MVAE_ISA
}  // namespace tf_mvae
