#include <cuda.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "emulator/driver.hpp"

extern "C" const unsigned char moesaic_silicon_begin[];

namespace moesaic::emulator {
namespace {

#define DRIVER_TEXT(name) #name
#define DRIVER_SYMBOL(name) DRIVER_TEXT(name)
// The driver's function of that name, with the type that cuda.h gives it.
#define DRIVER(name) (reinterpret_cast<decltype(&::name)>(find_function(DRIVER_SYMBOL(name))))

/// y[i] = x[i] + addend for i < n; `fail` traps.
constexpr const char* kPtx = R"(
.version 8.0
.target sm_80
.address_size 64

.global .align 4 .u32 counter = 7;

.visible .entry add(.param .u64 y, .param .u64 x, .param .u32 addend, .param .u32 n)
{
  .reg .pred %p<2>;
  .reg .b32 %r<8>;
  .reg .b64 %rd<8>;
  ld.param.u64 %rd1, [y];
  ld.param.u64 %rd2, [x];
  ld.param.u32 %r1, [addend];
  ld.param.u32 %r2, [n];
  mov.u32 %r3, %ctaid.x;
  mov.u32 %r4, %ntid.x;
  mov.u32 %r5, %tid.x;
  mad.lo.s32 %r6, %r3, %r4, %r5;
  setp.ge.u32 %p1, %r6, %r2;
  @%p1 bra $done;
  mul.wide.u32 %rd3, %r6, 4;
  add.s64 %rd4, %rd2, %rd3;
  add.s64 %rd5, %rd1, %rd3;
  ld.global.u32 %r7, [%rd4];
  add.s32 %r7, %r7, %r1;
  st.global.u32 [%rd5], %r7;
$done:
  ret;
}

.visible .entry fail()
{
  trap;
}
)";

constexpr Device with_sms(const char* card, int sms) {
  Device device = *find_device(card);
  device.sms = sms;
  return device;
}

/// A driver that shows one card, with its context current.
class EmulatedDriver : public testing::Test {
 protected:
  void SetUp() override { start("gb10"); }

  static void start(const char* card) {
    configure({.card = with_sms(card, 2), .seed = 1, .host_threads = 1});
    ASSERT_EQ(DRIVER(cuInit)(0), CUDA_SUCCESS);
    CUdevice device = -1;
    ASSERT_EQ(DRIVER(cuDeviceGet)(&device, 0), CUDA_SUCCESS);
    CUcontext context = nullptr;
    ASSERT_EQ(DRIVER(cuDevicePrimaryCtxRetain)(&context, device), CUDA_SUCCESS);
    ASSERT_EQ(DRIVER(cuCtxSetCurrent)(context), CUDA_SUCCESS);
  }

  static CUmodule load(const void* image) {
    CUmodule module = nullptr;
    EXPECT_EQ(DRIVER(cuModuleLoadData)(&module, image), CUDA_SUCCESS) << last_fault();
    return module;
  }

  static CUfunction function(CUmodule module, const char* name) {
    CUfunction found = nullptr;
    EXPECT_EQ(DRIVER(cuModuleGetFunction)(&found, module, name), CUDA_SUCCESS) << last_fault();
    return found;
  }

  static CUdeviceptr upload(const std::vector<std::uint32_t>& values) {
    CUdeviceptr address = 0;
    EXPECT_EQ(DRIVER(cuMemAlloc)(&address, values.size() * 4), CUDA_SUCCESS);
    EXPECT_EQ(DRIVER(cuMemcpyHtoD)(address, values.data(), values.size() * 4), CUDA_SUCCESS);
    return address;
  }

