#include "device/gpu.hpp"

#include <array>
#include <utility>

#include "spec/error.hpp"

namespace moesaic::device {

Buffer::Buffer(const Gpu& gpu, std::size_t bytes) : gpu_(&gpu), bytes_(bytes) {
  if (bytes == 0) return;
  gpu.check(gpu.driver_.cuMemAlloc(&address_, bytes), "allocating " + std::to_string(bytes) + " bytes");
}

Buffer::~Buffer() {
  // A failure here was reported by the call that caused it: device errors are sticky.
  if (address_ != 0) static_cast<void>(gpu_->driver_.cuMemFree(address_));
}

Buffer::Buffer(Buffer&& other) noexcept
    : gpu_(other.gpu_), address_(std::exchange(other.address_, 0)), bytes_(std::exchange(other.bytes_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Gpu::Gpu(const Place& place)
    : driver_(open_driver(place)), place_name_(place.name()), emulated_(place.kind == Place::Kind::emulated) {
  check(driver_.cuInit(0), "starting the driver");
  int count = 0;
  check(driver_.cuDeviceGetCount(&count), "counting the devices");
  if (place.ordinal >= count) {
    throw Error("--device " + place_name_ + ": this machine has " + std::to_string(count) + " GPUs, counted from 0");
  }
  check(driver_.cuDeviceGet(&handle_, place.ordinal), "opening the device");
  describe();
  CUcontext context = nullptr;
  check(driver_.cuDevicePrimaryCtxRetain(&context, handle_), "creating a context");
  context_ = {context, [this](CUcontext) { static_cast<void>(driver_.cuDevicePrimaryCtxRelease(handle_)); }};
  check(driver_.cuCtxSetCurrent(context), "entering the context");
}

Gpu::~Gpu() {
  for (CUmodule module : modules_) static_cast<void>(driver_.cuModuleUnload(module));
}

void Gpu::check(CUresult result, const std::string& what) const {
  if (result == CUDA_SUCCESS) return;
  const char* name = nullptr;
  const char* text = nullptr;
  if (driver_.cuGetErrorName(result, &name) != CUDA_SUCCESS || name == nullptr) name = "unknown error";
  if (driver_.cuGetErrorString(result, &text) != CUDA_SUCCESS || text == nullptr) text = "no text";
  std::string message = place_name_ + ": " + what + " failed: " + text + " (" + name + ")";
  const std::string fault = driver_.last_fault();
  if (!fault.empty()) message += "\n" + fault;
  throw Error(message);
}

int Gpu::attribute(CUdevice_attribute which) const {
  int value = 0;
  check(driver_.cuDeviceGetAttribute(&value, which, handle_), "asking for a device attribute");
  return value;
}

void Gpu::describe() {
  std::array<char, 256> name{};
  check(driver_.cuDeviceGetName(name.data(), static_cast<int>(name.size()), handle_), "asking for the device's name");
  full_name_ = name.data();
  std::size_t memory = 0;
  check(driver_.cuDeviceTotalMem(&memory, handle_), "asking for the device's memory");
  device_ = with_rates({
      .name = place_name_,
      .full_name = full_name_,
      .major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
      .minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR),
      .sms = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
      .smem_per_block_bytes = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
      .smem_per_sm_bytes = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR),
      .smem_reserved_bytes = attribute(CU_DEVICE_ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK),
      .registers_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR),
      .registers_per_block = attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK),
      .threads_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR),
      .blocks_per_sm = attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR),
      .l2_bytes = attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE),
      .memory_bytes = static_cast<std::int64_t>(memory),
      .clock_mhz = attribute(CU_DEVICE_ATTRIBUTE_CLOCK_RATE) / 1000,
      .integrated = attribute(CU_DEVICE_ATTRIBUTE_INTEGRATED) != 0,
  });
}

