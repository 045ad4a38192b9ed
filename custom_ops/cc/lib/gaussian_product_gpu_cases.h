// What the GPU's product of experts is held to: plain loops in double precision and finite
// differences. `Machine` is a GPU (gaussian_product_gpu_test.cu.cc) or its emulation
// (gaussian_product_gpu_emulation_test.cc); it offers
//
//   T* New<T>(size)                    memory of its own, and Delete(memory)
//   Put(from, size, to), Get(from, size, to)
//   Product, Sample, Gradient          the functions of gaussian_product_gpu.h, and waits
//   Vary()                             changes what a result must not depend on

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_CASES_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_CASES_H_

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "gaussian_math.h"
#include "gaussian_product.h"

namespace tf_mvae {
namespace cases {

struct Report {
  int64_t checks = 0;
  int failures = 0;

  void Check(bool right, const std::string& what, double actual = 0, double expected = 0) {
    ++checks;
    if (right) return;
    if (++failures <= 40) {
      std::printf("FAILED %s: %.9g, not %.9g\n", what.c_str(), actual, expected);
    }
  }
};

// Numbers here and on the machine. Not a std::vector, which has no bools.
template <typename T, typename Machine>
class Array {
 public:
  Array(Machine& machine, int64_t size)
      : machine_(machine), size_(size), here_(new T[size]()), there_(machine.template New<T>(size)) {}
  ~Array() { machine_.Delete(there_); }
  Array(const Array&) = delete;
  Array& operator=(const Array&) = delete;

  T& operator[](int64_t i) { return here_[i]; }
  const T& operator[](int64_t i) const { return here_[i]; }
  int64_t size() const { return size_; }
  T* there() const { return there_; }
  void Put() { machine_.Put(here_.get(), size_, there_); }
  void Get() { machine_.Get(there_, size_, here_.get()); }
  void Fill(T value) {
    for (int64_t i = 0; i < size_; ++i) here_[i] = value;
  }

 private:
  Machine& machine_;
  const int64_t size_;
  const std::unique_ptr<T[]> here_;
  T* const there_;
};

template <typename T, typename M, typename Machine>
struct Problem {
  Problem(Machine& m, ProductShape s, int64_t number)
      : machine(m),
        shape(s),
        samples(number),
        rows(s.terms * s.batch),
        loc(m, s.batch * s.experts * s.latent),
        log_variance(m, loc.size()),
        mask(m, rows * s.experts),
        noise(m, number * rows * s.latent),
        product_loc(m, rows * s.latent),
        product_log_variance(m, rows * s.latent),
        z(m, noise.size()),
        kl(m, rows),
        by_loc(m, product_loc.size()),
        by_log_variance(m, product_loc.size()),
        by_z(m, z.size()),
        by_kl(m, rows),
        loc_gradient(m, loc.size()),
        log_variance_gradient(m, loc.size()) {
    name = std::to_string(s.terms) + " terms, " + std::to_string(s.batch) + " examples, " +
           std::to_string(s.experts) + " experts, " + std::to_string(s.latent) + " latents, " +
           std::to_string(number) + " samples, " + std::to_string(sizeof(T)) + "/" +
           std::to_string(sizeof(M)) + " bytes";
  }

  void Random(unsigned seed, double share = 0.5) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    std::uniform_real_distribution<double> uniform;
    for (Numbers* a : {&loc, &log_variance, &noise, &by_loc, &by_log_variance, &by_z, &by_kl}) {
      for (int64_t i = 0; i < a->size(); ++i) (*a)[i] = static_cast<T>(normal(random));
    }
    for (int64_t i = 0; i < mask.size(); ++i) mask[i] = static_cast<M>(uniform(random) < share);
  }

  bool IsIn(int64_t t, int64_t b, int64_t m) const {
    return mask[(t * shape.batch + b) * shape.experts + m] > M(0);
  }

