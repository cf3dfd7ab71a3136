#include <cstring>

#include "runtime/runtime.hpp"

/// What is done in streams and asked about them. Compiled twice: see runtime.hpp.

static_assert(sizeof(cudaGraphEdgeData) == sizeof(CUgraphEdgeData));

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return call("cudaStreamSynchronize", [&] { return cuStreamSynchronize(stream_of(stream)); });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return call("cudaStreamQuery", [&] { return cuStreamQuery(stream_of(stream)); });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
  return call("cudaStreamWaitEvent", [&] { return cuStreamWaitEvent(stream_of(stream), event, flags); });
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void* data, unsigned int flags) {
  return call("cudaStreamAddCallback", [&] {
    return cuStreamAddCallback(stream_of(stream), reinterpret_cast<CUstreamCallback>(callback), data, flags);
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int* flags) {
  return call("cudaStreamGetFlags", [&] { return cuStreamGetFlags(stream_of(stream), flags); });
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int* priority) {
  return call("cudaStreamGetPriority", [&] { return cuStreamGetPriority(stream_of(stream), priority); });
}

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return call("cudaStreamGetId", [&] { return cuStreamGetId(stream_of(stream), id); });
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int* device) {
  return call("cudaStreamGetDevice", [&] {
    unsigned int flags = 0;  // asks whether the stream is there
    *device = 0;
    return cuStreamGetFlags(stream_of(stream), &flags);
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return call("cudaEventRecord", [&] { return cuEventRecord(event, stream_of(stream)); });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
  return call("cudaEventRecordWithFlags", [&] { return cuEventRecordWithFlags(event, stream_of(stream), flags); });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCapture",
              [&] { return cuStreamBeginCapture(stream_of(stream), static_cast<CUstreamCaptureMode>(mode)); });
}

cudaError_t cudaStreamBeginCaptureToGraph(cudaStream_t stream, cudaGraph_t graph, const cudaGraphNode_t* after,
                                          const cudaGraphEdgeData* data, std::size_t count,
                                          cudaStreamCaptureMode mode) {
  return call("cudaStreamBeginCaptureToGraph", [&] {
    return cuStreamBeginCaptureToGraph(stream_of(stream), graph, after, reinterpret_cast<const CUgraphEdgeData*>(data),
                                       count, static_cast<CUstreamCaptureMode>(mode));
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  return call("cudaStreamEndCapture", [&] { return cuStreamEndCapture(stream_of(stream), graph); });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return call("cudaStreamIsCapturing", [&] {
    CUstreamCaptureStatus is = CU_STREAM_CAPTURE_STATUS_NONE;
    const CUresult result = cuStreamIsCapturing(stream_of(stream), &is);
    if (status != nullptr) *status = static_cast<cudaStreamCaptureStatus>(is);
    return result;
  });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t** after, const cudaGraphEdgeData** data,
                                     std::size_t* count) {
  return call("cudaStreamGetCaptureInfo", [&] {
    CUstreamCaptureStatus is = CU_STREAM_CAPTURE_STATUS_NONE;
    cuuint64_t number = 0;
    const CUresult result = cuStreamGetCaptureInfo(stream_of(stream), &is, &number, graph, after,
                                                   reinterpret_cast<const CUgraphEdgeData**>(data), count);
    if (status != nullptr) *status = static_cast<cudaStreamCaptureStatus>(is);
    if (id != nullptr) *id = number;
    return result;
  });
}

cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t stream, cudaGraphNode_t* after,
                                                const cudaGraphEdgeData* data, std::size_t count, unsigned int flags) {
  return call("cudaStreamUpdateCaptureDependencies", [&] {
    return cuStreamUpdateCaptureDependencies(stream_of(stream), after, reinterpret_cast<const CUgraphEdgeData*>(data),
                                             count, flags);
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  return call("cudaGraphLaunch", [&] { return cuGraphLaunch(ready, stream_of(stream)); });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t ready, cudaStream_t stream) {
  return call("cudaGraphUpload", [&] { return cuGraphUpload(ready, stream_of(stream)); });
}

cudaError_t cudaGraphInstantiateWithParams(cudaGraphExec_t* ready, cudaGraph_t graph,
                                           cudaGraphInstantiateParams* parameters) {
  return call("cudaGraphInstantiateWithParams", [&] {
    CUDA_GRAPH_INSTANTIATE_PARAMS wanted{};
    wanted.flags = parameters->flags;
    wanted.hUploadStream = parameters->uploadStream;
    const CUresult result = cuGraphInstantiateWithParams(ready, graph, &wanted);
    parameters->errNode_out = wanted.hErrNode_out;
    parameters->result_out = static_cast<cudaGraphInstantiateResult>(wanted.result_out);
    return result;
  });
}
}
