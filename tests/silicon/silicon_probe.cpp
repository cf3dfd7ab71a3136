#include "silicon/silicon_probe.hpp"

#include <array>

#include "silicon/operands.hpp"
#include "spec/error.hpp"

extern "C" const unsigned char moesaic_silicon_begin[];

namespace moesaic::silicon {
namespace {

using Words = std::vector<std::uint32_t>;

void append(Words& to, const Words& words) {
  to.insert(to.end(), words.begin(), words.end());
}

std::string error_name(const device::Driver& driver, CUresult code) {
  const char* name = nullptr;
  if (driver.cuGetErrorName(code, &name) != CUDA_SUCCESS || name == nullptr) return std::to_string(code);
  return name;
}

/// Device 0 with the kernels loaded.
class Card {
 public:
  explicit Card(const device::Driver& driver) : driver_(driver) {
    check(driver.cuInit(0), "cuInit");
    check(driver.cuDeviceGet(&device_, 0), "cuDeviceGet");
    check(driver.cuDevicePrimaryCtxRetain(&context_, device_), "cuDevicePrimaryCtxRetain");
    check(driver.cuCtxSetCurrent(context_), "cuCtxSetCurrent");
    check(driver.cuModuleLoadData(&module_, moesaic_silicon_begin), "cuModuleLoadData");
  }

  ~Card() { static_cast<void>(driver_.cuDevicePrimaryCtxRelease(device_)); }
  Card(const Card&) = delete;
  Card& operator=(const Card&) = delete;

  void check(CUresult code, const std::string& what) const {
    if (code == CUDA_SUCCESS) return;
    throw Error(what + ": " + error_name(driver_, code) + " " + driver_.last_fault());
  }

  CUfunction kernel(const char* name) const {
    CUfunction function = nullptr;
    check(driver_.cuModuleGetFunction(&function, module_, name), name);
    return function;
  }

  /// Memory that holds the values. It lives as long as the context.
  template <typename T>
  CUdeviceptr upload(const std::vector<T>& values) const {
    CUdeviceptr address = 0;
    check(driver_.cuMemAlloc(&address, values.size() * sizeof(T)), "cuMemAlloc");
    check(driver_.cuMemcpyHtoD(address, values.data(), values.size() * sizeof(T)), "cuMemcpyHtoD");
    return address;
  }

  Words download(CUdeviceptr address, std::size_t words) const {
    Words values(words);
    check(driver_.cuMemcpyDtoH(values.data(), address, words * 4), "cuMemcpyDtoH");
    return values;
  }

  /// Runs one warp for each block, to the end.
  template <typename... Arguments>
  void run(const char* name, std::size_t blocks, const Arguments&... arguments) const {
    void* pointers[] = {const_cast<Arguments*>(&arguments)...};  // NOLINT: the driver only reads them
    check(driver_.cuLaunchKernel(kernel(name), static_cast<unsigned>(blocks), 1, 1, 32, 1, 1, 0, nullptr, pointers,
                                 nullptr),
          name);
    check(driver_.cuCtxSynchronize(), name);
  }

  const device::Driver& driver() const { return driver_; }
  CUmodule module() const { return module_; }

