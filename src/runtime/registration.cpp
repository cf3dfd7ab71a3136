#include "runtime/registration.hpp"

#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace moesaic::runtime {
namespace {

struct FatBinary {
  const void* image = nullptr;
  CUmodule module = nullptr;
};

struct Kernel {
  FatBinary* binary = nullptr;
  std::string name;
  CUfunction function = nullptr;
};

struct Variable {
  FatBinary* binary = nullptr;
  std::string name;
};

/// A __managed__ variable: the program reaches it through a pointer of its own.
struct ManagedVariable {
  FatBinary* binary = nullptr;
  std::string name;
  void** pointer = nullptr;
};

struct Registry {
  std::recursive_mutex mutex;
  std::vector<std::unique_ptr<FatBinary>> binaries;
  std::unordered_map<const void*, std::unique_ptr<Kernel>> kernels;  // by the host's function
  std::unordered_map<const void*, Kernel*> handles;                  // what is a cudaKernel_t
  std::unordered_map<const void*, Variable> variables;               // by the host's shadow
  std::vector<ManagedVariable> managed;
};

/// Never destroyed: programs unregister as late as they like.
Registry& registry() {
  static auto* const all = new Registry;
  return *all;
}

CUresult load(FatBinary& binary) {
  if (binary.module != nullptr) return CUDA_SUCCESS;
  const CUresult entered = enter_context();
  return entered != CUDA_SUCCESS ? entered : cuModuleLoadData(&binary.module, binary.image);
}

Kernel* find(Registry& all, const void* kernel) {
  if (const auto handle = all.handles.find(kernel); handle != all.handles.end()) return handle->second;
  const auto host = all.kernels.find(kernel);
  return host == all.kernels.end() ? nullptr : host->second.get();
}

}  // namespace

cudaError_t find_kernel(const void* kernel, CUfunction& function) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  Kernel* found = find(all, kernel);
  if (found == nullptr) return cudaErrorInvalidDeviceFunction;
  if (found->function == nullptr) {
    CUresult result = load(*found->binary);
    if (result == CUDA_SUCCESS) {
      result = cuModuleGetFunction(&found->function, found->binary->module, found->name.c_str());
    }
    if (result == CUDA_ERROR_NOT_FOUND) return cudaErrorInvalidDeviceFunction;
    if (result != CUDA_SUCCESS) return static_cast<cudaError_t>(result);
  }
  function = found->function;
  return cudaSuccess;
}

void* symbol_of(CUfunction function) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  for (const auto& [host, kernel] : all.kernels) {
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): a name, as the program gave it
    if (kernel->function == function) return const_cast<void*>(host);
  }
  return function;
}

cudaError_t find_variable(const void* symbol, CUdeviceptr& address, std::size_t& bytes) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  const auto found = all.variables.find(symbol);
  if (found == all.variables.end()) return cudaErrorInvalidSymbol;
  CUresult result = load(*found->second.binary);
  if (result == CUDA_SUCCESS) {
    result = cuModuleGetGlobal(&address, &bytes, found->second.binary->module, found->second.name.c_str());
  }
  return result == CUDA_ERROR_NOT_FOUND ? cudaErrorInvalidSymbol : static_cast<cudaError_t>(result);
}

}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

// What nvcc's host code calls; the headers declare it for nvcc alone (crt/host_runtime.h).
extern "C" {

/// What nvcc puts before a fat binary.
struct FatBinaryWrapper {
  int magic;
  int version;
  const void* data;
  void* names;
};

void** __cudaRegisterFatBinary(void* wrapper) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.binaries.push_back(std::make_unique<FatBinary>());
  all.binaries.back()->image = wrapper;
  return reinterpret_cast<void**>(all.binaries.back().get());
}

void __cudaRegisterFatBinaryEnd(void**) {}

void __cudaUnregisterFatBinary(void** handle) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto* const binary = reinterpret_cast<FatBinary*>(handle);
  std::erase_if(all.handles, [&](const auto& entry) { return entry.second->binary == binary; });
  std::erase_if(all.kernels, [&](const auto& entry) { return entry.second->binary == binary; });
  std::erase_if(all.variables, [&](const auto& entry) { return entry.second.binary == binary; });
  std::erase_if(all.managed, [&](const ManagedVariable& variable) { return variable.binary == binary; });
  if (binary->module != nullptr) cuModuleUnload(binary->module);
  std::erase_if(all.binaries, [&](const auto& other) { return other.get() == binary; });
}

void __cudaRegisterFunction(void** handle, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                            int*) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto kernel = std::make_unique<Kernel>();
  kernel->binary = reinterpret_cast<FatBinary*>(handle);
  kernel->name = name;
  all.handles[kernel.get()] = kernel.get();
  all.kernels[host] = std::move(kernel);
}

void __cudaRegisterVar(void** handle, char* host, char*, const char* name, int, std::size_t, int, int) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  all.variables[host] = {.binary = reinterpret_cast<FatBinary*>(handle), .name = name};
}

void __cudaRegisterManagedVar(void** handle, void** host, char*, const char* name, int, std::size_t, int, int) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto* const binary = reinterpret_cast<FatBinary*>(handle);
  all.variables[host] = {.binary = binary, .name = name};
  all.managed.push_back({.binary = binary, .name = name, .pointer = host});
}

/// Gives the program the pointers to its managed variables.
char __cudaInitModule(void** handle) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  auto* const binary = reinterpret_cast<FatBinary*>(handle);
  for (const ManagedVariable& variable : all.managed) {
    if (variable.binary != binary || load(*binary) != CUDA_SUCCESS) continue;
    CUdeviceptr address = 0;
    cuModuleGetGlobal(&address, nullptr, binary->module, variable.name.c_str());
    *variable.pointer = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): an address of the host
  }
  return 1;
}

cudaError_t __cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  Registry& all = registry();
  const std::lock_guard lock(all.mutex);
  Kernel* found = find(all, host);
  if (kernel == nullptr || found == nullptr) return finish("cudaGetKernel", cudaErrorInvalidDeviceFunction);
  *kernel = reinterpret_cast<cudaKernel_t>(found);
  return cudaSuccess;
}

cudaError_t cudaGetKernel(cudaKernel_t* kernel, const void* host) {
  return __cudaGetKernel(kernel, host);
}

cudaError_t cudaGetFuncBySymbol(cudaFunction_t* function, const void* symbol) {
  return call(__func__, [&] { return find_kernel(symbol, *function); });
}

cudaError_t cudaGetSymbolAddress(void** pointer, const void* symbol) {
  return call(__func__, [&] {
    CUdeviceptr address = 0;
    std::size_t bytes = 0;
    const cudaError_t found = find_variable(symbol, address, bytes);
    *pointer = reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): an address of the card
    return found;
  });
}

cudaError_t cudaGetSymbolSize(std::size_t* bytes, const void* symbol) {
  return call(__func__, [&] {
    CUdeviceptr address = 0;
    return find_variable(symbol, address, *bytes);
  });
}
}
