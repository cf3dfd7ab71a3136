#include "programs/card.hpp"

#include <array>

#include "spec/error.hpp"

extern "C" const unsigned char moesaic_programs_begin[];  // NOLINT: an array whose end the linker knows

namespace moesaic::programs {

Card::Card(const device::Driver& driver) : driver_(driver) {
  check(driver.cuInit(0), "cuInit");
  check(driver.cuDeviceGet(&device_, 0), "cuDeviceGet");
  check(driver.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
  check(driver.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
  check(driver.cuModuleLoadData(&module_, moesaic_programs_begin), "cuModuleLoadData");
}

Card::~Card() {
  static_cast<void>(driver_.cuDevicePrimaryCtxRelease(device_));
}

void Card::check(CUresult code, const std::string& what) const {
  if (code == CUDA_SUCCESS) return;
  const char* name = nullptr;
  if (driver_.cuGetErrorName(code, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
  throw Error(what + ": " + name + " " + driver_.last_fault());
}

CUdeviceptr Card::allocate(std::size_t words) const {
  CUdeviceptr address = 0;
  check(driver_.cuMemAlloc(&address, words * sizeof(std::uint32_t)), "cuMemAlloc");
  return address;
}

CUdeviceptr Card::upload_bytes(const void* from, std::size_t bytes) const {
  CUdeviceptr address = 0;
  check(driver_.cuMemAlloc(&address, bytes), "cuMemAlloc");
  check(driver_.cuMemcpyHtoD(address, from, bytes), "cuMemcpyHtoD");
  return address;
}

Words Card::download(CUdeviceptr address, std::size_t words) const {
  Words values(words);
  check(driver_.cuMemcpyDtoH(values.data(), address, words * sizeof(std::uint32_t)), "cuMemcpyDtoH");
  return values;
}

CUtensorMap Card::tensor_map(CUtensorMapDataType type, CUdeviceptr address, std::uint64_t columns, std::uint64_t rows,
                             std::uint32_t box_columns, std::uint32_t box_rows, CUtensorMapSwizzle swizzle) const {
  const std::uint64_t element_bytes = type == CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 ? 2 : 4;
  const std::array<cuuint64_t, 2> dims{columns, rows};
  const std::array<cuuint64_t, 1> strides{columns * element_bytes};
  const std::array<cuuint32_t, 2> box{box_columns, box_rows};
  const std::array<cuuint32_t, 2> steps{1, 1};
  CUtensorMap map{};
  check(driver_.cuTensorMapEncodeTiled(&map, type, 2,
                                       reinterpret_cast<void*>(address),  // NOLINT(performance-no-int-to-ptr)
                                       dims.data(), strides.data(), box.data(), steps.data(),
                                       CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        "cuTensorMapEncodeTiled");
  return map;
}

void Card::launch_raw(const char* kernel, const Launch& how, void** arguments) const {
  CUfunction function = nullptr;
  check(driver_.cuModuleGetFunction(&function, module_, kernel), kernel);
  if (how.shared_bytes != 0) {
    check(driver_.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                     static_cast<int>(how.shared_bytes)),
          "cuFuncSetAttribute");
  }
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attribute.value.programmaticStreamSerializationAllowed = 1;
  CUlaunchConfig config{};
  config.gridDimX = how.grid_x;
  config.gridDimY = how.grid_y;
  config.gridDimZ = 1;
  config.blockDimX = how.threads;
  config.blockDimY = 1;
  config.blockDimZ = 1;
  config.sharedMemBytes = how.shared_bytes;
  config.attrs = &attribute;
  config.numAttrs = how.programmatic ? 1 : 0;
  check(driver_.cuLaunchKernelEx(&config, function, arguments, nullptr), kernel);
}

void Card::synchronize() const {
  check(driver_.cuCtxSynchronize(), "cuCtxSynchronize");
}

}  // namespace moesaic::programs
