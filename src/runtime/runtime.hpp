#pragma once

#include <cuda.h>  // before the macro: its functions are called with streams that are named

// Files that are compiled once more with this macro define the functions with _ptsz and _ptds at the end of their
// names, whose default stream is the thread's own.
#ifdef MOESAIC_STREAM_PER_THREAD
#define CUDA_API_PER_THREAD_DEFAULT_STREAM
#endif
#include <cuda_runtime_api.h>

/// What the functions of the runtime share. The runtime stands on the driver's functions as the real one does, and
/// knows nothing of the emulator.
namespace moesaic::runtime {

/// Makes the primary context of device 0 current in this thread where no context is. The driver's numbers of errors
/// are the runtime's.
CUresult enter_context();

/// Notes the error of a call for cudaGetLastError, and gives it back.
cudaError_t finish(const char* function, cudaError_t error);
inline cudaError_t finish(const char* function, CUresult result) {
  return finish(function, static_cast<cudaError_t>(result));
}

/// Runs the body of a function of the runtime, which gives a CUresult or a cudaError_t, with a context.
template <typename Body>
cudaError_t call(const char* function, Body&& body) {
  const CUresult entered = enter_context();
  return entered != CUDA_SUCCESS ? finish(function, entered) : finish(function, body());
}

/// The driver's address for a pointer.
inline CUdeviceptr address_of(const void* pointer) {
  return reinterpret_cast<CUdeviceptr>(pointer);
}

/// The stream that a handle names.
inline CUstream stream_of(cudaStream_t stream) {
#ifdef MOESAIC_STREAM_PER_THREAD
  return stream == nullptr ? CU_STREAM_PER_THREAD : stream;
#else
  return stream;
#endif
}

}  // namespace moesaic::runtime
