#include <algorithm>
#include <numeric>
#include <span>

#include "isa/isa_case.hpp"
#include "spec/error.hpp"

namespace moesaic::isa {
namespace {

constexpr std::size_t kCasesOfModule = 16;

std::size_t output_words(const Case& one) {
  return std::accumulate(one.parts.begin(), one.parts.end(), std::size_t{0},
                         [](std::size_t sum, const Part& part) { return sum + part.words; });
}

/// The primary context of device 0.
class Context {
 public:
  explicit Context(const device::Driver& driver) : driver_(driver) {
    check(driver.cuInit(0), "cuInit");
    check(driver.cuDeviceGet(&device_, 0), "cuDeviceGet");
    open();
  }
  ~Context() { static_cast<void>(driver_.cuDevicePrimaryCtxRelease(device_)); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// A fault ends a context: the next cases get a new one.
  void reopen() {
    static_cast<void>(driver_.cuDevicePrimaryCtxRelease(device_));
    open();
  }

  void check(CUresult code, const std::string& what) const {
    if (code == CUDA_SUCCESS) return;
    const char* name = nullptr;
    if (driver_.cuGetErrorName(code, &name) != CUDA_SUCCESS || name == nullptr) name = "an unknown error";
    throw Error(what + ": " + name + " " + driver_.last_fault());
  }

  const device::Driver& driver() const { return driver_; }

 private:
  void open() {
    CUcontext context = nullptr;
    check(driver_.cuDevicePrimaryCtxRetain(&context, device_), "cuDevicePrimaryCtxRetain");
    check(driver_.cuCtxSetCurrent(context), "cuCtxSetCurrent");
  }

  const device::Driver& driver_;
  CUdevice device_ = 0;
};

/// Memory on the card.
class Memory {
 public:
  Memory(const Context& context, const Words& words, std::size_t count) : context_(context) {
    const Words zeros(count);
    context.check(context.driver().cuMemAlloc(&address_, std::max<std::size_t>(count, 1) * 4), "cuMemAlloc");
    if (count != 0) {
      context.check(context.driver().cuMemcpyHtoD(address_, words.empty() ? zeros.data() : words.data(), count * 4),
                    "cuMemcpyHtoD");
    }
  }
  ~Memory() { static_cast<void>(context_.driver().cuMemFree(address_)); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  CUdeviceptr address() const { return address_; }

 private:
  const Context& context_;
  CUdeviceptr address_ = 0;
};

CUtensorMap encode(const Context& context, const MapCase& map, CUdeviceptr buffer) {
  CUtensorMap encoded{};
  std::vector<std::uint64_t> strides = map.strides_bytes;
  strides.push_back(0);  // of a vector there are none, and yet the pointer must not be null
  context.check(
      context.driver().cuTensorMapEncodeTiled(
          &encoded, map.type, static_cast<cuuint32_t>(map.dims.size()),
          reinterpret_cast<void*>(buffer + map.offset_bytes),  // NOLINT(performance-no-int-to-ptr): of the card
          map.dims.data(), strides.data(), map.box.data(), map.element_strides.data(), map.interleave, map.swizzle,
          CU_TENSOR_MAP_L2_PROMOTION_NONE, map.fill),
      "cuTensorMapEncodeTiled");
  return encoded;
}

Words launch(const Context& context, CUmodule module, const Case& one) {
  const device::Driver& driver = context.driver();
  CUfunction kernel = nullptr;
  context.check(driver.cuModuleGetFunction(&kernel, module, one.name.c_str()), "cuModuleGetFunction");
  if (one.shared_bytes > 48 * 1024) {
    context.check(driver.cuFuncSetAttribute(kernel, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                            static_cast<int>(one.shared_bytes)),
                  "cuFuncSetAttribute");
  }
  Words words(output_words(one));
  const Memory input(context, one.input, one.input.size());
  const Memory output(context, {}, words.size());
  CUdeviceptr in = input.address();
  CUdeviceptr out = output.address();
  std::vector<CUtensorMap> maps;
  for (const MapCase& map : one.maps) maps.push_back(encode(context, map, map.over_output ? out : in));
  std::vector<void*> arguments{&in, &out};
  for (CUtensorMap& map : maps) arguments.push_back(&map);
  Words data = one.data;
  if (!data.empty()) arguments.push_back(data.data());
  context.check(driver.cuLaunchKernel(kernel, one.blocks, 1, 1, one.threads, 1, 1, one.shared_bytes, nullptr,
                                      arguments.data(), nullptr),
                "cuLaunchKernel");
  context.check(driver.cuCtxSynchronize(), "cuCtxSynchronize");
  context.check(driver.cuMemcpyDtoH(words.data(), out, words.size() * 4), "cuMemcpyDtoH");
  return words;
}

/// Runs the cases of one module; those after one that faults are left for another call. Returns how many were run.
std::size_t run_module(Context& context, const std::string& target, std::span<const Case* const> cases,
                       std::vector<Answer>& answers) {
  const std::string text = module_text(target, {cases.begin(), cases.end()});
  CUmodule module = nullptr;
  context.check(context.driver().cuModuleLoadData(&module, text.c_str()), "cuModuleLoadData");
  for (std::size_t i = 0; i < cases.size(); ++i) {
    try {
      answers.push_back({cases[i], launch(context, module, *cases[i]), {}});
    } catch (const Error& error) {
      answers.push_back({cases[i], {}, error.what()});
      context.reopen();
      return i + 1;
    }
  }
  context.check(context.driver().cuModuleUnload(module), "cuModuleUnload");
  return cases.size();
}

void run_alone(Context& context, const std::string& target, const Case* one, std::vector<Answer>& answers) {
  try {
    run_module(context, target, {&one, 1}, answers);
  } catch (const Error& error) {
    answers.push_back({one, {}, error.what()});
  }
}

}  // namespace

std::string module_text(const std::string& target, const std::vector<const Case*>& cases) {
  std::string text = ".version 9.0\n.target " + target + "\n.address_size 64\n";
  for (const Case* one : cases) {
    text += one->declarations;
    text += ".visible .entry " + one->name + "(.param .u64 in_address, .param .u64 out_address";
    for (std::size_t i = 0; i < one->maps.size(); ++i) {
      text += ", .param .align 64 .b8 map" + std::to_string(i) + "[128]";
    }
    if (!one->data.empty()) text += ", .param .align 16 .b8 data[" + std::to_string(one->data.size() * 4) + "]";
    text += one->cluster ? ")\n.explicitcluster\n.reqnctapercluster 1, 1, 1" : ")";
    text +=
        "\n{\n.reg .b64 %in, %out;\n.reg .b32 %thread, %block;\n"
        "ld.param.b64 %in, [in_address];\nld.param.b64 %out, [out_address];\n"
        "cvta.to.global.u64 %in, %in;\ncvta.to.global.u64 %out, %out;\n"
        "mov.u32 %thread, %tid.x;\nmov.u32 %block, %ctaid.x;\n"
        "mad.lo.u32 %thread, %block, " +
        std::to_string(one->threads) + ", %thread;\n";
    text += one->body;
    text += "ret;\n}\n";
  }
  return text;
}

std::vector<Answer> run_cases(const device::Driver& driver, const std::string& target, const std::vector<Case>& cases) {
  Context context(driver);
  std::vector<const Case*> all;
  all.reserve(cases.size());
  for (const Case& one : cases) all.push_back(&one);
  std::vector<Answer> answers;
  for (std::span<const Case* const> left(all); !left.empty();) {
    const std::size_t count = std::min(kCasesOfModule, left.size());
    try {
      left = left.subspan(run_module(context, target, left.first(count), answers));
    } catch (const Error&) {
      for (const Case* one : left.first(count)) run_alone(context, target, one, answers);
      left = left.subspan(count);
    }
  }
  return answers;
}

}  // namespace moesaic::isa
