#include <cuda.h>

#include <string>

#include "emulator/driver_state.hpp"

/// Functions of the driver by name, as programs ask for them at run time.
namespace moesaic::emulator::driver {
namespace {

/// The newest form of a function: programs ask for "cuMemAlloc", and get cuMemAlloc_v2. What is older than CUDA 12 is
/// not emulated.
void* newest(const std::string& name) {
  for (const char* version : {"_v4", "_v3", "_v2", ""}) {
    if (void* function = find_function(name + version)) return function;
  }
  return nullptr;
}

CUresult get_entry(const char* name, void** function, int, cuuint64_t, CUdriverProcAddressQueryResult* status) {
  if (name == nullptr || function == nullptr) return CUDA_ERROR_INVALID_VALUE;
  *function = newest(name);
  if (status != nullptr) {
    *status = *function != nullptr ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  }
  if (*function != nullptr) return CUDA_SUCCESS;
  return refuse(CUDA_ERROR_NOT_FOUND, std::string("the emulated driver has no ") + name);
}

}  // namespace

std::span<const NamedFunction> entry_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuGetProcAddress, get_entry),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
