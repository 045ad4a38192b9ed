// How near the GPU's product of experts comes to the memory's speed: the bytes that must move
// (every argument read once, every result written once) over the time taken, beside a copy from
// the device to the device that moves 1 GiB. One line of JSON a measurement, with the time of
// one call after other memory was written and the time of calls in a row. Ends with status 77
// where there is no GPU.

#include <algorithm>
#include <vector>

#include "gaussian_product_gpu.h"
#include "gaussian_product_gpu_machine.h"

namespace tf_mvae {
namespace {

// Numbers about a standard normal's size, the same in every run.
__global__ void FillNumbers(float* numbers, int64_t size, unsigned seed) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step) {
    unsigned x = static_cast<unsigned>(i) * 2654435761u + seed;
    x ^= x >> 15;
    x *= 2246822519u;
    x ^= x >> 13;
    numbers[i] = static_cast<float>(x) * (4.0f / 4294967296.0f) - 2.0f;
  }
}

__global__ void FillMask(bool* mask, int64_t size, const float* numbers, int64_t period) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < size;
       i += step) {
    mask[i] = numbers[i % period] > 0;
  }
}

float* Numbers(int64_t size, unsigned seed) {
  float* numbers = NewOnGpu<float>(size);
  FillNumbers<<<1024, 256>>>(numbers, size, seed);
  CheckCuda(cudaGetLastError(), "FillNumbers");
  return numbers;
}

class Stopwatch {
 public:
  Stopwatch() : flush_(NewOnGpu<char>(kFlush)) {
    CheckCuda(cudaEventCreate(&start_), "cudaEventCreate");
    CheckCuda(cudaEventCreate(&stop_), "cudaEventCreate");
  }

