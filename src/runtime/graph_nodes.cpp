#include "runtime/copies.hpp"
#include "runtime/registration.hpp"
#include "runtime/runtime.hpp"

/// Nodes of graphs: adding them, and reading and changing what they do, in the driver's words.
namespace moesaic::runtime {
namespace {

using Nodes = const cudaGraphNode_t*;

CUcontext context() {
  CUcontext current = nullptr;
  cuCtxGetCurrent(&current);
  return current;
}

/// Calls body with the driver's parameters for a kernel node.
template <typename Body>
cudaError_t with_kernel(const cudaKernelNodeParams* parameters, Body&& body) {
  if (parameters == nullptr) return cudaErrorInvalidValue;
  CUDA_KERNEL_NODE_PARAMS wanted{};
  const cudaError_t found = find_kernel(parameters->func, wanted.func);
  if (found != cudaSuccess) return found;
  wanted.gridDimX = parameters->gridDim.x;
  wanted.gridDimY = parameters->gridDim.y;
  wanted.gridDimZ = parameters->gridDim.z;
  wanted.blockDimX = parameters->blockDim.x;
  wanted.blockDimY = parameters->blockDim.y;
  wanted.blockDimZ = parameters->blockDim.z;
  wanted.sharedMemBytes = parameters->sharedMemBytes;
  wanted.kernelParams = parameters->kernelParams;
  wanted.extra = parameters->extra;
  return static_cast<cudaError_t>(body(wanted));
}

template <typename Body>
cudaError_t with_copy(const std::optional<CUDA_MEMCPY3D>& volume, Body&& body) {
  return volume ? static_cast<cudaError_t>(body(*volume)) : cudaErrorInvalidValue;
}

CUDA_MEMSET_NODE_PARAMS fill_of(const cudaMemsetParams& p) {
  CUDA_MEMSET_NODE_PARAMS fill{};
  fill.dst = address_of(p.dst);
  fill.pitch = p.pitch;
  fill.value = p.value;
  fill.elementSize = p.elementSize;
  fill.width = p.width;
  fill.height = p.height;
  return fill;
}

CUDA_HOST_NODE_PARAMS host_of(const cudaHostNodeParams& p) {
  CUDA_HOST_NODE_PARAMS host{};
  host.fn = p.fn;
  host.userData = p.userData;
  return host;
}

std::optional<CUDA_MEMCPY3D> bytes_of(void* to, const void* from, std::size_t size, cudaMemcpyKind kind) {
  return rows_of(to, size, from, size, size, 1, kind);
}

}  // namespace
}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaGraphAddKernelNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                   const cudaKernelNodeParams* parameters) {
  return call(__func__, [&] {
    return with_kernel(parameters,
                       [&](const auto& kernel) { return cuGraphAddKernelNode(node, graph, after, count, &kernel); });
  });
}

cudaError_t cudaGraphKernelNodeSetParams(cudaGraphNode_t node, const cudaKernelNodeParams* parameters) {
  return call(__func__, [&] {
    return with_kernel(parameters, [&](const auto& kernel) { return cuGraphKernelNodeSetParams(node, &kernel); });
  });
}

cudaError_t cudaGraphExecKernelNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaKernelNodeParams* parameters) {
  return call(__func__, [&] {
    return with_kernel(parameters,
                       [&](const auto& kernel) { return cuGraphExecKernelNodeSetParams(ready, node, &kernel); });
  });
}

cudaError_t cudaGraphKernelNodeGetParams(cudaGraphNode_t node, cudaKernelNodeParams* parameters) {
  return call(__func__, [&] {
    CUDA_KERNEL_NODE_PARAMS kernel{};
    const CUresult result = cuGraphKernelNodeGetParams(node, &kernel);
    if (result != CUDA_SUCCESS) return result;
    *parameters = {};
    parameters->func = symbol_of(kernel.func);
    parameters->gridDim = {kernel.gridDimX, kernel.gridDimY, kernel.gridDimZ};
    parameters->blockDim = {kernel.blockDimX, kernel.blockDimY, kernel.blockDimZ};
    parameters->sharedMemBytes = kernel.sharedMemBytes;
    parameters->kernelParams = kernel.kernelParams;
    return CUDA_SUCCESS;
  });
}

cudaError_t cudaGraphAddMemcpyNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                   const cudaMemcpy3DParms* parameters) {
  return call(__func__, [&] {
    return with_copy(volume_of(*parameters), [&](const auto& copy) {
      return cuGraphAddMemcpyNode(node, graph, after, count, &copy, context());
    });
  });
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count, void* to,
                                     const void* from, std::size_t size, cudaMemcpyKind kind) {
  return call(__func__, [&] {
    return with_copy(bytes_of(to, from, size, kind), [&](const auto& copy) {
      return cuGraphAddMemcpyNode(node, graph, after, count, &copy, context());
    });
  });
}