 private:
  const device::Driver& driver_;
  CUdevice device_ = 0;
  CUcontext context_ = nullptr;
  CUmodule module_ = nullptr;
};

Section multiply(const Card& card, const char* kernel, const Products& products) {
  const CUdeviceptr d = card.upload(Words(products.c.size()));
  card.run(kernel, products.cases, card.upload(products.a), card.upload(products.b), card.upload(products.c), d);
  return {kernel, card.download(d, products.c.size())};
}

Section encode(const Card& card) {
  Random random(5);
  const std::vector<float> values = floats_near_e4m3(random, 8192);
  const CUdeviceptr codes = card.upload(Words(values.size() / 4));
  card.run("encode_e4m3", values.size() / 64, card.upload(values), codes);
  return {"encode_e4m3", card.download(codes, values.size() / 4)};
}

Section decode(const Card& card) {
  std::vector<std::uint16_t> codes;
  for (unsigned code = 0; code < 256; ++code) codes.push_back(static_cast<std::uint16_t>(code | (255 - code) << 8));
  const CUdeviceptr halves = card.upload(Words(codes.size()));
  card.run("decode_e4m3", codes.size() / 32, card.upload(codes), halves);
  return {"decode_e4m3", card.download(halves, codes.size())};
}

Section load_matrices(const Card& card) {
  constexpr std::size_t kCases = 8;
  Random random(6);
  Words contents(kCases * 256);
  for (std::uint32_t& word : contents) word = static_cast<std::uint32_t>(random.next());
  Words rows(kCases * 32);
  for (std::uint32_t& row : rows) row = random.below(64);
  const CUdeviceptr out = card.upload(Words(kCases * 32 * 14));
  card.run("load_matrices", kCases, card.upload(contents), card.upload(rows), out);
  return {"load_matrices", card.download(out, kCases * 32 * 14)};
}

/// One tensor copy: a map over bytes that all differ from their neighbours, and where its box starts.
struct BoxCase {
  CUtensorMapDataType type;
  std::vector<std::uint64_t> dims;
  std::vector<std::uint64_t> strides_bytes;
  std::vector<std::uint32_t> box;
  std::vector<std::uint32_t> element_strides;
  CUtensorMapSwizzle swizzle;
  CUtensorMapFloatOOBfill fill;
  std::array<int, 3> start;
  std::uint32_t expected_bytes;
  std::uint32_t shared_bytes;  ///< how much of shared memory to look at; at most 4096
};

std::vector<BoxCase> box_cases() {
  const auto u8 = CU_TENSOR_MAP_DATA_TYPE_UINT8;
  const auto f16 = CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  const auto f32 = CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
  const auto bf16 = CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  const auto none = CU_TENSOR_MAP_SWIZZLE_NONE;
  const auto s32 = CU_TENSOR_MAP_SWIZZLE_32B;
  const auto s64 = CU_TENSOR_MAP_SWIZZLE_64B;
  const auto s128 = CU_TENSOR_MAP_SWIZZLE_128B;
  const auto zero = CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE;
  const auto nan = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
  return {
      // Inside, past the last row, past the last column (also within 16 bytes), before the first of both. A box starts
      // at
      // a multiple of 16 bytes: from elsewhere (x = 7, -19 and 680 were tried) an H200 ends the kernel with
      // CUDA_ERROR_ILLEGAL_INSTRUCTION.
      {u8, {704, 40}, {704}, {128, 16}, {1, 1}, s128, zero, {256, 8, 0}, 2048, 2048},
      {u8, {704, 40}, {704}, {128, 16}, {1, 1}, s128, zero, {0, 32, 0}, 2048, 2048},
      {u8, {704, 40}, {704}, {128, 16}, {1, 1}, s128, zero, {640, 32, 0}, 2048, 2048},
      {u8, {200, 40}, {208}, {128, 8}, {1, 1}, s128, zero, {128, 36, 0}, 1024, 1024},
      {u8, {200, 40}, {208}, {128, 8}, {1, 1}, s128, zero, {-16, -3, 0}, 1024, 1024},
      {u8, {200, 40}, {208}, {128, 8}, {1, 1}, s128, zero, {16, 3, 0}, 1024, 1024},
      {u8, {200, 40}, {208}, {128, 8}, {1, 1}, s128, zero, {0, 40, 0}, 1024, 1024},
      // Narrower swizzles, and rows narrower than their swizzle.
      {u8, {704, 40}, {704}, {64, 16}, {1, 1}, s64, zero, {672, 30, 0}, 1024, 1024},
      {u8, {704, 40}, {704}, {32, 16}, {1, 1}, s32, zero, {32, 30, 0}, 512, 512},
      {u8, {704, 40}, {704}, {48, 16}, {1, 1}, none, zero, {672, 30, 0}, 768, 768},
      {u8, {704, 40}, {704}, {64, 16}, {1, 1}, s128, zero, {672, 30, 0}, 1024, 2048},
      {u8, {704, 40}, {704}, {16, 16}, {1, 1}, s128, zero, {0, 0, 0}, 256, 2048},
      {u8, {704, 40}, {704}, {32, 16}, {1, 1}, s64, zero, {0, 0, 0}, 512, 1024},
      // NaN outside; every second row.
      {f16, {100, 40}, {208}, {64, 8}, {1, 1}, s128, nan, {80, 36, 0}, 1024, 1024},
      {bf16, {100, 40}, {208}, {64, 8}, {1, 1}, s128, nan, {80, 36, 0}, 1024, 1024},
      {f32, {50, 40}, {208}, {32, 8}, {1, 1}, s128, nan, {40, 36, 0}, 1024, 1024},
      {u8, {704, 40}, {704}, {128, 16}, {1, 2}, s128, zero, {64, 30, 0}, 1024, 1024},
      // {K, N, E}: a box that leaves its expert, one that ends at the tensor's end, one before it.
      {u8, {704, 20, 3}, {704, 704 * 20}, {128, 16, 1}, {1, 1, 1}, s128, zero, {640, 12, 1}, 2048, 2048},
      {u8, {704, 20, 3}, {704, 704 * 20}, {128, 8, 2}, {1, 1, 1}, s128, zero, {0, 16, 2}, 2048, 2048},
      {u8, {704, 20, 3}, {704, 704 * 20}, {128, 8, 2}, {1, 1, 1}, s128, zero, {128, -2, -1}, 2048, 2048},
  };
}

Section copy_boxes(const Card& card) {
  Random random(7);
  Words tensor(704 * 20 * 3 / 4);
  for (std::uint32_t& word : tensor) word = static_cast<std::uint32_t>(random.next());
  const CUdeviceptr address = card.upload(tensor);
  Section section{"copy_boxes", {}};
  for (const BoxCase& one : box_cases()) {
    CUtensorMap map{};
    card.check(card.driver().cuTensorMapEncodeTiled(
                   &map, one.type, static_cast<cuuint32_t>(one.dims.size()),
                   reinterpret_cast<void*>(address),  // NOLINT(performance-no-int-to-ptr): an address of the card
                   one.dims.data(), one.strides_bytes.data(), one.box.data(), one.element_strides.data(),
                   CU_TENSOR_MAP_INTERLEAVE_NONE, one.swizzle, CU_TENSOR_MAP_L2_PROMOTION_NONE, one.fill),
               "cuTensorMapEncodeTiled");
    const std::uint32_t words = one.shared_bytes / 4;
    const CUdeviceptr out = card.upload(Words(1 + words));
    const auto [x, y, z] = one.start;
    if (one.dims.size() == 3) {
      card.run("copy_box_3d", 1, map, x, y, z, one.expected_bytes, words, out);
    } else {
      card.run("copy_box_2d", 1, map, x, y, one.expected_bytes, words, out);
    }
    append(section.words, card.download(out, 1 + words));
  }
  return section;
}

/// Calls that are wrong, and right ones beside them; a line for each.
class WrongCalls {
 public:
  explicit WrongCalls(const Card& card) : card_(card), driver_(card.driver()), store_(card.kernel("store_word")) {
    to_ = card.upload(Words(256));
  }

