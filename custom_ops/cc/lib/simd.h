// Vectors as wide as TF_MVAE_VECTOR_BYTES, with the exponential and the logarithm that the
// product of experts needs. For gaussian_product_isa.cc alone, which is compiled once for each
// instruction set: everything here is in an unnamed namespace and calls nothing that is not,
// so that no function compiled for one instruction set is linked into another.
//
// The exponential and the logarithm are written by hand since the C library's vector versions
// are to be had only with -ffast-math, which would also forget NaN, and not on all systems.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_SIMD_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_SIMD_H_

#include <cstdint>

#include "gaussian_math.h"

namespace {

template <typename T>
struct Simd;

template <>
struct Simd<float> {
  typedef float Vector __attribute__((vector_size(TF_MVAE_VECTOR_BYTES)));
  typedef int32_t Bits __attribute__((vector_size(TF_MVAE_VECTOR_BYTES)));
  static constexpr int kLanes = TF_MVAE_VECTOR_BYTES / 4;
  static constexpr int kFraction = 23;  // bits
  static constexpr int32_t kBias = 127;
  static constexpr float kRound = 0x1.8p23f;  // added and taken away: rounds to an integer
  static constexpr float kLn2High = 0x1.62e4p-1f;
  static constexpr float kLn2Low = 0x1.7f7d1cp-20f;
  static constexpr int kExpDegree = 7;  // remainder 6e-9 on [-log 2 / 2, log 2 / 2]
  static constexpr int kLogTerms = 5;   // remainder 3e-9 on [1 / sqrt 2, sqrt 2]
};

template <>
struct Simd<double> {
  typedef double Vector __attribute__((vector_size(TF_MVAE_VECTOR_BYTES)));
  typedef int64_t Bits __attribute__((vector_size(TF_MVAE_VECTOR_BYTES)));
  static constexpr int kLanes = TF_MVAE_VECTOR_BYTES / 8;
  static constexpr int kFraction = 52;
  static constexpr int64_t kBias = 1023;
  static constexpr double kRound = 0x1.8p52;
  static constexpr double kLn2High = 0x1.62e42fefap-1;
  static constexpr double kLn2Low = 0x1.cf79abc9e3b398p-40;
  static constexpr int kExpDegree = 13;  // remainder 4e-18
  static constexpr int kLogTerms = 11;   // remainder 1e-18
};

template <typename T>
using Vector = typename Simd<T>::Vector;

template <typename T>
inline Vector<T> Broadcast(T value) {
  return value - Vector<T>{};  // value - 0 is value, also where it is -0
}

// A row's last vector may have fewer numbers than lanes. These are functions of their own, so
// that the compiler keeps a whole vector in a register.
template <typename T>
__attribute__((noinline)) Vector<T> LoadSome(const T* from, int64_t lanes) {
  T numbers[Simd<T>::kLanes] = {};
  for (int64_t lane = 0; lane < lanes; ++lane) numbers[lane] = from[lane];
  Vector<T> vector;
  __builtin_memcpy(&vector, numbers, sizeof(vector));
  return vector;
}

template <typename T>
__attribute__((noinline)) void StoreSome(Vector<T> vector, T* to, int64_t lanes) {
  T numbers[Simd<T>::kLanes];
  __builtin_memcpy(numbers, &vector, sizeof(vector));
  for (int64_t lane = 0; lane < lanes; ++lane) to[lane] = numbers[lane];
}

// The first `lanes` numbers from `from`; zeros in the other lanes.
template <typename T>
inline Vector<T> Load(const T* from, int64_t lanes) {
  if (__builtin_expect(lanes < Simd<T>::kLanes, 0)) return LoadSome<T>(from, lanes);
  Vector<T> vector;
  __builtin_memcpy(&vector, from, sizeof(vector));
  return vector;
}

template <typename T>
inline void Store(const Vector<T>& vector, T* to, int64_t lanes) {
  if (__builtin_expect(lanes < Simd<T>::kLanes, 0)) {
    StoreSome<T>(vector, to, lanes);
  } else {
    __builtin_memcpy(to, &vector, sizeof(vector));
  }
}

template <typename T>
inline T SumOfLanes(const Vector<T>& vector, int64_t lanes) {
  T numbers[Simd<T>::kLanes], sum = 0;
  __builtin_memcpy(numbers, &vector, sizeof(vector));
  for (int64_t lane = 0; lane < lanes; ++lane) sum += numbers[lane];
  return sum;
}

template <typename T>
inline Vector<T> Clamp(Vector<T> x, T limit) {  // NaN stays NaN
  const Vector<T> high = Broadcast<T>(limit), low = Broadcast<T>(-limit);
  x = x > high ? high : x;
  return x < low ? low : x;
}

// e^x for |x| <= 2 * LogVarianceLimit, to about one unit in the last place; NaN stays NaN.
template <typename T>
inline Vector<T> Exp(Vector<T> x) {
  using S = Simd<T>;
  const Vector<T> shifted = x * T(1.4426950408889634) + S::kRound;
  const Vector<T> n = shifted - S::kRound;
  const Vector<T> r = (x - n * S::kLn2High) - n * S::kLn2Low;
  // The Taylor polynomial by Horner's rule: 1 + r (1 + r / 2 (1 + r / 3 (...))).
  Vector<T> sum = Broadcast<T>(1);
#pragma GCC unroll 16
  for (int k = S::kExpDegree; k >= 1; --k) sum = T(1) + sum * (r * (T(1) / T(k)));
  // n stands in the lowest bits of `shifted`; as an exponent, it makes 2^n.
  const auto bits = ((typename S::Bits)shifted + S::kBias) << S::kFraction;
  return sum * (Vector<T>)bits;
}

// log(1 + x) for x >= 0, to about two units in the last place also where x is small; NaN
// stays NaN.
template <typename T>
inline Vector<T> Log1p(Vector<T> x) {
  using S = Simd<T>;
  using Bits = typename S::Bits;
  const Vector<T> y = T(1) + x;
  const Vector<T> lost = (x - (y - T(1))) / y;  // what 1 + x was rounded by
  // y = 2^k f with f in [1 / sqrt 2, sqrt 2); the offset is the bits of 1 / sqrt 2.
  const Bits offset = (Bits)Broadcast<T>(T(0.70710678118654752));
  const Bits k = ((Bits)y - offset) >> S::kFraction;
  const Vector<T> f = (Vector<T>)((Bits)y - (k << S::kFraction));
  const Vector<T> s = (f - T(1)) / (f + T(1));
  const Vector<T> s2 = s * s;
  // log f = 2 (s + s^3 / 3 + s^5 / 5 + ...)
  Vector<T> sum{};
#pragma GCC unroll 16
  for (int n = S::kLogTerms; n >= 1; --n) sum = (sum + T(1) / T(2 * n + 1)) * s2;
  const Vector<T> exponent = __builtin_convertvector(k, Vector<T>);
  const Vector<T> log = exponent * S::kLn2High +
                        (T(2) * s + (T(2) * s * sum + (exponent * S::kLn2Low + lost)));
  return y == y ? log : y;
}

}  // namespace

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_SIMD_H_
