#pragma once

#include <cuda.h>

#include <memory>
#include <string>

#include "device/place.hpp"
#include "spec/error.hpp"

/// The driver functions that an engine needs, as a table, so that nothing links with CUDA: from libcuda, opened at run
/// time, or from the emulator. Who holds a table cannot tell which.
namespace moesaic::device {

// Names as in cuda.h, which maps some of them to their versioned symbols (cuMemAlloc is cuMemAlloc_v2).
#define MOESAIC_DRIVER_FUNCTIONS(X)              \
  X(cuInit)                                      \
  X(cuGetErrorName)                              \
  X(cuGetErrorString)                            \
  X(cuDeviceGetCount)                            \
  X(cuDeviceGet)                                 \
  X(cuDeviceGetName)                             \
  X(cuDeviceGetAttribute)                        \
  X(cuDeviceTotalMem)                            \
  X(cuDevicePrimaryCtxRetain)                    \
  X(cuDevicePrimaryCtxRelease)                   \
  X(cuCtxSetCurrent)                             \
  X(cuModuleLoadData)                            \
  X(cuModuleUnload)                              \
  X(cuModuleGetFunction)                         \
  X(cuFuncSetAttribute)                          \
  X(cuMemAlloc)                                  \
  X(cuMemFree)                                   \
  X(cuMemcpyHtoD)                                \
  X(cuMemcpyDtoH)                                \
  X(cuMemsetD8)                                  \
  X(cuLaunchKernel)                              \
  X(cuLaunchKernelEx)                            \
  X(cuCtxSynchronize)                            \
  X(cuOccupancyMaxActiveBlocksPerMultiprocessor) \
  X(cuTensorMapEncodeTiled)

// What only measuring needs: null where the driver has none.
#define MOESAIC_OPTIONAL_DRIVER_FUNCTIONS(X) \
  X(cuDriverGetVersion)                      \
  X(cuStreamCreate)                          \
  X(cuStreamDestroy)                         \
  X(cuStreamBeginCapture)                    \
  X(cuStreamEndCapture)                      \
  X(cuGraphInstantiate)                      \
  X(cuGraphLaunch)                           \
  X(cuGraphDestroy)                          \
  X(cuGraphExecDestroy)                      \
  X(cuEventCreate)                           \
  X(cuEventDestroy)                          \
  X(cuEventRecord)                           \
  X(cuEventSynchronize)                      \
  X(cuEventElapsedTime)

struct Driver {
#define MOESAIC_MEMBER(function) decltype(&::function) function = nullptr;
  MOESAIC_DRIVER_FUNCTIONS(MOESAIC_MEMBER)
  MOESAIC_OPTIONAL_DRIVER_FUNCTIONS(MOESAIC_MEMBER)
#undef MOESAIC_MEMBER
  /// What the driver knows of the last failure beyond its code: the emulator's finding; empty from libcuda.
  std::string (*last_fault)() = nullptr;
  /// What an emulated card's checks (Place::checks) have found since they were asked last, as sentences; empty from
  /// libcuda.
  std::string (*take_findings)() = nullptr;
  /// Held as long as the table is in use; an emulated card is one process-wide state and takes one user at a time.
  std::shared_ptr<const void> lease;
};

// Two steps, so that cuda.h's versioned names are put in before the name becomes a string.
#define MOESAIC_TEXT(name) #name
#define MOESAIC_SYMBOL(name) MOESAIC_TEXT(name)

/// The table of what `find(symbol)` gives: a `void*` to the driver function of that name, or null. Throws Error with
/// `missing` and the symbol when a function that is not optional is null.
template <class Find>
Driver make_driver(Find find, const std::string& missing) {
  Driver driver;
#define MOESAIC_FILL(function) \
  driver.function = reinterpret_cast<decltype(driver.function)>(find(MOESAIC_SYMBOL(function)));
#define MOESAIC_DEMAND(function) \
  if (driver.function == nullptr) throw Error(missing + MOESAIC_SYMBOL(function));
  MOESAIC_DRIVER_FUNCTIONS(MOESAIC_FILL)
  MOESAIC_DRIVER_FUNCTIONS(MOESAIC_DEMAND)
  MOESAIC_OPTIONAL_DRIVER_FUNCTIONS(MOESAIC_FILL)
#undef MOESAIC_DEMAND
#undef MOESAIC_FILL
  return driver;
}

/// The table for a gpu or an emulated place. Throws Error when libcuda.so.1 cannot be opened or lacks a function, and
/// when an emulated place is opened while a table of one is still held.
Driver open_driver(const Place& place);

/// The emulator's half of open_driver; the one file that sees the emulator defines it.
Driver open_emulated_driver(const Place& place);

}  // namespace moesaic::device
