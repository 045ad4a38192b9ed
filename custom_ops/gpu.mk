# The GPU's half of the library: needs nvcc alone, no TensorFlow. The Makefile includes this
# file, and it works by itself too: make -f gpu.mk gpu_compile

NVCC ?= nvcc
GPU_BUILD ?= build/gpu
GPU_ARCHITECTURES ?= 80 90
GPU_CODE = $(foreach a,$(GPU_ARCHITECTURES),-gencode=arch=compute_$(a),code=sm_$(a)) \
  -gencode=arch=compute_$(lastword $(GPU_ARCHITECTURES)),code=compute_$(lastword $(GPU_ARCHITECTURES))
GPU_FLAGS = -std=c++17 -O3 $(GPU_CODE) -Werror all-warnings -Xcompiler=-Wall,-Wextra,-Werror,-fPIC
GPU_LIB = cc/lib
GPU_HEADERS = $(wildcard $(GPU_LIB)/*.h)
EMULATION_FLAGS ?= -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all

.SECONDARY:
.PHONY: gpu_compile gpu_registers gpu_test gpu_memcheck gpu_bench emulation_test gpu_clean

gpu_compile: $(GPU_BUILD)/gaussian_product_gpu.o $(GPU_BUILD)/gaussian_product_gpu_test \
  $(GPU_BUILD)/gaussian_product_gpu_bench

$(GPU_BUILD)/%.o: $(GPU_LIB)/%.cu.cc $(GPU_HEADERS)
	@mkdir -p $(@D)
	$(NVCC) $(GPU_FLAGS) -x cu -c $< -o $@

$(GPU_BUILD)/gaussian_product_gpu_%: $(GPU_BUILD)/gaussian_product_gpu_%.o \
  $(GPU_BUILD)/gaussian_product_gpu.o
	$(NVCC) $(GPU_CODE) $^ -o $@

# What each kernel takes of a multiprocessor: registers and, ideally nothing, spills.
gpu_registers:
	@$(foreach a,$(GPU_ARCHITECTURES),$(NVCC) -std=c++17 -O3 -arch=sm_$(a) --ptxas-options=-v \
	  -x cu -c $(GPU_LIB)/gaussian_product_gpu.cu.cc -o /dev/null 2>&1 | python3 gpu_registers.py;)

# Both end with status 77 where there is no GPU.
gpu_test: $(GPU_BUILD)/gaussian_product_gpu_test
	$<

gpu_bench: $(GPU_BUILD)/gaussian_product_gpu_bench
	$<

gpu_memcheck: $(GPU_BUILD)/gaussian_product_gpu_test
	compute-sanitizer --tool memcheck --error-exitcode 1 $<
	compute-sanitizer --tool racecheck --error-exitcode 1 $<
	compute-sanitizer --tool initcheck --error-exitcode 1 $<
	compute-sanitizer --tool synccheck --error-exitcode 1 $<

emulation_test: $(GPU_BUILD)/gaussian_product_gpu_emulation_test
	$<

$(GPU_BUILD)/gaussian_product_gpu_emulation_test: \
  $(GPU_LIB)/gaussian_product_gpu_emulation_test.cc $(GPU_HEADERS)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -Wall -Wextra -Werror $(EMULATION_FLAGS) $< -o $@

gpu_clean:
	rm -rf $(GPU_BUILD)
