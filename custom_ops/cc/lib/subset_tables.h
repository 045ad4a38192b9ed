// Sums of subsets of rows by tables; for gaussian_product_isa.cc alone, as simd.h is.
//
// Sums over the rows that a matrix of zeros and ones chooses are a matrix product, and take far
// fewer additions than one (Arlazarov, Dinic, Kronrod and Faradzhev, 1970): for every group of
// G rows the sums of all its 2^G subsets are put in a table, and a sum adds one entry a group.
// With N sums that is (N + 2^G - G - 1) / G additions a row instead of N. It also keeps what a
// sum does not contain out of it, whatever it holds, without a branch.

#ifndef TF_MVAE_CUSTOM_OPS_CC_LIB_SUBSET_TABLES_H_
#define TF_MVAE_CUSTOM_OPS_CC_LIB_SUBSET_TABLES_H_

#include <cstdint>

#include "simd.h"

namespace {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "subsets are bytes of words");

// Groups whose tables are held at once: as many as there are bytes in a word, so that one
// comparison tells that a sum contains no row of them; their tables fill half of a
// first-level cache.
constexpr int kGroups = 8;

inline int64_t CeilOfRatio(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t Smaller(int64_t a, int64_t b) { return a < b ? a : b; }

// Asks for what will be read soon. The processor does not foresee it by itself where a row is
// read in parts. (An address beyond the end does no harm, and is never dereferenced.)
template <int to_write = 0, typename T>
inline void Prefetch(const T* here, int64_t ahead) {
  const uintptr_t address = reinterpret_cast<uintptr_t>(here) + ahead * sizeof(T);
  __builtin_prefetch(reinterpret_cast<const void*>(address), to_write);
}

template <typename T>
inline void PrefetchRow(const T* row, int64_t number) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < number; i += kLine) Prefetch(row, i);
}

// Two sums that run side by side: in the product those of precisions and of precisions times
// means, in the gradient those of their derivatives.
template <typename T>
struct Pair {
  Vector<T> first;
  Vector<T> second;
};

// Makes the table of one group: entry s is the sum of the rows whose bits are set in s. Entry
// 0 stays what Clear made it.
// (Vectors stand in variables of their own here and below: the compiler keeps those in
// registers, and structures of them in memory.)
template <int G, typename T, typename Row>
inline void MakeTable(Row row, Pair<T>* table) {
#pragma GCC unroll 4
  for (int bit = 0; bit < G; ++bit) {
    Vector<T> first, second;
    row(bit, &first, &second);
    const int size = 1 << bit;
#pragma GCC unroll 8
    for (int rest = 0; rest < size; ++rest) {
      table[size + rest].first = table[rest].first + first;
      table[size + rest].second = table[rest].second + second;
    }
  }
}

// The empty subset's sum, for all groups.
template <int G, typename T>
inline void Clear(Pair<T>* tables) {
  for (int group = 0; group < kGroups; ++group) tables[group << G] = Pair<T>{};
}

// Adds one entry of each of the first tables; `subset` has a byte a group.
template <int G, typename T>
inline void AddEntries(const Pair<T>* tables, int groups, uint64_t subset, Pair<T>* sum) {
  if (subset == 0) return;
  Vector<T> first = sum->first, second = sum->second;
  if (groups == kGroups) {
#pragma GCC unroll 8
    for (int group = 0; group < kGroups; ++group) {
      const Pair<T>* entry = tables + (group << G) + ((subset >> (8 * group)) & 0xff);
      first += entry->first;
      second += entry->second;
    }
  } else {
    for (int group = 0; group < groups; ++group) {
      const Pair<T>* entry = tables + (group << G) + ((subset >> (8 * group)) & 0xff);
      first += entry->first;
      second += entry->second;
    }
  }
  sum->first = first;
  sum->second = second;
}

// How many groups the tables of one word are for.
template <int G>
inline int GroupsOfWord(int64_t number, int64_t word) {
  const int64_t left = CeilOfRatio(number, G) - word * kGroups;
  return static_cast<int>(Smaller(left, kGroups));
}

template <typename M>
inline uint32_t IsIn(M mask) {
  return mask > M(0) ? 1 : 0;
}
template <>
inline uint32_t IsIn(bool mask) {
  return mask ? 1 : 0;
}

// Reads subsets of groups along a row of a mask: bytes, the bits of each being G neighbours.
template <int G, typename M>
inline void PackAlong(const M* mask, int64_t number, uint8_t* bytes) {
  PrefetchRow(mask + number, number);  // the next example's
  int64_t group = 0;
  for (; (group + 1) * G <= number; ++group) {
    uint32_t byte = 0;
#pragma GCC unroll 4
    for (int bit = 0; bit < G; ++bit) byte |= IsIn(mask[group * G + bit]) << bit;
    bytes[group] = byte;
  }
  if (group * G < number) {
    bytes[group] = 0;
    for (int64_t bit = 0; bit < number - group * G; ++bit) {
      bytes[group] |= IsIn(mask[group * G + bit]) << bit;
    }
  }
}

// Sets a bit of each byte where the mask is set.
template <typename M>
inline void SetBit(const M* mask, int64_t number, int bit, uint8_t* bytes) {
  PrefetchRow(mask + number, number);
  for (int64_t i = 0; i < number; ++i) bytes[i] |= IsIn(mask[i]) << bit;
}

}  // namespace

#endif  // TF_MVAE_CUSTOM_OPS_CC_LIB_SUBSET_TABLES_H_
