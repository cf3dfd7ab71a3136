#include <algorithm>
#include <iterator>

#include "runtime/driver_door.hpp"
#include "runtime/runtime.hpp"

/// The state of errors, their names and texts, and the context.
namespace moesaic::runtime {
namespace {

cudaError_t& last_error() {
  thread_local cudaError_t error = cudaSuccess;
  return error;
}

struct ErrorText {
  cudaError_t code;
  const char* name;
  const char* text;
};

/// Errors that the runtime alone has, or to which it gives another name than the driver.
constexpr ErrorText kErrors[] = {
#define MOESAIC_ERROR(code, text) {code, #code, text},
    MOESAIC_ERROR(cudaSuccess, "no error")                                                                      //
    MOESAIC_ERROR(cudaErrorInvalidValue, "invalid argument")                                                    //
    MOESAIC_ERROR(cudaErrorMemoryAllocation, "out of memory")                                                   //
    MOESAIC_ERROR(cudaErrorInitializationError, "initialization error")                                         //
    MOESAIC_ERROR(cudaErrorCudartUnloading, "driver shutting down")                                             //
    MOESAIC_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument")                              //
    MOESAIC_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument")                                         //
    MOESAIC_ERROR(cudaErrorInvalidSymbol, "invalid device symbol")                                              //
    MOESAIC_ERROR(cudaErrorInvalidHostPointer, "invalid host pointer")                                          //
    MOESAIC_ERROR(cudaErrorInvalidDevicePointer, "invalid device pointer")                                      //
    MOESAIC_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy")                         //
    MOESAIC_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version")  //
    MOESAIC_ERROR(cudaErrorMissingConfiguration, "__global__ function call is not configured")                  //
    MOESAIC_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function")                                    //
    MOESAIC_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected")                                      //
    MOESAIC_ERROR(cudaErrorInvalidDevice, "invalid device ordinal")                                             //
    MOESAIC_ERROR(cudaErrorInvalidKernelImage, "device kernel image is invalid")                                //
    MOESAIC_ERROR(cudaErrorDeviceUninitialized, "invalid device context")                                       //
    MOESAIC_ERROR(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device")  //
    MOESAIC_ERROR(cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices")     //
    MOESAIC_ERROR(cudaErrorInvalidPtx, "a PTX JIT compilation failed")                                          //
    MOESAIC_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle")                                    //
    MOESAIC_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state")              //
    MOESAIC_ERROR(cudaErrorSymbolNotFound, "named symbol not found")                                            //
    MOESAIC_ERROR(cudaErrorNotReady, "device not ready")                                                        //
    MOESAIC_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered")                          //
    MOESAIC_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch")                     //
    MOESAIC_ERROR(cudaErrorLaunchTimeout, "the launch timed out and was terminated")                            //
    MOESAIC_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled")                          //
    MOESAIC_ERROR(cudaErrorPeerAccessNotEnabled, "peer access has not been enabled")                            //
    MOESAIC_ERROR(cudaErrorAssert, "device-side assert triggered")                                              //
    MOESAIC_ERROR(cudaErrorHostMemoryAlreadyRegistered,
                  "part or all of the requested memory range is already mapped")                                   //
    MOESAIC_ERROR(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region")   //
    MOESAIC_ERROR(cudaErrorIllegalInstruction, "an illegal instruction was encountered")                           //
    MOESAIC_ERROR(cudaErrorMisalignedAddress, "misaligned address")                                                //
    MOESAIC_ERROR(cudaErrorInvalidAddressSpace, "operation not supported on global/shared address space")          //
    MOESAIC_ERROR(cudaErrorInvalidPc, "invalid program counter")                                                   //
    MOESAIC_ERROR(cudaErrorLaunchFailure, "unspecified launch failure")                                            //
    MOESAIC_ERROR(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch")                     //
    MOESAIC_ERROR(cudaErrorNotPermitted, "operation not permitted")                                                //
    MOESAIC_ERROR(cudaErrorNotSupported, "operation not supported")                                                //
    MOESAIC_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing")           //
    MOESAIC_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture")    //
    MOESAIC_ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences")  //
    MOESAIC_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began")         //
    MOESAIC_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work")                            //
    MOESAIC_ERROR(cudaErrorStreamCaptureIsolation,
                  "dependency created on uncaptured work in another stream")  //
    MOESAIC_ERROR(cudaErrorStreamCaptureImplicit,
                  "operation would make the legacy stream depend on a capturing blocking stream")                     //
    MOESAIC_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream")  //
    MOESAIC_ERROR(cudaErrorStreamCaptureWrongThread,
                  "attempt to terminate a thread-local capture sequence from another thread")  //
    MOESAIC_ERROR(cudaErrorGraphExecUpdateFailure,
                  "the graph update was not performed because it included changes which violated constraints specific "
                  "to instantiated graph update")     //
    MOESAIC_ERROR(cudaErrorUnknown, "unknown error")  //
#undef MOESAIC_ERROR
};

const ErrorText* find_error(cudaError_t code) {
  const auto* found = std::ranges::find(kErrors, code, &ErrorText::code);
  return found == std::end(kErrors) ? nullptr : found;
}

}  // namespace

CUresult enter_context() {
  static const CUresult started = cuInit(0);
  if (started != CUDA_SUCCESS) return started;
  CUcontext context = nullptr;
  cuCtxGetCurrent(&context);
  if (context != nullptr) return CUDA_SUCCESS;
  static CUcontext primary = nullptr;
  static const CUresult retained = cuDevicePrimaryCtxRetain(&primary, 0);
  return retained != CUDA_SUCCESS ? retained : cuCtxSetCurrent(primary);
}

cudaError_t finish(const char* function, cudaError_t error) {
  if (error == cudaSuccess || error == cudaErrorNotReady) return error;
  last_error() = error;
  moesaic_runtime_failed(function, error);
  return error;
}

}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error();
  last_error() = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  return last_error();
}

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "unrecognized error code" : found->name;
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* found = find_error(error);
  return found == nullptr ? "unrecognized error code" : found->text;
}
}