  // The median milliseconds of `call`. Between calls a buffer larger than any second-level cache
  // is written, so that arguments come from memory, as the copy's do.
  template <typename Call>
  double Median(const Call& call) {
    std::vector<float> times;
    for (int i = 0; i < 5 + 41; ++i) {
      CheckCuda(cudaMemsetAsync(flush_, i, kFlush, nullptr), "cudaMemset");
      CheckCuda(cudaEventRecord(start_, nullptr), "cudaEventRecord");
      CheckCuda(call(), "the launch");
      CheckCuda(cudaEventRecord(stop_, nullptr), "cudaEventRecord");
      CheckCuda(cudaEventSynchronize(stop_), "cudaEventSynchronize");
      float milliseconds = 0;
      CheckCuda(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
      if (i >= 5) times.push_back(milliseconds);
    }
    return Middle(times);
  }

  // The same of calls with nothing between them, which may find their arguments in the cache.
  template <typename Call>
  double InARow(const Call& call) {
    constexpr int kCalls = 20;
    std::vector<float> times;
    for (int i = 0; i < 11; ++i) {
      CheckCuda(cudaEventRecord(start_, nullptr), "cudaEventRecord");
      for (int k = 0; k < kCalls; ++k) CheckCuda(call(), "the launch");
      CheckCuda(cudaEventRecord(stop_, nullptr), "cudaEventRecord");
      CheckCuda(cudaEventSynchronize(stop_), "cudaEventSynchronize");
      float milliseconds = 0;
      CheckCuda(cudaEventElapsedTime(&milliseconds, start_, stop_), "cudaEventElapsedTime");
      times.push_back(milliseconds / kCalls);
    }
    return Middle(times);
  }

 private:
  static double Middle(std::vector<float>& times) {
    std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
    return times[times.size() / 2];
  }

  static constexpr int64_t kFlush = int64_t{256} << 20;
  char* flush_;
  cudaEvent_t start_, stop_;
};

void Print(const char* what, const ProductShape& s, double bytes, double milliseconds,
           double in_a_row, double copy_speed) {
  const double speed = bytes / milliseconds / 1e6;
  std::printf(
      "{\"implementation\": \"cuda\", \"what\": \"%s\", \"terms\": %lld, \"batch\": %lld, "
      "\"experts\": %lld, \"latent\": %lld, \"milliseconds\": %.5f, "
      "\"milliseconds_in_a_row\": %.5f, \"bytes\": %.0f, "
      "\"gigabytes_a_second\": %.1f, \"share_of_copy\": %.3f}\n",
      what, static_cast<long long>(s.terms), static_cast<long long>(s.batch),
      static_cast<long long>(s.experts), static_cast<long long>(s.latent), milliseconds,
      in_a_row, bytes, speed, speed / copy_speed);
  std::fflush(stdout);
}

// Gigabytes a second, read and written counted.
double CopySpeed(Stopwatch& watch) {
  const int64_t size = int64_t{1} << 29;
  char* from = NewOnGpu<char>(size);
  char* to = NewOnGpu<char>(size);
  CheckCuda(cudaMemset(from, 1, size), "cudaMemset");
  const auto copy = [&] {
    return cudaMemcpyAsync(to, from, size, cudaMemcpyDeviceToDevice, nullptr);
  };
  const double milliseconds = watch.Median(copy), bytes = 2.0 * static_cast<double>(size);
  const double speed = bytes / milliseconds / 1e6;
  Print("copy", {0, 0, 0, 0}, bytes, milliseconds, watch.InARow(copy), speed);
  CheckCuda(cudaFree(from), "cudaFree");
  CheckCuda(cudaFree(to), "cudaFree");
  return speed;
}

void Measure(const ProductShape& s, Stopwatch& watch, double copy_speed) {
  const int64_t experts_size = s.batch * s.experts * s.latent;
  const int64_t mask_size = s.terms * s.batch * s.experts;
  const int64_t rows = s.terms * s.batch, products_size = rows * s.latent;
  float* loc = Numbers(experts_size, 1);
  float* log_variance = Numbers(experts_size, 2);
  float* noise = Numbers(products_size, 3);
  float* by_loc = Numbers(products_size, 4);
  float* by_log_variance = Numbers(products_size, 5);
  float* by_z = Numbers(products_size, 6);
  float* by_kl = Numbers(rows, 7);
  float* product_loc = Numbers(products_size, 8);
  float* product_log_variance = Numbers(products_size, 8);
  float* z = Numbers(products_size, 8);
  float* kl = Numbers(rows, 8);
  float* loc_gradient = Numbers(experts_size, 8);
  float* log_variance_gradient = Numbers(experts_size, 8);
  bool* mask = NewOnGpu<bool>(mask_size);
  FillMask<<<1024, 256>>>(mask, mask_size, loc, experts_size);
  CheckCuda(cudaGetLastError(), "FillMask");

  const Experts<float, bool> experts = {loc, log_variance, mask};
  const Product<float> product = {product_loc, product_log_variance};
  const Product<const float> read_product = {product_loc, product_log_variance};
  const ExpertsGradient<float> by_experts = {loc_gradient, log_variance_gradient};
  ProductGradient<float> by_product = {by_loc, by_log_variance};
  const double e = 4.0 * static_cast<double>(experts_size);
  const double p = 4.0 * static_cast<double>(products_size);
  const double r = 4.0 * static_cast<double>(rows);
  const double m = static_cast<double>(mask_size);

  const auto measure = [&](const char* what, double bytes, const auto& call) {
    const double milliseconds = watch.Median(call);
    Print(what, s, bytes, milliseconds, watch.InARow(call), copy_speed);
  };
  measure("forward", 2 * e + m + 2 * p,
          [&] { return GaussianProductGpu(s, experts, product, nullptr); });
  const auto backward = [&] {
    return GaussianProductGradGpu(s, experts, read_product, by_product, by_experts, nullptr);
  };
  measure("backward", 4 * e + m + 4 * p, backward);
  measure("sample", 2 * e + m + 4 * p + r, [&] {
    return GaussianProductSampleGpu(s, experts, product, Samples<float>{1, noise, z, kl}, nullptr);
  });
  by_product.samples = 1;
  by_product.noise = noise;
  by_product.z = by_z;
  by_product.kl = by_kl;
  measure("sample_backward", 4 * e + m + 6 * p + r, backward);

  for (float* memory : {loc, log_variance, noise, by_loc, by_log_variance, by_z, by_kl, product_loc,
                        product_log_variance, z, kl, loc_gradient, log_variance_gradient}) {
    CheckCuda(cudaFree(memory), "cudaFree");
  }
  CheckCuda(cudaFree(mask), "cudaFree");
}

}  // namespace
}  // namespace tf_mvae

int main() {
  tf_mvae::NeedGpu();
  cudaDeviceProp properties;
  tf_mvae::CheckCuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("device: %s\n", properties.name);
  tf_mvae::Stopwatch watch;
  const double copy_speed = tf_mvae::CopySpeed(watch);
  for (const tf_mvae::ProductShape& shape :
       {tf_mvae::ProductShape{3, 128, 2, 64}, tf_mvae::ProductShape{22, 128, 19, 100},
        tf_mvae::ProductShape{40, 1024, 64, 128}, tf_mvae::ProductShape{40, 256, 1000, 64}}) {
    tf_mvae::Measure(shape, watch, copy_speed);
  }
  return 0;
}
