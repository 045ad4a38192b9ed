// The product of experts and its derivatives against plain loops in double precision and
// against finite differences. TF_MVAE_ISA chooses the instructions (see gaussian_product.h).

#include "gaussian_product.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "gaussian_math.h"

namespace {

using tf_mvae::ProductShape;

int failures = 0;

#define CHECK_THAT(condition, ...)                            \
  do {                                                        \
    if (!(condition)) {                                       \
      ++failures;                                             \
      std::printf("FAILED %s:%d: %s: ", __FILE__, __LINE__, #condition); \
      std::printf(__VA_ARGS__);                               \
      std::printf("\n");                                      \
    }                                                         \
  } while (false)

// A std::vector<bool> has no data.
template <typename M>
struct Masks {
  explicit Masks(int64_t size) : values(new M[size + 1]()), size(size) {}
  Masks(const Masks&) = delete;
  ~Masks() { delete[] values; }
  M* values;
  int64_t size;
};

template <typename T, typename M>
struct Problem {
  Problem(ProductShape s, int64_t samples)
      : shape(s),
        samples(samples),
        loc(s.batch * s.experts * s.latent),
        log_variance(loc.size()),
        mask(s.terms * s.batch * s.experts),
        noise(samples * rows() * s.latent),
        product_loc(rows() * s.latent),
        product_log_variance(product_loc.size()),
        z(noise.size()),
        kl(rows()),
        by_loc(product_loc.size()),
        by_log_variance(product_loc.size()),
        by_z(z.size()),
        by_kl(kl.size()),
        loc_gradient(loc.size(), T(77)),
        log_variance_gradient(loc.size(), T(77)) {}

  int64_t rows() const { return shape.terms * shape.batch; }

  void Fill(unsigned seed, double share = 0.5) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    for (auto* part : {&loc, &log_variance, &noise, &by_loc, &by_log_variance, &by_z, &by_kl}) {
      for (T& value : *part) value = static_cast<T>(normal(random));
    }
    for (int64_t i = 0; i < mask.size; ++i) mask.values[i] = static_cast<M>(uniform(random) < share);
  }

  tf_mvae::Experts<T, M> experts() const {
    return {loc.data(), log_variance.data(), mask.values};
  }

  void Run(int64_t begin, int64_t end) {
    tf_mvae::GaussianProduct<T, M>(shape, experts(), {product_loc.data(), product_log_variance.data()},
                                   begin, end);
  }

  void RunSample(int64_t begin, int64_t end) {
    tf_mvae::GaussianProductSample<T, M>(
        shape, experts(), {product_loc.data(), product_log_variance.data()},
        {samples, noise.data(), z.data(), kl.data()}, begin, end);
  }

  void RunGradient(bool sampled, int64_t begin, int64_t end) {
    tf_mvae::ProductGradient<T> by_product{by_loc.data(), by_log_variance.data()};
    if (sampled) {
      by_product.samples = samples;
      by_product.noise = noise.data();
      by_product.z = by_z.data();
      by_product.kl = by_kl.data();
    }
    tf_mvae::GaussianProductGrad<T, M>(shape, experts(),
                                       {product_loc.data(), product_log_variance.data()}, by_product,
                                       {loc_gradient.data(), log_variance_gradient.data()}, begin,
                                       end);
  }

  ProductShape shape;
  int64_t samples;
  std::vector<T> loc, log_variance;
  Masks<M> mask;
  std::vector<T> noise, product_loc, product_log_variance, z, kl;
  std::vector<T> by_loc, by_log_variance, by_z, by_kl, loc_gradient, log_variance_gradient;
};

// One latent of one term by the formula, in double precision.
struct Exact {
  double loc, log_variance, kl;
};

template <typename T, typename M>
Exact ExactProduct(const Problem<T, M>& p, const std::vector<double>& loc,
                   const std::vector<double>& log_variance, int64_t t, int64_t b, int64_t l) {
  const double limit = tf_mvae::LogVarianceLimit<T>::value;
  double precision = 0, weighted = 0;
  for (int64_t m = 0; m < p.shape.experts; ++m) {
    if (!(p.mask.values[(t * p.shape.batch + b) * p.shape.experts + m] > M(0))) continue;
    const int64_t at = (b * p.shape.experts + m) * p.shape.latent + l;
    const double one = std::exp(-std::fmin(std::fmax(log_variance[at], -limit), limit));
    precision += one;
    weighted += one * loc[at];
  }
  Exact exact;
  exact.loc = weighted / (1 + precision);
  exact.log_variance = -std::log1p(precision);
  exact.kl = 0.5 * (std::expm1(exact.log_variance) - exact.log_variance + exact.loc * exact.loc);
  return exact;
}

// The number whose derivatives RunGradient returns.
template <typename T, typename M>
double Objective(const Problem<T, M>& p, const std::vector<double>& loc,
                 const std::vector<double>& log_variance, bool sampled, int64_t b, int64_t l) {
  double total = 0;
  for (int64_t t = 0; t < p.shape.terms; ++t) {
    const Exact exact = ExactProduct(p, loc, log_variance, t, b, l);
    const int64_t row = t * p.shape.batch + b, at = row * p.shape.latent + l;
    total += p.by_loc[at] * exact.loc + p.by_log_variance[at] * exact.log_variance;
    if (!sampled) continue;
    total += p.by_kl[row] * exact.kl;
    for (int64_t s = 0; s < p.samples; ++s) {
      const int64_t place = s * p.rows() * p.shape.latent + at;
      total += p.by_z[place] * (exact.loc + std::exp(exact.log_variance / 2) * p.noise[place]);
    }
  }
  return total;
}

template <typename T>
double Tolerance() {
  return std::is_same<T, double>::value ? 1e-12 : 1e-5;
}

bool Near(double actual, double expected, double tolerance) {
  return std::fabs(actual - expected) <= tolerance * (1 + std::fabs(expected));
}

template <typename T>
std::vector<double> Doubles(const std::vector<T>& values) {
  return std::vector<double>(values.begin(), values.end());
}

template <typename T, typename M>
void CheckProduct(Problem<T, M>& p, const char* what) {
  const auto loc = Doubles(p.loc), log_variance = Doubles(p.log_variance);
  p.RunSample(0, p.shape.batch);
  const std::vector<T> sampled_loc = p.product_loc, sampled_log_variance = p.product_log_variance;
  p.Run(0, p.shape.batch);
  CHECK_THAT(sampled_loc == p.product_loc && sampled_log_variance == p.product_log_variance,
             "%s: sampling changes the product", what);
  for (int64_t t = 0; t < p.shape.terms; ++t) {
    for (int64_t b = 0; b < p.shape.batch; ++b) {
      double kl = 0;
      const int64_t row = t * p.shape.batch + b;
      for (int64_t l = 0; l < p.shape.latent; ++l) {
        const Exact exact = ExactProduct(p, loc, log_variance, t, b, l);
        const int64_t at = row * p.shape.latent + l;
        CHECK_THAT(Near(p.product_loc[at], exact.loc, Tolerance<T>()), "%s: %g, not %g", what,
                   double(p.product_loc[at]), exact.loc);
        CHECK_THAT(Near(p.product_log_variance[at], exact.log_variance, Tolerance<T>()),
                   "%s: %g, not %g", what, double(p.product_log_variance[at]), exact.log_variance);
        kl += exact.kl;
        for (int64_t s = 0; s < p.samples; ++s) {
          const int64_t place = s * p.rows() * p.shape.latent + at;
          const double z = exact.loc + std::exp(exact.log_variance / 2) * double(p.noise[place]);
          CHECK_THAT(Near(p.z[place], z, Tolerance<T>()), "%s: %g, not %g", what,
                     double(p.z[place]), z);
        }
      }
      CHECK_THAT(Near(p.kl[row], kl, Tolerance<T>()), "%s: %g, not %g", what, double(p.kl[row]), kl);
    }
  }
}

// Against central differences of the exact objective, for some experts.
template <typename T, typename M>
void CheckGradient(Problem<T, M>& p, bool sampled, const char* what) {
  p.RunSample(0, p.shape.batch);
  p.RunGradient(sampled, 0, p.shape.batch);
  auto loc = Doubles(p.loc), log_variance = Doubles(p.log_variance);
  const int64_t size = loc.size(), step = size > 4000 ? size / 997 : 1;
  const double h = 1e-4, tolerance = std::is_same<T, double>::value ? 2e-7 : 3e-5;
  for (int64_t at = 0; at < size; at += step) {
    const int64_t l = at % p.shape.latent, b = at / p.shape.latent / p.shape.experts;
    for (bool by_loc : {true, false}) {
      double& number = (by_loc ? loc : log_variance)[at];
      const double before = number;
      number = before + h;
      const double more = Objective(p, loc, log_variance, sampled, b, l);
      number = before - h;
      const double less = Objective(p, loc, log_variance, sampled, b, l);
      number = before;
      const double actual = (by_loc ? p.loc_gradient : p.log_variance_gradient)[at];
      CHECK_THAT(Near(actual, (more - less) / (2 * h), tolerance), "%s: by %s %g, not %g", what,
                 by_loc ? "loc" : "log_variance", actual, (more - less) / (2 * h));
    }
  }
}

template <typename T, typename M>
void TestShapes() {
  // Odd sizes, one of everything, sizes about those of vectors and groups, many experts, zeros.
  const ProductShape shapes[] = {
      {1, 1, 1, 1},   {3, 5, 2, 7},   {2, 3, 1, 16},  {1, 2, 9, 64},   {7, 2, 31, 17},
      {8, 2, 32, 33}, {9, 1, 33, 15}, {40, 2, 65, 5}, {33, 1, 7, 100}, {3, 1, 1000, 3},
      {70, 1, 3, 2},  {4, 3, 8, 1},   {0, 2, 3, 4},   {2, 0, 3, 4},    {2, 2, 0, 4},
      {2, 2, 3, 0},   {0, 0, 0, 0}};
  for (const ProductShape& shape : shapes) {
    for (int64_t samples : {0, 1, 3}) {
      Problem<T, M> p(shape, samples);
      p.Fill(7 + samples);
      const std::string what = std::to_string(shape.terms) + " terms, " +
                               std::to_string(shape.batch) + " examples, " +
                               std::to_string(shape.experts) + " experts, " +
                               std::to_string(shape.latent) + " latents";
      CheckProduct(p, what.c_str());
      CheckGradient(p, samples > 0, what.c_str());
    }
  }
}

template <typename T>
void TestAllMaskedIsThePrior() {
  Problem<T, bool> p({3, 2, 5, 19}, 2);
  p.Fill(1, 0.0);
  p.RunSample(0, 2);
  p.RunGradient(true, 0, 2);
  for (T value : p.product_loc) CHECK_THAT(value == 0, "loc %g", double(value));
  for (T value : p.product_log_variance) CHECK_THAT(value == 0, "log_variance %g", double(value));
  for (T value : p.kl) CHECK_THAT(value == 0, "kl %g", double(value));
  CHECK_THAT(p.z == p.noise, "samples are not the prior's");
  for (T value : p.loc_gradient) CHECK_THAT(value == 0, "gradient %g", double(value));
  for (T value : p.log_variance_gradient) CHECK_THAT(value == 0, "gradient %g", double(value));
}

// NaN in an expert reaches only the terms that contain it, and no derivative of others.
template <typename T>
void TestGarbageStaysOut() {
  for (double garbage : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    Problem<T, float> clean({6, 3, 5, 18}, 1), spoilt({6, 3, 5, 18}, 1);
    clean.Fill(3);
    spoilt.Fill(3);
    for (Problem<T, float>* p : {&clean, &spoilt}) {
      for (int64_t row = 0; row < p->rows(); ++row) p->mask.values[row * 5 + 2] = 0;
    }
    for (int64_t b = 0; b < 3; ++b) {
      for (int64_t l = 0; l < 18; ++l) {
        spoilt.loc[(b * 5 + 2) * 18 + l] = spoilt.log_variance[(b * 5 + 2) * 18 + l] = T(garbage);
      }
    }
    for (Problem<T, float>* p : {&clean, &spoilt}) {
      p->RunSample(0, 3);
      p->RunGradient(true, 0, 3);
    }
    CHECK_THAT(clean.product_loc == spoilt.product_loc, "loc");
    CHECK_THAT(clean.product_log_variance == spoilt.product_log_variance, "log_variance");
    CHECK_THAT(clean.z == spoilt.z && clean.kl == spoilt.kl, "samples");
    CHECK_THAT(clean.loc_gradient == spoilt.loc_gradient, "gradient");
    CHECK_THAT(clean.log_variance_gradient == spoilt.log_variance_gradient, "gradient");
  }
  // And it is seen where it counts.
  Problem<T, bool> p({2, 1, 2, 1}, 0);
  p.Fill(3);
  p.loc[0] = T(std::nan(""));
  const bool mask[] = {true, true, false, true};
  for (int i = 0; i < 4; ++i) p.mask.values[i] = mask[i];
  p.Run(0, 1);
  CHECK_THAT(std::isnan(p.product_loc[0]), "NaN is lost: %g", double(p.product_loc[0]));
  CHECK_THAT(std::isfinite(p.product_loc[1]), "NaN is spread: %g", double(p.product_loc[1]));
  p.loc[0] = 0;
  p.log_variance[0] = T(std::nan(""));
  p.Run(0, 1);
  CHECK_THAT(std::isnan(p.product_log_variance[0]), "NaN is lost");
}

template <typename T>
void TestExtremesStayFinite() {
  const double limit = tf_mvae::LogVarianceLimit<T>::value;
  const double extremes[] = {1e30, -1e30, limit, -limit, limit + 1, -limit - 1, 0};
  Problem<T, bool> p({4, 7 * 7, 2, 3}, 1);
  p.Fill(5, 1.0);
  for (int64_t b = 0; b < 49; ++b) {
    for (int64_t l = 0; l < 3; ++l) {
      p.log_variance[(b * 2) * 3 + l] = T(extremes[b % 7]);
      p.log_variance[(b * 2 + 1) * 3 + l] = T(extremes[b / 7]);
      p.loc[(b * 2) * 3 + l] *= T(1e4);
    }
  }
  CheckProduct(p, "extremes");
  p.RunGradient(true, 0, 49);
  for (std::size_t i = 0; i < p.loc.size(); ++i) {
    CHECK_THAT(std::isfinite(p.loc_gradient[i]) && std::isfinite(p.log_variance_gradient[i]),
               "gradients %g and %g", double(p.loc_gradient[i]),
               double(p.log_variance_gradient[i]));
    if (!tf_mvae::WithinLimits(p.log_variance[i])) {
      CHECK_THAT(p.log_variance_gradient[i] == 0, "a clipped one's gradient is %g",
                 double(p.log_variance_gradient[i]));
    }
  }
}

// Any division of the examples gives the same results to the bit and touches nothing else.
template <typename T>
void TestShardsAreIndependent() {
  Problem<T, bool> whole({5, 11, 6, 21}, 2), parts({5, 11, 6, 21}, 2);
  whole.Fill(11);
  parts.Fill(11);
  whole.RunSample(0, 11);
  whole.RunGradient(true, 0, 11);
  for (int64_t begin : {7, 0, 3}) {
    const int64_t end = begin == 7 ? 11 : begin == 0 ? 3 : 7;
    parts.RunSample(begin, end);
  }
  for (int64_t b = 0; b < 11; ++b) parts.RunGradient(true, b, b + 1);
  CHECK_THAT(whole.product_loc == parts.product_loc, "loc");
  CHECK_THAT(whole.product_log_variance == parts.product_log_variance, "log_variance");
  CHECK_THAT(whole.z == parts.z && whole.kl == parts.kl, "samples");
  CHECK_THAT(whole.loc_gradient == parts.loc_gradient, "gradient");
  CHECK_THAT(whole.log_variance_gradient == parts.log_variance_gradient, "gradient");

  Problem<T, bool> untouched({5, 11, 6, 21}, 2);
  untouched.Fill(11);
  untouched.RunSample(4, 5);
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t b = 0; b < 11; ++b) {
      for (int64_t l = 0; l < 21; ++l) {
        const T value = untouched.product_log_variance[(t * 11 + b) * 21 + l];
        CHECK_THAT((value != 0) == (b == 4 && value != 0), "example %d is touched", int(b));
      }
    }
  }
}