  static std::vector<std::uint32_t> download(CUdeviceptr address, std::size_t count) {
    std::vector<std::uint32_t> values(count);
    EXPECT_EQ(DRIVER(cuMemcpyDtoH)(values.data(), address, count * 4), CUDA_SUCCESS);
    return values;
  }
};

TEST(EmulatedDriverStart, NeedsInit) {
  configure({.card = with_sms("h200", 1)});
  int count = 0;
  EXPECT_EQ(DRIVER(cuDeviceGetCount)(&count), CUDA_ERROR_NOT_INITIALIZED);
  EXPECT_EQ(DRIVER(cuInit)(0), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuDeviceGetCount)(&count), CUDA_SUCCESS);
  EXPECT_EQ(count, 1);
  CUdeviceptr address = 0;
  EXPECT_EQ(DRIVER(cuMemAlloc)(&address, 16), CUDA_ERROR_INVALID_CONTEXT);
  CUdevice device = 0;
  EXPECT_EQ(DRIVER(cuDeviceGet)(&device, 1), CUDA_ERROR_INVALID_DEVICE);
  EXPECT_EQ(find_function("cuNobody"), nullptr);
  EXPECT_EQ(find_function("cuMemAlloc"), nullptr) << "names are libcuda's, with their versions";
}

TEST_F(EmulatedDriver, ReportsTheCard) {
  for (const Device& card : kDevices) {
    configure({.card = card});
    ASSERT_EQ(DRIVER(cuInit)(0), CUDA_SUCCESS);
    const auto attribute = [](CUdevice_attribute which) {
      int value = -1;
      EXPECT_EQ(DRIVER(cuDeviceGetAttribute)(&value, which, 0), CUDA_SUCCESS);
      return value;
    };
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR), card.major);
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR), card.minor);
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT), card.sms);
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN), card.smem_per_block_bytes);
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK), 49152);
    EXPECT_EQ(attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE), 32);
    std::array<char, 100> name{};
    EXPECT_EQ(DRIVER(cuDeviceGetName)(name.data(), static_cast<int>(name.size()), 0), CUDA_SUCCESS);
    EXPECT_EQ(std::string(name.data()).find(card.full_name), 0U);
    EXPECT_NE(std::string(name.data()).find("emulated"), std::string::npos);
  }
  int version = 0;
  EXPECT_EQ(DRIVER(cuDriverGetVersion)(&version), CUDA_SUCCESS);
  EXPECT_GT(version, 13010);
}