  void launches() {
    tell("launch of no block", launch(0, 32, 0));
    tell("launch of no thread", launch(1, 0, 0));
    tell("launch of 2048 threads", launch(1, 2048, 0));
    tell("launch of 256 threads where the bound is 128", launch(1, 256, 0));
    tell("launch with 49152 bytes of shared memory", launch(1, 32, 49152));
    tell("launch with 49153 bytes of shared memory", launch(1, 32, 49153));
    tell("allowing 232449 bytes of shared memory", allow(232449));
    tell("allowing 232448 bytes of shared memory", allow(232448));
    tell("launch with 232448 bytes of shared memory", launch(1, 32, 232448));
    tell("launch with 232449 bytes of shared memory", launch(1, 32, 232449));
    tell("launch without arguments", driver_.cuLaunchKernel(store_, 1, 1, 1, 32, 1, 1, 0, nullptr, nullptr, nullptr));
  }

  void modules() {
    tell("text that is no PTX", load("no PTX"));
    tell("PTX of another family",
         load(".version 8.8\n.target sm_120f\n.address_size 64\n.visible .entry k() { ret; }"));
    tell("PTX of a later card", load(".version 8.7\n.target sm_120\n.address_size 64\n.visible .entry k() { ret; }"));
    tell("PTX of an earlier card", load(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry k() { ret; }"));
    CUfunction none = nullptr;
    tell("a kernel that is not there", driver_.cuModuleGetFunction(&none, card_.module(), "nobody"));
  }

  void memory() {
    CUdeviceptr memory = 0;
    tell("allocation of 0 bytes", driver_.cuMemAlloc(&memory, 0));
    tell("allocation of 2^46 bytes", driver_.cuMemAlloc(&memory, std::size_t{1} << 46));
    tell("free of null", driver_.cuMemFree(0));
    tell("free of what was never allocated", driver_.cuMemFree(16));
    std::uint32_t word = 0;
    tell("copy from address 16", driver_.cuMemcpyDtoH(&word, 16, 4));
    tell("copy of 0 bytes from null", driver_.cuMemcpyDtoH(&word, 0, 0));
  }

  void tensor_maps() {
    constexpr std::uint64_t k32 = std::uint64_t{1} << 32;
    constexpr std::uint64_t k40 = std::uint64_t{1} << 40;
    tell("tensor map that is right", encode(to_, 256, 256, 128));
    tell("tensor map at null", encode(0, 256, 256, 128));
    tell("tensor map at 8", encode(to_ + 8, 256, 256, 128));
    tell("tensor map with stride 0", encode(to_, 256, 0, 128));
    tell("tensor map with stride 128 for rows of 256", encode(to_, 256, 128, 128));
    tell("tensor map with stride 264", encode(to_, 256, 264, 128));
    tell("tensor map with stride 2^40", encode(to_, 256, k40, 128));
    tell("tensor map with stride 2^40 - 16", encode(to_, 256, k40 - 16, 128));
    tell("tensor map of dimension 0", encode(to_, 0, 256, 128));
    tell("tensor map of dimension 2^32", encode(to_, k32, k32, 128));
    tell("tensor map of dimension 2^32 + 1", encode(to_, k32 + 1, 2 * k32, 128));
    tell("tensor map with a box of 120 bytes", encode(to_, 256, 256, 120));
    tell("tensor map with a box wider than its swizzle", encode(to_, 256, 256, 144));
    tell("tensor map with no box", encode(to_, 256, 256, 0));
  }

  /// Makes the context unusable.
  void fault() {
    to_ = 16;
    tell("launch of a kernel that stores to address 16", launch(1, 32, 0));
    tell("synchronizing with it", driver_.cuCtxSynchronize());
    tell("synchronizing again", driver_.cuCtxSynchronize());
    CUdeviceptr memory = 0;
    tell("allocation after it", driver_.cuMemAlloc(&memory, 256));
  }

  const std::vector<std::string>& lines() const { return lines_; }

 private:
  void tell(const char* what, CUresult code) { lines_.push_back(std::string(what) + ": " + error_name(driver_, code)); }

  CUresult launch(unsigned blocks, unsigned threads, unsigned shared_bytes) {
    void* arguments[] = {&to_};
    return driver_.cuLaunchKernel(store_, blocks, 1, 1, threads, 1, 1, shared_bytes, nullptr, arguments, nullptr);
  }

  CUresult allow(int bytes) {
    return driver_.cuFuncSetAttribute(store_, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
  }

  CUresult load(const char* text) {
    CUmodule module = nullptr;
    return driver_.cuModuleLoadData(&module, text);
  }

  /// Encodes a map of [8, dim] bytes with a box of [8, box].
  CUresult encode(std::uint64_t address, std::uint64_t dim, std::uint64_t stride_bytes, std::uint32_t box) {
    const std::array<std::uint64_t, 2> dims{dim, 8};
    const std::array<std::uint32_t, 2> boxes{box, 8};
    const std::array<std::uint32_t, 2> steps{1, 1};
    CUtensorMap map{};
    return driver_.cuTensorMapEncodeTiled(
        &map, CU_TENSOR_MAP_DATA_TYPE_UINT8, 2,
        reinterpret_cast<void*>(address),  // NOLINT(performance-no-int-to-ptr): an address of the card
        dims.data(), &stride_bytes, boxes.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
        CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_NONE, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }

  const Card& card_;
  const device::Driver& driver_;
  CUfunction store_;
  CUdeviceptr to_ = 0;
  std::vector<std::string> lines_;
};

}  // namespace

std::vector<Section> run_kernels(const device::Driver& driver) {
  const Card card(driver);
  return {multiply(card, "mma_e4m3", products_e4m3()),
          multiply(card, "mma_f16", products_f16()),
          multiply(card, "mma_bf16", products_bf16()),
          multiply(card, "mma_f16_f16", products_f16_f16()),
          encode(card),
          decode(card),
          load_matrices(card),
          copy_boxes(card)};
}

std::string card_name(const device::Driver& driver) {
  const Card card(driver);
  std::array<char, 100> name{};
  card.check(driver.cuDeviceGetName(name.data(), static_cast<int>(name.size()), 0), "cuDeviceGetName");
  return name.data();
}

std::vector<std::string> run_wrong_calls(const device::Driver& driver) {
  const Card card(driver);
  WrongCalls calls(card);
  calls.launches();
  calls.modules();
  calls.memory();
  calls.tensor_maps();
  calls.fault();
  return calls.lines();
}

}  // namespace moesaic::silicon