// A KL of a product that is nearly the prior keeps its digits: s^2 / 4 and more for a sum s of
// precisions, where 1 + s has lost them.
template <typename T>
void TestSmallDivergences() {
  Problem<T, bool> p({1, 1, 1, 1}, 0);
  p.Fill(0, 1.0);
  p.loc[0] = 0;
  p.log_variance[0] = T(std::is_same<T, double>::value ? 16 : 7);
  p.RunSample(0, 1);
  const double s = std::exp(-double(p.log_variance[0]));
  const double expected = 0.5 * (std::log1p(s) - s / (1 + s));
  CHECK_THAT(std::fabs(p.kl[0] / expected - 1) < (std::is_same<T, double>::value ? 1e-6 : 1e-2),
             "%g, not %g", double(p.kl[0]), expected);
  CHECK_THAT(p.kl[0] > 0, "%g", double(p.kl[0]));
}

template <typename T>
void TestAll() {
  TestShapes<T, bool>();
  TestShapes<T, float>();
  TestAllMaskedIsThePrior<T>();
  TestGarbageStaysOut<T>();
  TestExtremesStayFinite<T>();
  TestShardsAreIndependent<T>();
  TestSmallDivergences<T>();
}

}  // namespace

int main() {
  TestAll<float>();
  TestAll<double>();
  const char* wish = std::getenv("TF_MVAE_ISA");
  std::printf("instructions: %s%s%s\n", tf_mvae::InstructionSet(),
              wish == nullptr ? "" : ", asked for ", wish == nullptr ? "" : wish);
  std::printf(failures == 0 ? "all passed\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
