#include "runtime/runtime.hpp"

/// Graphs as a whole. The runtime's handles are the driver's.

static_assert(sizeof(cudaGraphEdgeData) == sizeof(CUgraphEdgeData));

namespace moesaic::runtime {
namespace {

CUgraphEdgeData* driver_data(cudaGraphEdgeData* data) {
  return reinterpret_cast<CUgraphEdgeData*>(data);
}
const CUgraphEdgeData* driver_data(const cudaGraphEdgeData* data) {
  return reinterpret_cast<const CUgraphEdgeData*>(data);
}

}  // namespace
}  // namespace moesaic::runtime

using namespace moesaic::runtime;  // NOLINT(google-build-using-namespace): what follows is C's

extern "C" {

cudaError_t cudaGraphCreate(cudaGraph_t* graph, unsigned int flags) {
  return call(__func__, [&] { return cuGraphCreate(graph, flags); });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return call(__func__, [&] { return cuGraphDestroy(graph); });
}

cudaError_t cudaGraphClone(cudaGraph_t* copy, cudaGraph_t graph) {
  return call(__func__, [&] { return cuGraphClone(copy, graph); });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call(__func__, [&] { return cuGraphGetNodes(graph, nodes, count); });
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  return call(__func__, [&] { return cuGraphGetRootNodes(graph, nodes, count); });
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t* from, cudaGraphNode_t* to, cudaGraphEdgeData* data,
                              std::size_t* count) {
  return call(__func__, [&] { return cuGraphGetEdges(graph, from, to, driver_data(data), count); });
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* data,
                                         std::size_t* count) {
  return call(__func__, [&] { return cuGraphNodeGetDependencies(node, nodes, driver_data(data), count); });
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t* nodes, cudaGraphEdgeData* data,
                                           std::size_t* count) {
  return call(__func__, [&] { return cuGraphNodeGetDependentNodes(node, nodes, driver_data(data), count); });
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                     const cudaGraphEdgeData* data, std::size_t count) {
  return call(__func__, [&] { return cuGraphAddDependencies(graph, from, to, driver_data(data), count); });
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t* from, const cudaGraphNode_t* to,
                                        const cudaGraphEdgeData* data, std::size_t count) {
  return call(__func__, [&] { return cuGraphRemoveDependencies(graph, from, to, driver_data(data), count); });
}

cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
  return call(__func__, [&] { return cuGraphDestroyNode(node); });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags) {
  return call(__func__, [&] { return cuGraphInstantiate(ready, graph, flags); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* ready, cudaGraph_t graph, unsigned long long flags) {
  return call(__func__, [&] { return cuGraphInstantiate(ready, graph, flags); });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  return call(__func__, [&] { return cuGraphExecDestroy(ready); });
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t ready, cudaGraph_t graph, cudaGraphExecUpdateResultInfo* info) {
  return call(__func__, [&] {
    CUgraphExecUpdateResultInfo result{};
    const CUresult updated = cuGraphExecUpdate(ready, graph, &result);
    if (info != nullptr) {
      *info = {};
      info->result = static_cast<cudaGraphExecUpdateResult>(result.result);
    }
    return updated;
  });
}

cudaError_t cudaGraphNodeSetEnabled(cudaGraphExec_t ready, cudaGraphNode_t node, unsigned int enabled) {
  return call(__func__, [&] { return cuGraphNodeSetEnabled(ready, node, enabled); });
}

cudaError_t cudaGraphNodeGetEnabled(cudaGraphExec_t ready, cudaGraphNode_t node, unsigned int* enabled) {
  return call(__func__, [&] { return cuGraphNodeGetEnabled(ready, node, enabled); });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return call(__func__, [&] {
    CUgraphNodeType is{};
    const CUresult result = cuGraphNodeGetType(node, &is);
    if (result == CUDA_SUCCESS) *type = static_cast<cudaGraphNodeType>(is);
    return result;
  });
}
}