cudaError_t cudaGraphMemcpyNodeSetParams(cudaGraphNode_t node, const cudaMemcpy3DParms* parameters) {
  return call(__func__, [&] {
    return with_copy(volume_of(*parameters), [&](const auto& copy) { return cuGraphMemcpyNodeSetParams(node, &copy); });
  });
}

cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void* to, const void* from, std::size_t size,
                                           cudaMemcpyKind kind) {
  return call(__func__, [&] {
    return with_copy(bytes_of(to, from, size, kind),
                     [&](const auto& copy) { return cuGraphMemcpyNodeSetParams(node, &copy); });
  });
}

cudaError_t cudaGraphExecMemcpyNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaMemcpy3DParms* parameters) {
  return call(__func__, [&] {
    return with_copy(volume_of(*parameters),
                     [&](const auto& copy) { return cuGraphExecMemcpyNodeSetParams(ready, node, &copy, context()); });
  });
}

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t ready, cudaGraphNode_t node, void* to, const void* from,
                                               std::size_t size, cudaMemcpyKind kind) {
  return call(__func__, [&] {
    return with_copy(bytes_of(to, from, size, kind),
                     [&](const auto& copy) { return cuGraphExecMemcpyNodeSetParams(ready, node, &copy, context()); });
  });
}

cudaError_t cudaGraphMemcpyNodeGetParams(cudaGraphNode_t node, cudaMemcpy3DParms* parameters) {
  return call(__func__, [&] {
    CUDA_MEMCPY3D copy{};
    const CUresult result = cuGraphMemcpyNodeGetParams(node, &copy);
    if (result == CUDA_SUCCESS) *parameters = parameters_of(copy);
    return result;
  });
}

cudaError_t cudaGraphAddMemsetNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                   const cudaMemsetParams* parameters) {
  return call(__func__, [&] {
    const CUDA_MEMSET_NODE_PARAMS fill = fill_of(*parameters);
    return cuGraphAddMemsetNode(node, graph, after, count, &fill, context());
  });
}

cudaError_t cudaGraphMemsetNodeSetParams(cudaGraphNode_t node, const cudaMemsetParams* parameters) {
  return call(__func__, [&] {
    const CUDA_MEMSET_NODE_PARAMS fill = fill_of(*parameters);
    return cuGraphMemsetNodeSetParams(node, &fill);
  });
}

cudaError_t cudaGraphExecMemsetNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                             const cudaMemsetParams* parameters) {
  return call(__func__, [&] {
    const CUDA_MEMSET_NODE_PARAMS fill = fill_of(*parameters);
    return cuGraphExecMemsetNodeSetParams(ready, node, &fill, context());
  });
}

cudaError_t cudaGraphMemsetNodeGetParams(cudaGraphNode_t node, cudaMemsetParams* parameters) {
  return call(__func__, [&] {
    CUDA_MEMSET_NODE_PARAMS fill{};
    const CUresult result = cuGraphMemsetNodeGetParams(node, &fill);
    if (result != CUDA_SUCCESS) return result;
    *parameters = {};
    parameters->dst = reinterpret_cast<void*>(fill.dst);  // NOLINT(performance-no-int-to-ptr): an address of the card
    parameters->pitch = fill.pitch;
    parameters->value = fill.value;
    parameters->elementSize = fill.elementSize;
    parameters->width = fill.width;
    parameters->height = fill.height;
    return CUDA_SUCCESS;
  });
}

cudaError_t cudaGraphAddHostNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                 const cudaHostNodeParams* parameters) {
  return call(__func__, [&] {
    const CUDA_HOST_NODE_PARAMS host = host_of(*parameters);
    return cuGraphAddHostNode(node, graph, after, count, &host);
  });
}

cudaError_t cudaGraphHostNodeSetParams(cudaGraphNode_t node, const cudaHostNodeParams* parameters) {
  return call(__func__, [&] {
    const CUDA_HOST_NODE_PARAMS host = host_of(*parameters);
    return cuGraphHostNodeSetParams(node, &host);
  });
}

cudaError_t cudaGraphExecHostNodeSetParams(cudaGraphExec_t ready, cudaGraphNode_t node,
                                           const cudaHostNodeParams* parameters) {
  return call(__func__, [&] {
    const CUDA_HOST_NODE_PARAMS host = host_of(*parameters);
    return cuGraphExecHostNodeSetParams(ready, node, &host);
  });
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                       cudaGraph_t child) {
  return call(__func__, [&] { return cuGraphAddChildGraphNode(node, graph, after, count, child); });
}

cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t* child) {
  return call(__func__, [&] { return cuGraphChildGraphNodeGetGraph(node, child); });
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count) {
  return call(__func__, [&] { return cuGraphAddEmptyNode(node, graph, after, count); });
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                        cudaEvent_t event) {
  return call(__func__, [&] { return cuGraphAddEventRecordNode(node, graph, after, count, event); });
}

cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t* node, cudaGraph_t graph, Nodes after, std::size_t count,
                                      cudaEvent_t event) {
  return call(__func__, [&] { return cuGraphAddEventWaitNode(node, graph, after, count, event); });
}
}
