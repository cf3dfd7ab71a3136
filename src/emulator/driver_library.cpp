#include <cuda.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "emulator/driver_state.hpp"

/// Libraries and kernels, which are modules and functions that know no context; and what is known of a function by
/// name. On one card a library is its module, and a kernel its function: they share their handles.
namespace moesaic::emulator::driver {
namespace {

CUmodule module_of(CUlibrary library) {
  return reinterpret_cast<CUmodule>(library);
}
CUfunction function_of(CUkernel kernel) {
  return reinterpret_cast<CUfunction>(kernel);
}

/// The function of that name under the type that cuda.h gives it.
template <typename Function>
Function* find(std::string_view name) {
  return reinterpret_cast<Function*>(find_function(name));
}

CUresult load(CUlibrary* library, const void* image, CUjit_option*, void**, unsigned int, CUlibraryOption*, void**,
              unsigned int) {
  if (library == nullptr) return CUDA_ERROR_INVALID_VALUE;
  return find<decltype(cuModuleLoadData)>("cuModuleLoadData")(reinterpret_cast<CUmodule*>(library), image);
}

CUresult load_file(CUlibrary* library, const char* file, CUjit_option* options, void** values, unsigned int count,
                   CUlibraryOption* library_options, void** library_values, unsigned int library_count) {
  if (file == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::ifstream stream(file, std::ios::binary);
  const std::string image{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) return CUDA_ERROR_FILE_NOT_FOUND;
  return load(library, image.c_str(), options, values, count, library_options, library_values, library_count);
}

CUresult unload(CUlibrary library) {
  return find<decltype(cuModuleUnload)>("cuModuleUnload")(module_of(library));
}

CUresult get_kernel(CUkernel* kernel, CUlibrary library, const char* name) {
  return find<decltype(cuModuleGetFunction)>("cuModuleGetFunction")(reinterpret_cast<CUfunction*>(kernel),
                                                                    module_of(library), name);
}

CUresult get_global(CUdeviceptr* address, std::size_t* bytes, CUlibrary library, const char* name) {
  return find<decltype(cuModuleGetGlobal)>("cuModuleGetGlobal_v2")(address, bytes, module_of(library), name);
}

CUresult get_module(CUmodule* module, CUlibrary library) {
  return with_context([&](State& all) {
    if (all.modules.find(module_of(library)) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *module = module_of(library);
    return CUDA_SUCCESS;
  });
}

CUresult kernel_count(unsigned int* count, CUlibrary library) {
  return with_context([&](State& all) {
    const LoadedModule* module = all.modules.find(module_of(library));
    if (module == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *count = static_cast<unsigned int>(module->module->kernels.size());
    return CUDA_SUCCESS;
  });
}

CUresult kernel_function(CUfunction* function, CUkernel kernel) {
  return with_context([&](State& all) {
    if (all.functions.find(function_of(kernel)) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *function = function_of(kernel);
    return CUDA_SUCCESS;
  });
}

CUresult function_module(CUmodule* module, CUfunction handle) {
  return with_context([&](State& all) {
    const Function* function = all.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a handle, which is a number
    *module = reinterpret_cast<CUmodule>(function->module);
    return CUDA_SUCCESS;
  });
}

CUresult function_name(const char** name, CUfunction handle) {
  return with_context([&](State& all) {
    const Function* function = all.functions.find(handle);
    if (function == nullptr || name == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *name = function->kernel->name.c_str();
    return CUDA_SUCCESS;
  });
}
CUresult kernel_name(const char** name, CUkernel kernel) {
  return function_name(name, function_of(kernel));
}

CUresult parameter_of(CUfunction handle, std::size_t index, std::size_t* offset, std::size_t* bytes) {
  return with_context([&](State& all) {
    const Function* function = all.functions.find(handle);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (offset == nullptr || index >= function->kernel->parameters.size()) return CUDA_ERROR_INVALID_VALUE;
    const Parameter& parameter = function->kernel->parameters[index];
    *offset = parameter.offset;
    if (bytes != nullptr) *bytes = parameter.bytes;
    return CUDA_SUCCESS;
  });
}
CUresult kernel_parameter(CUkernel kernel, std::size_t index, std::size_t* offset, std::size_t* bytes) {
  return parameter_of(function_of(kernel), index, offset, bytes);
}

CUresult get_attribute(int* value, CUfunction_attribute attribute, CUkernel kernel, CUdevice) {
  return find<decltype(cuFuncGetAttribute)>("cuFuncGetAttribute")(value, attribute, function_of(kernel));
}
CUresult set_attribute(CUfunction_attribute attribute, int value, CUkernel kernel, CUdevice) {
  return find<decltype(cuFuncSetAttribute)>("cuFuncSetAttribute")(function_of(kernel), attribute, value);
}

CUresult set_cache(CUfunction handle, CUfunc_cache) {
  return with_context(
      [&](State& all) { return all.functions.find(handle) == nullptr ? CUDA_ERROR_INVALID_HANDLE : CUDA_SUCCESS; });
}

CUresult loading_mode(CUmoduleLoadingMode* mode) {
  if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *mode = CU_MODULE_LAZY_LOADING;
  return CUDA_SUCCESS;
}

CUresult load_function(CUfunction handle) {
  return set_cache(handle, CU_FUNC_CACHE_PREFER_NONE);
}

}  // namespace

std::span<const NamedFunction> library_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuLibraryLoadData, load),
      MOESAIC_NAMED_FUNCTION(cuLibraryLoadFromFile, load_file),
      MOESAIC_NAMED_FUNCTION(cuLibraryUnload, unload),
      MOESAIC_NAMED_FUNCTION(cuLibraryGetKernel, get_kernel),
      MOESAIC_NAMED_FUNCTION(cuLibraryGetGlobal, get_global),
      MOESAIC_NAMED_FUNCTION(cuLibraryGetManaged, get_global),
      MOESAIC_NAMED_FUNCTION(cuLibraryGetModule, get_module),
      MOESAIC_NAMED_FUNCTION(cuLibraryGetKernelCount, kernel_count),
      MOESAIC_NAMED_FUNCTION(cuKernelGetFunction, kernel_function),
      MOESAIC_NAMED_FUNCTION(cuKernelGetName, kernel_name),
      MOESAIC_NAMED_FUNCTION(cuKernelGetParamInfo, kernel_parameter),
      MOESAIC_NAMED_FUNCTION(cuKernelGetAttribute, get_attribute),
      MOESAIC_NAMED_FUNCTION(cuKernelSetAttribute, set_attribute),
      MOESAIC_NAMED_FUNCTION(cuFuncGetModule, function_module),
      MOESAIC_NAMED_FUNCTION(cuFuncGetName, function_name),
      MOESAIC_NAMED_FUNCTION(cuFuncGetParamInfo, parameter_of),
      MOESAIC_NAMED_FUNCTION(cuFuncSetCacheConfig, set_cache),
      MOESAIC_NAMED_FUNCTION(cuFuncLoad, load_function),
      MOESAIC_NAMED_FUNCTION(cuModuleGetLoadingMode, loading_mode),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