  // Runs everything and brings the results here, with rubbish where they will be.
  void Run(bool sampled) {
    const T rubbish = static_cast<T>(777);
    for (Numbers* a : {&product_loc, &product_log_variance, &z, &kl, &loc_gradient,
                       &log_variance_gradient}) {
      a->Fill(rubbish);
      a->Put();
    }
    for (Numbers* a : {&loc, &log_variance, &noise, &by_loc, &by_log_variance, &by_z, &by_kl}) {
      a->Put();
    }
    mask.Put();
    const Experts<T, M> experts = {loc.there(), log_variance.there(), mask.there()};
    const Product<T> product = {product_loc.there(), product_log_variance.there()};
    ProductGradient<T> by_product = {by_loc.there(), by_log_variance.there()};
    if (sampled) {
      machine.Sample(shape, experts, product,
                     Samples<T>{samples, noise.there(), z.there(), kl.there()});
      by_product.samples = samples;
      by_product.noise = noise.there();
      by_product.z = by_z.there();
      by_product.kl = by_kl.there();
    } else {
      machine.Product(shape, experts, product);
    }
    machine.Gradient(shape, experts, Product<const T>{product.loc, product.log_variance},
                     by_product,
                     ExpertsGradient<T>{loc_gradient.there(), log_variance_gradient.there()});
    for (Numbers* a : {&product_loc, &product_log_variance, &z, &kl, &loc_gradient,
                       &log_variance_gradient}) {
      a->Get();
    }
  }