TEST_F(EmulatedDriver, RunsPtxText) {
  const CUmodule module = load(kPtx);
  CUfunction add = function(module, "add");
  std::vector<std::uint32_t> x(1000);
  std::iota(x.begin(), x.end(), 5U);
  CUdeviceptr source = upload(x);
  CUdeviceptr target = upload(std::vector<std::uint32_t>(1000));
  std::uint32_t addend = 10;
  std::uint32_t count = 999;
  void* arguments[] = {&target, &source, &addend, &count};
  ASSERT_EQ(DRIVER(cuLaunchKernel)(add, 8, 1, 1, 128, 1, 1, 0, nullptr, arguments, nullptr), CUDA_SUCCESS)
      << last_fault();
  ASSERT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_SUCCESS) << last_fault();
  const auto y = download(target, 1000);
  for (std::uint32_t i = 0; i < 999; ++i) ASSERT_EQ(y[i], i + 15);
  EXPECT_EQ(y[999], 0U);

  // The same arguments as one buffer, through the extended launch.
  struct {
    CUdeviceptr y, x;
    std::uint32_t addend, count;
  } packed{target, source, 20, 1000};
  std::size_t bytes = sizeof packed;
  void* extra[] = {CU_LAUNCH_PARAM_BUFFER_POINTER, &packed, CU_LAUNCH_PARAM_BUFFER_SIZE, &bytes, CU_LAUNCH_PARAM_END};
  CUlaunchAttribute attribute{};
  attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  attribute.value.programmaticStreamSerializationAllowed = 1;
  CUlaunchConfig config{};
  config.gridDimX = 4;
  config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
  config.blockDimX = 256;
  config.attrs = &attribute;
  config.numAttrs = 1;
  ASSERT_EQ(DRIVER(cuLaunchKernelEx)(&config, add, nullptr, extra), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(download(target, 1000)[999], 999U + 25);

  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {2, 1, 1};
  EXPECT_EQ(DRIVER(cuLaunchKernelEx)(&config, add, nullptr, extra), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_NE(last_fault().find("cluster"), std::string::npos) << last_fault();
}

TEST_F(EmulatedDriver, CapturedStreamsBecomeGraphs) {
  CUfunction add = function(load(kPtx), "add");
  CUdeviceptr data = upload(std::vector<std::uint32_t>(64));
  std::uint32_t addend = 3;
  std::uint32_t count = 64;
  void* arguments[] = {&data, &data, &addend, &count};
  CUstream stream = nullptr;
  ASSERT_EQ(DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuStreamBeginCapture)(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(DRIVER(cuLaunchKernel)(add, 1, 1, 1, 64, 1, 1, 0, stream, arguments, nullptr), CUDA_SUCCESS);
  }
  addend = 100;  // the graph has a copy of what was given
  CUgraph graph = nullptr;
  ASSERT_EQ(DRIVER(cuStreamEndCapture)(stream, &graph), CUDA_SUCCESS);
  EXPECT_EQ(download(data, 64)[63], 0U) << "nothing runs while a stream is captured";
  CUgraphExec ready = nullptr;
  ASSERT_EQ(DRIVER(cuGraphInstantiate)(&ready, graph, 0), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuGraphDestroy)(graph), CUDA_SUCCESS);
  for (std::uint32_t launches = 1; launches <= 3; ++launches) {
    ASSERT_EQ(DRIVER(cuGraphLaunch)(ready, stream), CUDA_SUCCESS);
    ASSERT_EQ(DRIVER(cuStreamSynchronize)(stream), CUDA_SUCCESS);
    EXPECT_EQ(download(data, 64)[63], launches * 6);
  }
  EXPECT_EQ(DRIVER(cuGraphExecDestroy)(ready), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuGraphLaunch)(ready, stream), CUDA_ERROR_INVALID_HANDLE);

  ASSERT_EQ(DRIVER(cuStreamBeginCapture)(stream, CU_STREAM_CAPTURE_MODE_GLOBAL), CUDA_SUCCESS);
  CUdeviceptr more = 0;
  EXPECT_EQ(DRIVER(cuMemAlloc)(&more, 16), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(DRIVER(cuStreamEndCapture)(stream, &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST_F(EmulatedDriver, SharesMemoryWithTheHost) {
  CUfunction add = function(load(kPtx), "add");
  CUdeviceptr managed = 0;
  ASSERT_EQ(DRIVER(cuMemAllocManaged)(&managed, 256, CU_MEM_ATTACH_GLOBAL), CUDA_SUCCESS);
  auto* words = reinterpret_cast<std::uint32_t*>(managed);  // NOLINT(performance-no-int-to-ptr): the host's, too
  std::fill_n(words, 64, 5U);
  std::uint32_t addend = 2;
  std::uint32_t count = 64;
  void* arguments[] = {&managed, &managed, &addend, &count};
  ASSERT_EQ(DRIVER(cuLaunchKernel)(add, 1, 1, 1, 64, 1, 1, 0, nullptr, arguments, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(words[63], 7U);
  EXPECT_EQ(DRIVER(cuMemFreeHost)(words), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(DRIVER(cuMemFree)(managed), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuLaunchKernel)(add, 1, 1, 1, 64, 1, 1, 0, nullptr, arguments, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_F(EmulatedDriver, ChoosesThePtxOfTheCard) {
  for (const char* card : {"gb10", "rtx5090", "h200"}) {
    start(card);
    CUfunction store = function(load(moesaic_silicon_begin), "store_word");
    CUdeviceptr to = upload(std::vector<std::uint32_t>(128));
    void* arguments[] = {&to};
    ASSERT_EQ(DRIVER(cuLaunchKernel)(store, 1, 1, 1, 128, 1, 1, 0, nullptr, arguments, nullptr), CUDA_SUCCESS);
    ASSERT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_SUCCESS) << last_fault();
    EXPECT_EQ(download(to, 128)[127], 127U);
  }
  Device ampere = with_sms("h200", 1);
  ampere.major = 8;
  configure({.card = ampere});
  CUcontext context = nullptr;
  ASSERT_EQ(DRIVER(cuInit)(0), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuDevicePrimaryCtxRetain)(&context, 0), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuCtxSetCurrent)(context), CUDA_SUCCESS);
  CUmodule module = nullptr;
  EXPECT_EQ(DRIVER(cuModuleLoadData)(&module, moesaic_silicon_begin), CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_NE(last_fault().find("compute_90a, compute_120f"), std::string::npos) << last_fault();
}

TEST_F(EmulatedDriver, FaultsAreStickyAndExplained) {
  CUfunction store = function(load(moesaic_silicon_begin), "store_word");
  CUdeviceptr to = 0x10;
  void* arguments[] = {&to};
  EXPECT_EQ(DRIVER(cuLaunchKernel)(store, 1, 1, 1, 32, 1, 1, 0, nullptr, arguments, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_ERROR_ILLEGAL_ADDRESS);
  CUdeviceptr address = 0;
  EXPECT_EQ(DRIVER(cuMemAlloc)(&address, 16), CUDA_ERROR_ILLEGAL_ADDRESS);
  EXPECT_NE(last_fault().find("store_word"), std::string::npos) << last_fault();
  start("gb10");
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_SUCCESS);
  EXPECT_EQ(last_fault(), "");
}

TEST_F(EmulatedDriver, TrapIsALaunchFailure) {
  CUfunction fail = function(load(kPtx), "fail");
  EXPECT_EQ(DRIVER(cuLaunchKernel)(fail, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_ERROR_LAUNCH_FAILED);
}

TEST_F(EmulatedDriver, RefusesWhatDoesNotFit) {
  CUfunction store = function(load(moesaic_silicon_begin), "store_word");
  CUdeviceptr to = upload(std::vector<std::uint32_t>(128));
  void* arguments[] = {&to};
  const auto launch = [&](unsigned threads, unsigned shared_bytes) {
    return DRIVER(cuLaunchKernel)(store, 1, 1, 1, threads, 1, 1, shared_bytes, nullptr, arguments, nullptr);
  };
  const auto allow = [&](int bytes) {
    return DRIVER(cuFuncSetAttribute)(store, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
  };
  EXPECT_EQ(launch(129, 0), CUDA_ERROR_INVALID_VALUE) << "__launch_bounds__(128)";
  EXPECT_EQ(launch(32, 49152), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(launch(32, 49153), CUDA_ERROR_INVALID_VALUE);
  EXPECT_NE(last_fault().find("cuFuncSetAttribute"), std::string::npos) << last_fault();
  EXPECT_EQ(allow(101377), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(allow(101376), CUDA_SUCCESS);
  EXPECT_EQ(launch(32, 101376), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(launch(32, 101377), CUDA_ERROR_INVALID_VALUE);
  int blocks = -1;
  const auto occupancy = DRIVER(cuOccupancyMaxActiveBlocksPerMultiprocessor);
  EXPECT_EQ(occupancy(&blocks, store, 128, 101376), CUDA_SUCCESS);
  EXPECT_EQ(blocks, 1);
  EXPECT_EQ(occupancy(&blocks, store, 128, 50176), CUDA_SUCCESS);
  EXPECT_EQ(blocks, 2);
  EXPECT_EQ(occupancy(&blocks, store, 128, 50177), CUDA_SUCCESS);
  EXPECT_EQ(blocks, 1);
  EXPECT_EQ(occupancy(&blocks, store, 128, 0), CUDA_SUCCESS);
  EXPECT_EQ(blocks, 12) << "1536 threads on an SM";
}

TEST_F(EmulatedDriver, CooperativeLaunchesMustFitAtOnce) {
  CUfunction store = function(load(moesaic_silicon_begin), "store_word");
  CUdeviceptr to = upload(std::vector<std::uint32_t>(128));
  void* arguments[] = {&to};
  const auto launch = [&](unsigned blocks) {
    return DRIVER(cuLaunchCooperativeKernel)(store, blocks, 1, 1, 128, 1, 1, 0, nullptr, arguments);
  };
  EXPECT_EQ(launch(24), CUDA_SUCCESS) << "2 SMs of 1536 threads: " << last_fault();
  EXPECT_EQ(launch(25), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  EXPECT_NE(last_fault().find("holds 24 of them at once"), std::string::npos) << last_fault();
  CUlaunchAttribute attributes[2] = {};
  attributes[0].id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
  attributes[0].value.cooperative = 1;
  attributes[1].id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attributes[1].value.clusterDim = {1, 1, 1};
  CUlaunchConfig config{};
  config.gridDimX = 25;
  config.gridDimY = config.gridDimZ = config.blockDimY = config.blockDimZ = 1;
  config.blockDimX = 128;
  config.attrs = attributes;
  config.numAttrs = 2;
  EXPECT_EQ(DRIVER(cuLaunchKernelEx)(&config, store, arguments, nullptr), CUDA_ERROR_COOPERATIVE_LAUNCH_TOO_LARGE);
  config.gridDimX = 24;
  EXPECT_EQ(DRIVER(cuLaunchKernelEx)(&config, store, arguments, nullptr), CUDA_SUCCESS) << last_fault();
  attributes[1].value.clusterDim = {2, 1, 1};
  EXPECT_EQ(DRIVER(cuLaunchKernelEx)(&config, store, arguments, nullptr), CUDA_ERROR_NOT_SUPPORTED);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_SUCCESS);
}

TEST_F(EmulatedDriver, EncodesTensorMapsAsTheRealOneDoes) {
  CUtensorMap map;
  CUdeviceptr address = upload(std::vector<std::uint32_t>(64));
  const cuuint64_t dims[] = {64};
  const cuuint64_t strides[] = {256};
  const cuuint32_t box[] = {16};
  const cuuint32_t ones[] = {1};
  const auto encode = [&](const cuuint64_t* strides_bytes) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): an address of the card
    return DRIVER(cuTensorMapEncodeTiled)(&map, CU_TENSOR_MAP_DATA_TYPE_UINT32, 1, reinterpret_cast<void*>(address),
                                          dims, strides_bytes, box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE,
                                          CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_L2_PROMOTION_NONE,
                                          CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  };
  EXPECT_EQ(encode(strides), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(encode(nullptr), CUDA_ERROR_INVALID_VALUE) << "rank 1 has no strides, and their pointer must be there";
}

TEST_F(EmulatedDriver, StaleHandlesAreNoticed) {
  CUmodule module = load(kPtx);
  CUfunction add = function(module, "add");
  EXPECT_EQ(function(module, "add"), add);
  CUfunction none = nullptr;
  EXPECT_EQ(DRIVER(cuModuleGetFunction)(&none, module, "nobody"), CUDA_ERROR_NOT_FOUND);
  CUdeviceptr counter = 0;
  std::size_t bytes = 0;
  ASSERT_EQ(DRIVER(cuModuleGetGlobal)(&counter, &bytes, module, "counter"), CUDA_SUCCESS);
  EXPECT_EQ(bytes, 4U);
  EXPECT_EQ(download(counter, 1)[0], 7U);
  EXPECT_EQ(DRIVER(cuModuleUnload)(module), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuModuleUnload)(module), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(DRIVER(cuModuleGetFunction)(&none, module, "add"), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(DRIVER(cuLaunchKernel)(add, 1, 1, 1, 1, 1, 1, 0, nullptr, nullptr, nullptr), CUDA_ERROR_INVALID_HANDLE);
  CUcontext context = nullptr;
  ASSERT_EQ(DRIVER(cuCtxGetCurrent)(&context), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuDevicePrimaryCtxRelease)(0), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuCtxSetCurrent)(context), CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(DRIVER(cuCtxSynchronize)(), CUDA_ERROR_INVALID_CONTEXT);
}

TEST_F(EmulatedDriver, RefusesModulesThatAreNone) {
  CUmodule module = nullptr;
  EXPECT_EQ(DRIVER(cuModuleLoadData)(&module, "this is no PTX"), CUDA_ERROR_INVALID_IMAGE);
  EXPECT_NE(last_fault(), "");
  EXPECT_EQ(DRIVER(cuModuleLoadData)(&module,
                                     "\x7f"
                                     "ELF machine code"),
            CUDA_ERROR_NO_BINARY_FOR_GPU);
  EXPECT_EQ(DRIVER(cuModuleLoadData)(&module, ".version 8.8\n.target sm_90a\n"), CUDA_ERROR_INVALID_PTX);
  EXPECT_NE(last_fault().find("compute_90a"), std::string::npos) << last_fault();
}

TEST_F(EmulatedDriver, MovesMemory) {
  std::vector<std::uint32_t> values(64);
  std::iota(values.begin(), values.end(), 100U);
  const CUdeviceptr first = upload(values);
  const CUdeviceptr second = upload(std::vector<std::uint32_t>(64));
  EXPECT_EQ(DRIVER(cuMemcpyDtoD)(second, first, 256), CUDA_SUCCESS);
  EXPECT_EQ(download(second, 64), values);
  EXPECT_EQ(DRIVER(cuMemsetD8)(second, 0x5a, 8), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuMemsetD32)(second + 8, 0x01020304, 1), CUDA_SUCCESS);
  const auto after = download(second, 4);
  EXPECT_EQ(after, (std::vector<std::uint32_t>{0x5a5a5a5a, 0x5a5a5a5a, 0x01020304, 103}));
  EXPECT_EQ(DRIVER(cuMemcpyHtoD)(second, values.data(), 257), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(DRIVER(cuMemcpyDtoH)(values.data(), 16, 4), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(DRIVER(cuMemcpyDtoH)(nullptr, 0, 0), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuMemcpyHtoD)(second, nullptr, 4), CUDA_ERROR_INVALID_VALUE);
  // Memory of the card where the host's is named: an H200 takes it for what it is.
  const auto* card = reinterpret_cast<const void*>(first);  // NOLINT(performance-no-int-to-ptr): an address of the card
  EXPECT_EQ(DRIVER(cuMemcpyHtoD)(second, card, 256), CUDA_SUCCESS);
  EXPECT_EQ(download(second, 64), values);
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  EXPECT_EQ(DRIVER(cuMemGetInfo)(&free_bytes, &total_bytes), CUDA_SUCCESS);
  EXPECT_EQ(total_bytes, std::size_t{128} << 30);
  EXPECT_LE(free_bytes, total_bytes - 512);
  CUdeviceptr address = 0;
  EXPECT_EQ(DRIVER(cuMemAlloc)(&address, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(DRIVER(cuMemAlloc)(&address, total_bytes), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(DRIVER(cuMemFree)(first), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuMemFree)(first), CUDA_ERROR_INVALID_VALUE);
}

TEST_F(EmulatedDriver, StreamsAndEvents) {
  CUstream stream = nullptr;
  ASSERT_EQ(DRIVER(cuStreamCreate)(&stream, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  CUevent start_event = nullptr;
  CUevent end_event = nullptr;
  ASSERT_EQ(DRIVER(cuEventCreate)(&start_event, 0), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuEventCreate)(&end_event, 0), CUDA_SUCCESS);
  float milliseconds = -1;
  EXPECT_EQ(DRIVER(cuEventElapsedTime)(&milliseconds, start_event, end_event), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(DRIVER(cuEventRecord)(start_event, stream), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuEventRecord)(end_event, stream), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuEventSynchronize)(end_event), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuEventElapsedTime)(&milliseconds, start_event, end_event), CUDA_SUCCESS);
  EXPECT_GE(milliseconds, 0.0F);
  EXPECT_EQ(DRIVER(cuStreamSynchronize)(stream), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuStreamDestroy)(stream), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuStreamSynchronize)(stream), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(DRIVER(cuEventDestroy)(start_event), CUDA_SUCCESS);
  EXPECT_EQ(DRIVER(cuEventRecord)(start_event, nullptr), CUDA_ERROR_INVALID_HANDLE);
}

/// Appends a digit to the decimal number in `word`.
constexpr const char* kDigits = R"(
.version 8.0
.target sm_80
.address_size 64
.visible .entry digit(.param .u64 word, .param .u32 which)
{
  .reg .b32 %r<4>; .reg .b64 %rd<2>;
  ld.param.u64 %rd1, [word]; ld.param.u32 %r1, [which];
  ld.global.u32 %r2, [%rd1]; mad.lo.u32 %r2, %r2, 10, %r1; st.global.u32 [%rd1], %r2;
  ret;
}
)";

TEST_F(EmulatedDriver, StreamsOrderLaunches) {
  CUfunction digit = function(load(kDigits), "digit");
  CUdeviceptr word = upload({0});
  const auto launch = [&](CUstream stream, std::uint32_t which) {
    void* arguments[] = {&word, &which};
    ASSERT_EQ(DRIVER(cuLaunchKernel)(digit, 1, 1, 1, 1, 1, 1, 0, stream, arguments, nullptr), CUDA_SUCCESS);
  };
  CUstream first = nullptr;
  CUstream second = nullptr;
  CUevent event = nullptr;
  ASSERT_EQ(DRIVER(cuStreamCreate)(&first, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuStreamCreate)(&second, CU_STREAM_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuEventCreate)(&event, 0), CUDA_SUCCESS);
  launch(first, 1);
  ASSERT_EQ(DRIVER(cuEventRecord)(event, first), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuStreamWaitEvent)(second, event, 0), CUDA_SUCCESS);
  launch(second, 2);
  launch(nullptr, 3);  // the default stream waits for blocking streams...
  launch(second, 4);   // ...and they for it
  ASSERT_EQ(DRIVER(cuEventRecord)(event, nullptr), CUDA_SUCCESS);
  ASSERT_EQ(DRIVER(cuStreamWaitEvent)(first, event, 0), CUDA_SUCCESS);
  launch(first, 5);
  EXPECT_EQ(DRIVER(cuStreamSynchronize)(first), CUDA_SUCCESS) << last_fault();
  EXPECT_EQ(DRIVER(cuEventQuery)(event), CUDA_SUCCESS);
  EXPECT_EQ(download(word, 1)[0], 12345U);
  EXPECT_EQ(DRIVER(cuStreamWaitEvent)(first, nullptr, 0), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(EmulatedDriver, KnowsRegistersFromTheMachineCode) {
  int registers = 0;
  CUfunction store = function(load(moesaic_silicon_begin), "store_word");
  EXPECT_EQ(DRIVER(cuFuncGetAttribute)(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, store), CUDA_SUCCESS) << last_fault();
  EXPECT_GE(registers, 4);
  EXPECT_LE(registers, 32);
  EXPECT_NE(DRIVER(cuFuncGetAttribute)(&registers, CU_FUNC_ATTRIBUTE_NUM_REGS, function(load(kPtx), "add")),
            CUDA_SUCCESS);
  EXPECT_NE(last_fault().find("registers of add are not known"), std::string::npos) << last_fault();
}

TEST_F(EmulatedDriver, NamesErrors) {
  const char* text = nullptr;
  EXPECT_EQ(DRIVER(cuGetErrorName)(CUDA_ERROR_ILLEGAL_ADDRESS, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "CUDA_ERROR_ILLEGAL_ADDRESS");
  EXPECT_EQ(DRIVER(cuGetErrorString)(CUDA_ERROR_INVALID_VALUE, &text), CUDA_SUCCESS);
  EXPECT_STREQ(text, "invalid argument");
}

}  // namespace
}  // namespace moesaic::emulator