CUmodule Gpu::load(const void* image) {
  CUmodule module = nullptr;
  check(driver_.cuModuleLoadData(&module, image), "loading the kernels");
  modules_.push_back(module);
  return module;
}

CUfunction Gpu::function(CUmodule module, const std::string& name) const {
  CUfunction found = nullptr;
  check(driver_.cuModuleGetFunction(&found, module, name.c_str()), "finding kernel " + name);
  return found;
}

void Gpu::allow_smem(CUfunction function, std::size_t bytes) const {
  check(driver_.cuFuncSetAttribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, static_cast<int>(bytes)),
        "asking for " + std::to_string(bytes) + " bytes of shared memory");
}

int Gpu::blocks_per_sm(CUfunction function, const Grid& grid) const {
  int blocks = 0;
  check(driver_.cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, function, static_cast<int>(grid.threads),
                                                            grid.smem_bytes),
        "asking for the occupancy");
  return blocks;
}

void Gpu::launch_raw(CUfunction function, const Grid& grid, const void** arguments) const {
  auto** parameters = const_cast<void**>(arguments);  // NOLINT: the driver reads them, its type says otherwise
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attribute.value.programmaticStreamSerializationAllowed = 1;
  CUlaunchConfig config{};
  config.gridDimX = grid.blocks;
  config.gridDimY = config.gridDimZ = 1;
  config.blockDimX = grid.threads;
  config.blockDimY = config.blockDimZ = 1;
  config.sharedMemBytes = grid.smem_bytes;
  config.hStream = stream_;
  config.attrs = &attribute;
  config.numAttrs = grid.dependent ? 1 : 0;
  check(driver_.cuLaunchKernelEx(&config, function, parameters, nullptr), "launching a kernel");
}

std::string Gpu::driver_version() const {
  int version = 0;  // 1000 * major + 10 * minor
  if (driver_.cuDriverGetVersion == nullptr || driver_.cuDriverGetVersion(&version) != CUDA_SUCCESS) return {};
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void Gpu::synchronize() const {
  check(driver_.cuCtxSynchronize(), "running the kernels");
  const std::string findings = driver_.take_findings();
  if (!findings.empty()) throw Error(place_name_ + ": the kernels ran, but not as they should:\n" + findings);
}

void Gpu::copy_to(const Buffer& to, const void* from, std::size_t bytes, std::size_t offset) const {
  if (bytes != 0) check(driver_.cuMemcpyHtoD(to.address() + offset, from, bytes), "copying to the device");
}

void Gpu::copy_from(void* to, const Buffer& from, std::size_t bytes) const {
  if (bytes != 0) check(driver_.cuMemcpyDtoH(to, from.address(), bytes), "copying from the device");
}

void Gpu::fill(const Buffer& buffer, unsigned char value) const {
  if (buffer.bytes() != 0) check(driver_.cuMemsetD8(buffer.address(), value, buffer.bytes()), "filling memory");
}

CUtensorMap Gpu::tensor_map(const Buffer& buffer, std::span<const std::uint64_t> dims,
                            std::span<const std::uint32_t> box) const {
  std::array<std::uint64_t, 5> strides{};  // in bytes, of all dimensions but the first
  std::array<std::uint32_t, 5> steps{};
  steps.fill(1);
  std::uint64_t bytes = dims[0];
  for (std::size_t i = 1; i < dims.size(); ++i) {
    strides[i - 1] = bytes;
    bytes *= dims[i];
  }
  CUtensorMap map{};
  check(driver_.cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_UINT8, static_cast<cuuint32_t>(dims.size()),
                                       buffer.as<void>(), dims.data(), strides.data(), box.data(), steps.data(),
                                       CU_TENSOR_MAP_INTERLEAVE_NONE,
                                       box[0] == 64 ? CU_TENSOR_MAP_SWIZZLE_64B : CU_TENSOR_MAP_SWIZZLE_128B,
                                       CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        "encoding a tensor map");
  return map;
}

}  // namespace moesaic::device
