// What an example costs one thread where its numbers lie in the cache, and where they come from
// memory: as far as the two agree, the processor waits for arithmetic and not for memory.
// Prints a line of JSON for each size that it is given: terms batch experts latent.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "gaussian_product.h"

namespace {

constexpr int64_t kCacheBytes = 1 << 19;  // half of a usual second-level cache
constexpr int kRepetitions = 30;

struct Arrays {
  explicit Arrays(const tf_mvae::ProductShape& shape)
      : loc(shape.batch * shape.experts * shape.latent, 0.5f),
        log_variance(loc.size(), 0.1f),
        mask(shape.terms * shape.batch * shape.experts),
        product(shape.terms * shape.batch * shape.latent),
        product_log_variance(product.size()),
        by_product(product.size(), 1.0f),
        by_loc(loc.size()),
        by_log_variance(loc.size()) {
    std::mt19937 random(0);
    for (float& value : mask) value = static_cast<float>(random() & 1);
  }
  std::vector<float> loc, log_variance, mask, product, product_log_variance, by_product, by_loc,
      by_log_variance;
};

template <typename Call>
double BestSeconds(const Call& call) {
  double best = 1e9;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    call();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    best = std::min(best, taken.count());
  }
  return best;
}

// Seconds an example of the product and of its gradient.
void Measure(const tf_mvae::ProductShape& shape, double* product, double* gradient) {
  Arrays a(shape);
  const tf_mvae::Experts<float, float> experts{a.loc.data(), a.log_variance.data(), a.mask.data()};
  *product = BestSeconds([&] {
    tf_mvae::GaussianProduct<float, float>(
        shape, experts, {a.product.data(), a.product_log_variance.data()}, 0, shape.batch);
  });
  *gradient = BestSeconds([&] {
    tf_mvae::GaussianProductGrad<float, float>(
        shape, experts, {a.product.data(), a.product_log_variance.data()},
        {a.by_product.data(), a.by_product.data()}, {a.by_loc.data(), a.by_log_variance.data()}, 0,
        shape.batch);
  });
  *product /= shape.batch;
  *gradient /= shape.batch;
}

}  // namespace

int main(int count, char** words) {
  if (count < 5 || count % 4 != 1) {
    std::fprintf(stderr, "usage: %s TERMS BATCH EXPERTS LATENT [...]\n", words[0]);
    return 2;
  }
  for (int i = 1; i + 3 < count; i += 4) {
    const tf_mvae::ProductShape whole{std::atol(words[i]), std::atol(words[i + 1]),
                                      std::atol(words[i + 2]), std::atol(words[i + 3])};
    const int64_t bytes = 4 * (4 * whole.experts * whole.latent + 3 * whole.terms * whole.latent +
                               whole.terms * whole.experts);
    tf_mvae::ProductShape few = whole;
    few.batch = std::max<int64_t>(1, std::min(whole.batch, kCacheBytes / bytes));
    double cached[2], streamed[2];
    Measure(few, &cached[0], &cached[1]);
    Measure(whole, &streamed[0], &streamed[1]);
    std::printf(
        "{\"instruction_set\": \"%s\", \"in_cache\": {\"forward\": %.4g, \"backward\": %.4g}, "
        "\"from_memory\": {\"forward\": %.4g, \"backward\": %.4g}}\n",
        tf_mvae::InstructionSet(), cached[0], cached[1], streamed[0], streamed[1]);
  }
}
