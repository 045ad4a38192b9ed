# The GPU's part of the library, which needs nvcc but not TensorFlow. The Makefile includes this
# file; it can also be used alone: make -f gpu.mk gpu_compile

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

# The registers and the spilled bytes of each kernel (ideally 0).
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

# The op for TensorFlow with kernels for both devices, put where the CPU's alone would be. By
# the Makefile, which has the CPU's rules. CUDA's run-time library is linked in and stays
# hidden, and before TensorFlow's, which has stand-ins of the same names.
ifneq ($(filter gpu_op,$(MAKECMDGOALS)),)
ifeq ($(OBJECTS),)
$(error gpu_op needs the Makefile: make gpu_op, without -f gpu.mk)
endif
GPU_TF := $(shell TF_CPP_MIN_LOG_LEVEL=3 $(PYTHON) tensorflow_flags.py)
ifeq ($(GPU_TF),)
$(error $(PYTHON) has no TensorFlow)
endif
endif
CUDA ?= /usr/local/cuda
GPU_TF_FLAGS = $(wordlist 2,99,$(GPU_TF))
GPU_OP_BUILD = $(GPU_BUILD)/tf$(firstword $(GPU_TF))
GPU_OP_OBJECTS = $(patsubst cc/%.cc,$(GPU_OP_BUILD)/%.o,$(wildcard cc/ops/*.cc cc/kernels/*.cc))

gpu_op: $(OUT)/libgaussian_product.tf$(firstword $(GPU_TF)).so.with_gpu

# TensorFlow's headers do not compile without warnings.
$(GPU_OP_BUILD)/%.o: cc/%.cc $(GPU_HEADERS) $(wildcard cc/kernels/*.h)
	@mkdir -p $(@D)
	$(CXX) -std=c++17 -O2 -fPIC -I. -isystem $(CUDA)/include -DGOOGLE_CUDA=1 \
	  $(filter-out -L% -l%,$(GPU_TF_FLAGS)) -c $< -o $@

.PHONY: gpu_op %.so.with_gpu
%.so.with_gpu: $(GPU_OP_OBJECTS) $(GPU_BUILD)/gaussian_product_gpu.o $(OBJECTS)
	@mkdir -p $(@D)
	$(CXX) -shared $^ $(CUDA)/lib64/libcudart_static.a -Wl,--exclude-libs,ALL \
	  $(filter -L% -l%,$(GPU_TF_FLAGS)) -lrt -ldl -lpthread -o $*.so.tmp
	mv $*.so.tmp $*.so

gpu_clean:
	rm -rf $(GPU_BUILD)
