#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

#include "emulator/cubin.hpp"
#include "emulator/driver_state.hpp"
#include "emulator/fat_binary.hpp"
#include "spec/error.hpp"

/// Modules, their kernels and variables, and what is known of a kernel.
namespace moesaic::emulator::driver {
namespace {

// Magic numbers as they lie in memory.
constexpr std::string_view kFatBinaryMagic = "\x50\xed\x55\xba";
constexpr std::string_view kWrapperMagic = "\xb1\x43\x62\x46";
constexpr std::string_view kElfMagic = "\x7f\x45\x4c\x46";

/// What nvcc puts before a registered fat binary.
struct FatBinaryWrapper {
  std::uint32_t magic;
  std::uint32_t version;
  const void* fat_binary;
  const void* file_name;
};

/// Reads no further than a zero byte, so that a short text is never overrun.
bool begins_with(const char* image, std::string_view magic) {
  return std::strncmp(image, magic.data(), magic.size()) == 0;
}

/// The number of the target of PTX text. Throws Error if it is for another card than one of this capability. Text
/// without a target passes: the parser complains about it.
int check_target(std::string_view ptx, int capability) {
  constexpr std::string_view kDirective = ".target sm_";
  const std::size_t at = ptx.find(kDirective);
  if (at == std::string_view::npos) return capability;
  FatBinaryEntry target;
  std::size_t end = at + kDirective.size();
  for (; end < ptx.size() && std::isdigit(static_cast<unsigned char>(ptx[end])) != 0; ++end) {
    target.arch = target.arch * 10 + (ptx[end] - '0');
    if (target.arch > 9999) break;
  }
  if (end < ptx.size() && (ptx[end] == 'a' || ptx[end] == 'f')) target.suffix = ptx[end];
  if (target.runs_on(capability)) return target.arch;
  throw Error(fmt::format("the PTX is for {}, this card has compute capability {}.{}", target.target(), capability / 10,
                          capability % 10));
}

using Registers = std::vector<std::pair<std::string, std::uint32_t>>;

/// `code_version`: of the machine code that a real card would run; 0: it would compile the PTX.
CUresult load_ptx(State& all, CUmodule* module, std::string_view ptx, const Registers& registers = {},
                  int code_version = 0) {
  try {
    const int capability = all.options.card.capability();
    const int version = check_target(ptx, capability);
    *module = all.modules.add({.module = &all.machine->load(ptx, registers),
                               .ptx_version = version,
                               .code_version = code_version != 0 ? code_version : capability});
    return CUDA_SUCCESS;
  } catch (const Error& error) {
    return refuse(CUDA_ERROR_INVALID_PTX, error.what());
  }
}

CUresult load_fat_binary(State& all, CUmodule* module, const void* image) {
  const std::size_t bytes = image == nullptr ? 0 : fat_binary_bytes(image);
  if (bytes == 0) return refuse(CUDA_ERROR_INVALID_IMAGE, "the wrapper points to no fat binary");
  const std::span<const std::byte> container(static_cast<const std::byte*>(image), bytes);
  std::string ptx;
  Registers registers;
  int code_version = 0;
  try {
    ptx = ptx_for(container, all.options.card.capability());
    const std::string cubin = cubin_for(container, all.options.card.capability(), &code_version);
    if (!cubin.empty()) registers = read_registers(std::as_bytes(std::span(cubin)));
  } catch (const Error& error) {
    const char* target = all.options.card.major == 12 ? "120f" : "90a";
    return refuse(CUDA_ERROR_NO_BINARY_FOR_GPU,
                  fmt::format("{} (an emulated {} runs PTX: nvcc -gencode arch=compute_{},code=[sm_{},compute_{}])",
                              error.what(), all.options.card.full_name, target, target, target));
  }
  return load_ptx(all, module, ptx, registers, code_version);
}

CUresult load(CUmodule* module, const void* image) {
  return with_context([&](State& all) {
    if (module == nullptr || image == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto* bytes = static_cast<const char*>(image);
    if (begins_with(bytes, kFatBinaryMagic)) return load_fat_binary(all, module, image);
    if (begins_with(bytes, kWrapperMagic)) {
      FatBinaryWrapper wrapper{};
      std::memcpy(&wrapper, image, sizeof wrapper);
      return load_fat_binary(all, module, wrapper.fat_binary);
    }
    if (begins_with(bytes, kElfMagic)) {
      return refuse(CUDA_ERROR_NO_BINARY_FOR_GPU, "an emulated card runs PTX, and this module is machine code");
    }
    if (std::strstr(bytes, ".version") == nullptr) {
      return refuse(CUDA_ERROR_INVALID_IMAGE, "neither a fat binary nor PTX text, which has a .version");
    }
    return load_ptx(all, module, bytes);
  });
}

CUresult load_with_options(CUmodule* module, const void* image, unsigned int, CUjit_option*, void**) {
  return load(module, image);
}

CUresult unload(CUmodule module) {
  return with_idle_card([&](State& all) {
    const LoadedModule* found = all.modules.find(module);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    all.machine->unload(*found->module);
    const auto number = reinterpret_cast<std::uintptr_t>(module);
    all.functions.remove_if([&](const Function& function) { return function.module == number; });
    all.modules.remove(module);
    return CUDA_SUCCESS;
  });
}

CUresult get_function(CUfunction* function, CUmodule module, const char* name) {
  return with_context([&](State& all) {
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const LoadedModule* found = all.modules.find(module);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const Kernel* kernel = found->module->find_kernel(name);
    if (kernel == nullptr) return refuse(CUDA_ERROR_NOT_FOUND, fmt::format("the module has no kernel {}", name));
    *function = all.functions.find_if([&](const Function& known) { return known.kernel == kernel; });
    if (*function == nullptr) {
      const int dynamic = kDefaultSharedBytes - static_cast<int>(kernel->static_shared_bytes);
      *function = all.functions.add({.module = reinterpret_cast<std::uintptr_t>(module),
                                     .kernel = kernel,
                                     .max_dynamic_shared_bytes = std::max(dynamic, 0)});
    }
    return CUDA_SUCCESS;
  });
}

CUresult get_global(CUdeviceptr* address, std::size_t* bytes, CUmodule module, const char* name) {
  return with_context([&](State& all) {
    if (name == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const LoadedModule* found = all.modules.find(module);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const Variable* variable = found->module->find_variable(name);
    if (variable == nullptr) return refuse(CUDA_ERROR_NOT_FOUND, fmt::format("the module has no variable {}", name));
    if (address != nullptr) *address = variable->address;
    if (bytes != nullptr) *bytes = variable->bytes;
    return CUDA_SUCCESS;
  });
}

CUresult set_attribute(CUfunction handle, CUfunction_attribute attribute, int value) {
  return with_context([&](State& all) {
    Function* function = all.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
      case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES: {
        const int limit =
            all.options.card.smem_per_block_bytes - static_cast<int>(function->kernel->static_shared_bytes);
        if (value < 0 || value > limit) {
          return refuse(CUDA_ERROR_INVALID_VALUE,
                        fmt::format("{} asks for {} bytes of dynamic shared memory; a block on {} can have {}",
                                    function->kernel->name, value, all.options.card.full_name, limit));
        }
        function->max_dynamic_shared_bytes = value;
        return CUDA_SUCCESS;
      }
      case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        return value >= -1 && value <= 100 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
      case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        return CUDA_SUCCESS;
      default:
        return CUDA_ERROR_INVALID_VALUE;
    }
  });
}

CUresult get_attribute(int* value, CUfunction_attribute attribute, CUfunction handle) {
  return with_context([&](State& all) {
    const Function* function = all.functions.find(handle);
    if (value == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    const Kernel& kernel = *function->kernel;
    switch (attribute) {
      case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        *value = static_cast<int>(kernel.max_threads == 0 ? kMaxBlockThreads : kernel.max_threads);
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
        *value = static_cast<int>(kernel.static_shared_bytes);
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
        *value = static_cast<int>(kernel.local_bytes);
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
        *value = function->max_dynamic_shared_bytes;
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_NUM_REGS:
        if (kernel.registers == 0) {
          return refuse(CUDA_ERROR_NOT_SUPPORTED,
                        fmt::format("the registers of {} are not known: there is no machine code beside its PTX, and "
                                    "neither .maxnreg nor .minnctapersm",
                                    kernel.name));
        }
        *value = static_cast<int>(kernel.registers);
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
      case CU_FUNC_ATTRIBUTE_PTX_VERSION: {
        // NOLINTNEXTLINE(performance-no-int-to-ptr): a handle, which is a number
        const LoadedModule* module = all.modules.find(reinterpret_cast<CUmodule>(function->module));
        *value = attribute == CU_FUNC_ATTRIBUTE_PTX_VERSION ? module->ptx_version : module->code_version;
        return CUDA_SUCCESS;
      }
      case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
      case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
      case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
      case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
      case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
      case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
      case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
      case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
        *value = 0;
        return CUDA_SUCCESS;
      case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
        *value = -1;
        return CUDA_SUCCESS;
      default:
        return refuse(CUDA_ERROR_INVALID_VALUE,
                      fmt::format("function attribute {} is not known from PTX", static_cast<int>(attribute)));
    }
  });
}

}  // namespace

std::span<const NamedFunction> module_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuModuleLoadData, load),
      MOESAIC_NAMED_FUNCTION(cuModuleLoadDataEx, load_with_options),
      MOESAIC_NAMED_FUNCTION(cuModuleUnload, unload),
      MOESAIC_NAMED_FUNCTION(cuModuleGetFunction, get_function),
      MOESAIC_NAMED_FUNCTION(cuModuleGetGlobal, get_global),
      MOESAIC_NAMED_FUNCTION(cuFuncSetAttribute, set_attribute),
      MOESAIC_NAMED_FUNCTION(cuFuncGetAttribute, get_attribute),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