  using Numbers = Array<T, Machine>;
  Machine& machine;
  ProductShape shape;
  int64_t samples, rows;
  std::string name;
  Numbers loc, log_variance;
  Array<M, Machine> mask;
  Numbers noise, product_loc, product_log_variance, z, kl;
  Numbers by_loc, by_log_variance, by_z, by_kl, loc_gradient, log_variance_gradient;
};

struct Exact {
  double loc, log_variance, kl;
};

// One latent of one term, by the formula. `changed` is an expert whose numbers are moved.
template <typename P>
Exact ExactProduct(const P& p, int64_t t, int64_t b, int64_t l, int64_t changed = -1,
                   double loc_by = 0, double log_variance_by = 0) {
  using T = typename std::remove_const<typename std::remove_reference<decltype(p.loc[0])>::type>::type;
  const double limit = LogVarianceLimit<T>::value;
  double precision = 0, weighted = 0;
  for (int64_t m = 0; m < p.shape.experts; ++m) {
    if (!p.IsIn(t, b, m)) continue;
    const int64_t at = (b * p.shape.experts + m) * p.shape.latent + l;
    const double loc = double(p.loc[at]) + (m == changed ? loc_by : 0);
    const double log_variance = double(p.log_variance[at]) + (m == changed ? log_variance_by : 0);
    const double one = std::exp(-std::fmin(std::fmax(log_variance, -limit), limit));
    precision += one;
    weighted += one * loc;
  }
  Exact exact;
  exact.loc = weighted / (1 + precision);
  exact.log_variance = -std::log1p(precision);
  exact.kl = 0.5 * (std::expm1(exact.log_variance) - exact.log_variance + exact.loc * exact.loc);
  return exact;
}

// The number by which Run differentiates, as far as one latent of one example goes.
template <typename P>
double Objective(const P& p, bool sampled, int64_t b, int64_t l, int64_t changed, double loc_by,
                 double log_variance_by) {
  double total = 0;
  for (int64_t t = 0; t < p.shape.terms; ++t) {
    const Exact exact = ExactProduct(p, t, b, l, changed, loc_by, log_variance_by);
    const int64_t row = t * p.shape.batch + b, at = row * p.shape.latent + l;
    total += p.by_loc[at] * exact.loc + p.by_log_variance[at] * exact.log_variance;
    if (!sampled) continue;
    total += p.by_kl[row] * exact.kl;
    for (int64_t s = 0; s < p.samples; ++s) {
      const int64_t place = s * p.rows * p.shape.latent + at;
      total += p.by_z[place] *
               (exact.loc + std::exp(exact.log_variance / 2) * double(p.noise[place]));
    }
  }
  return total;
}

inline bool Near(double actual, double expected, double tolerance) {
  return std::fabs(actual - expected) <= tolerance * (1 + std::fabs(expected));
}

template <typename P>
void CheckValues(Report& report, const P& p, bool sampled, double tolerance) {
  for (int64_t t = 0; t < p.shape.terms; ++t) {
    for (int64_t b = 0; b < p.shape.batch; ++b) {
      const int64_t row = t * p.shape.batch + b;
      double kl = 0;
      for (int64_t l = 0; l < p.shape.latent; ++l) {
        const Exact exact = ExactProduct(p, t, b, l);
        const int64_t at = row * p.shape.latent + l;
        kl += exact.kl;
        report.Check(Near(p.product_loc[at], exact.loc, tolerance), p.name + ", loc",
                     p.product_loc[at], exact.loc);
        report.Check(Near(p.product_log_variance[at], exact.log_variance, tolerance),
                     p.name + ", log_variance", p.product_log_variance[at], exact.log_variance);
        for (int64_t s = 0; sampled && s < p.samples; ++s) {
          const int64_t place = s * p.rows * p.shape.latent + at;
          const double z = exact.loc + std::exp(exact.log_variance / 2) * double(p.noise[place]);
          report.Check(Near(p.z[place], z, tolerance), p.name + ", z", p.z[place], z);
        }
      }
      if (sampled) report.Check(Near(p.kl[row], kl, tolerance), p.name + ", kl", p.kl[row], kl);
    }
  }
}

// Central differences, for about a thousand numbers at most.
template <typename P>
void CheckGradients(Report& report, const P& p, bool sampled, double tolerance) {
  const double h = 1e-4;
  const int64_t size = p.loc.size(), step = size / 997 + 1;
  for (int64_t at = 0; at < size; at += step) {
    const int64_t l = at % p.shape.latent, row = at / p.shape.latent;
    const int64_t m = row % p.shape.experts, b = row / p.shape.experts;
    const double by_loc =
        (Objective(p, sampled, b, l, m, h, 0) - Objective(p, sampled, b, l, m, -h, 0)) / (2 * h);
    const double by_log_variance =
        (Objective(p, sampled, b, l, m, 0, h) - Objective(p, sampled, b, l, m, 0, -h)) / (2 * h);
    report.Check(Near(p.loc_gradient[at], by_loc, tolerance), p.name + ", by loc",
                 p.loc_gradient[at], by_loc);
    report.Check(Near(p.log_variance_gradient[at], by_log_variance, tolerance),
                 p.name + ", by log_variance", p.log_variance_gradient[at], by_log_variance);
  }
}

template <typename P>
void CheckSame(Report& report, const P& a, const P& b, const std::string& what) {
  const decltype(&a.loc) left[] = {&a.product_loc, &a.product_log_variance, &a.z, &a.kl,
                                   &a.loc_gradient, &a.log_variance_gradient};
  const decltype(&a.loc) right[] = {&b.product_loc, &b.product_log_variance, &b.z, &b.kl,
                                    &b.loc_gradient, &b.log_variance_gradient};
  for (int i = 0; i < 6; ++i) {
    for (int64_t k = 0; k < left[i]->size(); ++k) {
      const double x = (*left[i])[k], y = (*right[i])[k];
      report.Check(x == y, a.name + ", " + what + ", result " + std::to_string(i), x, y);
    }
  }
}

template <typename T>
constexpr double ValueTolerance() {
  return std::is_same<T, double>::value ? 1e-12 : 1e-5;
}
template <typename T>
constexpr double GradientTolerance() {
  return std::is_same<T, double>::value ? 2e-7 : 3e-5;
}

template <typename T, typename M, typename Machine>
void ShapeCases(Report& report, Machine& machine) {
  // One of everything; odd sizes; one more and one less than tiles, stages and lanes; several
  // tiles, groups of tiles, parts of the latent and examples a block; and zeros.
  const ProductShape shapes[] = {
      {1, 1, 1, 1},    {3, 5, 2, 7},    {2, 3, 1, 16},  {1, 2, 9, 64},  {7, 2, 31, 17},
      {8, 2, 32, 33},  {9, 300, 3, 1},  {16, 3, 17, 2}, {17, 1, 33, 5}, {33, 1, 7, 100},
      {22, 4, 19, 10}, {3, 1, 1000, 3}, {70, 1, 3, 2},  {150, 2, 4, 3}, {4, 3, 8, 128},
      {5, 2, 6, 129},  {3, 2, 5, 300},  {1, 70, 2, 2},  {0, 2, 3, 4},   {2, 0, 3, 4},
      {2, 2, 0, 4},    {2, 2, 3, 0},    {0, 0, 0, 0}};
  for (const ProductShape& shape : shapes) {
    for (int64_t samples : {-1, 0, 1, 3}) {  // -1: not sampled at all
      const bool sampled = samples >= 0;
      Problem<T, M, Machine> p(machine, shape, sampled ? samples : 0);
      p.Random(7 + static_cast<unsigned>(samples + 1));
      p.Run(sampled);
      CheckValues(report, p, sampled, ValueTolerance<T>());
      CheckGradients(report, p, sampled, GradientTolerance<T>());
    }
  }
}

template <typename T, typename Machine>
void NothingLeftIsThePrior(Report& report, Machine& machine) {
  Problem<T, bool, Machine> p(machine, {3, 2, 5, 19}, 2);
  p.Random(1, 0.0);
  for (int64_t i = 0; i < p.loc.size(); ++i) {
    p.loc[i] = p.log_variance[i] = std::numeric_limits<T>::quiet_NaN();
  }
  p.Run(true);
  for (const auto* a :
       {&p.product_loc, &p.product_log_variance, &p.kl, &p.loc_gradient,
        &p.log_variance_gradient}) {
    for (int64_t i = 0; i < a->size(); ++i) {
      report.Check((*a)[i] == 0, "nothing left in", (*a)[i], 0);
    }
  }
  for (int64_t i = 0; i < p.z.size(); ++i) {
    report.Check(p.z[i] == p.noise[i], "nothing left in, z", p.z[i], p.noise[i]);
  }
}

// What stands in an expert changes nothing for terms without it, though others contain it.
template <typename T, typename Machine>
void RubbishStaysOut(Report& report, Machine& machine) {
  const double infinity = std::numeric_limits<double>::infinity();
  for (double rubbish : {std::nan(""), infinity, -infinity}) {
    Problem<T, float, Machine> clean(machine, {19, 3, 5, 18}, 1), spoilt(machine, {19, 3, 5, 18}, 1);
    for (auto* p : {&clean, &spoilt}) {
      p->Random(3);
      for (int64_t row = 0; row < p->rows; ++row) p->mask[row * 5 + 2] = row % 3 == 0 ? -1.f : 0.f;
    }
    for (int64_t b = 0; b < 3; ++b) {
      for (int64_t l = 0; l < 18; ++l) {
        spoilt.loc[(b * 5 + 2) * 18 + l] = spoilt.log_variance[(b * 5 + 2) * 18 + l] = T(rubbish);
      }
    }
    clean.Run(true);
    spoilt.Run(true);
    CheckSame(report, clean, spoilt, "rubbish that no term contains");
    // Now one term of one example contains it: the others do not change.
    spoilt.mask[(4 * 3 + 1) * 5 + 2] = 1;
    spoilt.Run(true);
    for (int64_t row = 0; row < clean.rows; ++row) {
      for (int64_t l = 0; l < 18; ++l) {
        const double x = spoilt.product_loc[row * 18 + l], y = clean.product_loc[row * 18 + l];
        if (row == 4 * 3 + 1) {
          report.Check(!(x == y), "rubbish that a term contains is lost", x, y);
        } else {
          report.Check(x == y, "rubbish reaches another term", x, y);
        }
      }
    }
  }
}

template <typename T, typename Machine>
void ExtremesStayFinite(Report& report, Machine& machine) {
  const double limit = LogVarianceLimit<T>::value;
  const double extremes[] = {1e30, -1e30, limit, -limit, limit + 1, -limit - 1, 0};
  Problem<T, bool, Machine> p(machine, {4, 49, 2, 3}, 1);
  p.Random(5, 1.0);
  for (int64_t b = 0; b < 49; ++b) {
    for (int64_t l = 0; l < 3; ++l) {
      p.log_variance[b * 2 * 3 + l] = T(extremes[b % 7]);
      p.log_variance[(b * 2 + 1) * 3 + l] = T(extremes[b / 7]);
      p.loc[b * 2 * 3 + l] *= T(1e4);
    }
  }
  p.Run(true);
  CheckValues(report, p, true, ValueTolerance<T>());
  for (int64_t i = 0; i < p.loc.size(); ++i) {
    report.Check(std::isfinite(p.loc_gradient[i]), "extremes, by loc", p.loc_gradient[i]);
    report.Check(std::isfinite(p.log_variance_gradient[i]), "extremes, by log_variance",
                 p.log_variance_gradient[i]);
    if (std::fabs(double(p.log_variance[i])) > limit) {
      report.Check(p.log_variance_gradient[i] == 0, "a derivative passes the clipping",
                   p.log_variance_gradient[i]);
    }
  }
}

// The same to the bit, whatever the machine does otherwise.
template <typename T, typename Machine>
void ResultsAreRepeatable(Report& report, Machine& machine) {
  for (const ProductShape& shape : {ProductShape{22, 9, 19, 50}, ProductShape{3, 40, 2, 2},
                                    ProductShape{40, 2, 64, 260}}) {
    Problem<T, float, Machine> first(machine, shape, 2), again(machine, shape, 2);
    first.Random(11);
    again.Random(11);
    first.Run(true);
    for (int i = 0; i < 3; ++i) {
      machine.Vary();
      again.Run(true);
      CheckSame(report, again, first, "again");
    }
  }
}

// A divergence keeps its digits where the product is nearly the prior.
template <typename T, typename Machine>
void SmallDivergences(Report& report, Machine& machine) {
  const bool wide = std::is_same<T, double>::value;
  Problem<T, bool, Machine> p(machine, {1, 1, 1, 1}, 0);
  p.Random(0, 1.0);
  p.loc[0] = 0;
  p.log_variance[0] = T(wide ? 16 : 7);
  p.Run(true);
  const double s = std::exp(-double(p.log_variance[0]));
  const double expected = 0.5 * (std::log1p(s) - s / (1 + s));
  report.Check(p.kl[0] > 0 && std::fabs(p.kl[0] / expected - 1) < (wide ? 1e-6 : 1e-2),
               "a small divergence", p.kl[0], expected);
}

// Prints what failed, and returns a program's status.
template <typename Machine>
int RunAll(Machine& machine) {
  Report report;
  ShapeCases<float, bool>(report, machine);
  ShapeCases<float, float>(report, machine);
  ShapeCases<double, bool>(report, machine);
  ShapeCases<double, float>(report, machine);
  NothingLeftIsThePrior<float>(report, machine);
  NothingLeftIsThePrior<double>(report, machine);
  RubbishStaysOut<float>(report, machine);
  RubbishStaysOut<double>(report, machine);
  ExtremesStayFinite<float>(report, machine);
  ExtremesStayFinite<double>(report, machine);
  ResultsAreRepeatable<float>(report, machine);
  ResultsAreRepeatable<double>(report, machine);
  SmallDivergences<float>(report, machine);
  SmallDivergences<double>(report, machine);
  machine.Extra(report);
  std::printf("%lld checks, %d failed\n", static_cast<long long>(report.checks), report.failures);
  return report.failures == 0 && report.checks > 0 ? 0 : 1;
}

}  // namespace cases
}  // namespace tf_mvae

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_GAUSSIAN_PRODUCT_GPU_CASES_H_
