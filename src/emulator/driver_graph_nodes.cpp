#include <cuda.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "emulator/driver_state.hpp"

/// Nodes of graphs: adding them, and reading and changing what they do.
namespace moesaic::emulator::driver {
namespace {

/// What a node is to do, or the code with which it is refused.
struct Wanted {
  CUresult result = CUDA_SUCCESS;
  Operation operation{};
};

Wanted wanted(State& all, const CUDA_KERNEL_NODE_PARAMS* parameters) {
  if (parameters == nullptr) return {.result = CUDA_ERROR_INVALID_VALUE};
  const CUfunction handle =
      parameters->func != nullptr ? parameters->func : reinterpret_cast<CUfunction>(parameters->kern);
  const Function* function = all.functions.find(handle);
  if (function == nullptr) return {.result = CUDA_ERROR_INVALID_HANDLE};
  KernelLaunch launch{.function = handle,
                      .launch = {.grid = {parameters->gridDimX, parameters->gridDimY, parameters->gridDimZ},
                                 .block = {parameters->blockDimX, parameters->blockDimY, parameters->blockDimZ},
                                 .dynamic_shared_bytes = parameters->sharedMemBytes,
                                 .parameters = {}}};
  const CUresult checked = check_launch(all, launch);
  if (checked != CUDA_SUCCESS) return {.result = checked};
  if (!gather_arguments(*function->kernel, parameters->kernelParams, parameters->extra, launch.parameters)) {
    return {.result = CUDA_ERROR_INVALID_VALUE};
  }
  return {.operation = launch};
}

Wanted wanted(State&, const CUDA_MEMCPY3D* parameters) {
  if (parameters == nullptr) return {.result = CUDA_ERROR_INVALID_VALUE};
  const std::optional<Copy> copy = copy_of(*parameters);
  return copy ? Wanted{.operation = *copy} : Wanted{.result = CUDA_ERROR_INVALID_VALUE};
}

Wanted wanted(State&, const CUDA_MEMSET_NODE_PARAMS* parameters) {
  if (parameters == nullptr) return {.result = CUDA_ERROR_INVALID_VALUE};
  const std::uint32_t bytes = parameters->elementSize;
  if (bytes != 1 && bytes != 2 && bytes != 4) return {.result = CUDA_ERROR_INVALID_VALUE};
  return {.operation = Fill{.to = parameters->dst,
                            .value = parameters->value,
                            .element_bytes = bytes,
                            .width = parameters->width,
                            .height = parameters->height,
                            .pitch = parameters->pitch}};
}

Wanted wanted(State&, const CUDA_HOST_NODE_PARAMS* parameters) {
  if (parameters == nullptr || parameters->fn == nullptr) return {.result = CUDA_ERROR_INVALID_VALUE};
  return {.operation = HostCall{.function = parameters->fn, .data = parameters->userData}};
}

template <typename Record>
Wanted wanted_event(State& all, CUevent event) {
  if (all.events.find(event) == nullptr) return {.result = CUDA_ERROR_INVALID_HANDLE};
  return {.operation = Record{.event = event}};
}

CUresult add(State& all, CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count,
             const Wanted& wanted) {
  if (wanted.result != CUDA_SUCCESS) return wanted.result;
  if (node == nullptr || (count != 0 && after == nullptr)) return CUDA_ERROR_INVALID_VALUE;
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < count; ++i) edges.push_back({.from = after[i], .programmatic = false});
  *node = add_node(all, graph, wanted.operation, edges);
  return *node == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS;
}

template <typename Parameters>
CUresult add_node_of(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count,
                     const Parameters* parameters) {
  return with_context([&](State& all) { return add(all, node, graph, after, count, wanted(all, parameters)); });
}

template <typename Parameters>
CUresult add_node_in(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count,
                     const Parameters* parameters, CUcontext) {
  return add_node_of(node, graph, after, count, parameters);
}

CUresult add_child(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count, CUgraph child) {
  return with_context([&](State& all) {
    if (all.graphs.find(child) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::map<CUgraphNode, CUgraphNode> copies;
    return add(all, node, graph, after, count, {.operation = ChildGraph{.graph = copy_graph(all, child, copies)}});
  });
}

CUresult add_empty(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count) {
  return with_context([&](State& all) { return add(all, node, graph, after, count, {}); });
}

template <typename Record>
CUresult add_event(CUgraphNode* node, CUgraph graph, const CUgraphNode* after, std::size_t count, CUevent event) {
  return with_context(
      [&](State& all) { return add(all, node, graph, after, count, wanted_event<Record>(all, event)); });
}

/// Calls body(node, operation) when the node does what `Kind` is.
template <typename Kind, typename Body>
CUresult with_node(CUgraphNode handle, Body&& body) {
  return with_context([&](State& all) {
    Node* node = all.nodes.find(handle);
    auto* operation = node == nullptr ? nullptr : std::get_if<Kind>(&node->operation);
    if (operation == nullptr) return CUDA_ERROR_INVALID_VALUE;
    body(*node, *operation);
    return CUDA_SUCCESS;
  });
}

CUresult get_kernel(CUgraphNode handle, CUDA_KERNEL_NODE_PARAMS* parameters) {
  return with_context([&](State& all) {
    Node* node = all.nodes.find(handle);
    auto* launch = node == nullptr ? nullptr : std::get_if<KernelLaunch>(&node->operation);
    if (launch == nullptr || parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const Function* function = all.functions.find(launch->function);
    if (function == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    node->arguments.clear();
    for (const Parameter& parameter : function->kernel->parameters) {
      node->arguments.push_back(launch->parameters.data() + parameter.offset);
    }
    *parameters = {};
    parameters->func = launch->function;
    parameters->gridDimX = launch->launch.grid.x;
    parameters->gridDimY = launch->launch.grid.y;
    parameters->gridDimZ = launch->launch.grid.z;
    parameters->blockDimX = launch->launch.block.x;
    parameters->blockDimY = launch->launch.block.y;
    parameters->blockDimZ = launch->launch.block.z;
    parameters->sharedMemBytes = launch->launch.dynamic_shared_bytes;
    parameters->kernelParams = node->arguments.data();
    return CUDA_SUCCESS;
  });
}

CUresult get_copy(CUgraphNode node, CUDA_MEMCPY3D* parameters) {
  return with_node<Copy>(node, [&](Node&, const Copy& copy) { *parameters = parameters_of(copy); });
}

CUresult get_fill(CUgraphNode node, CUDA_MEMSET_NODE_PARAMS* parameters) {
  return with_node<Fill>(node, [&](Node&, const Fill& fill) {
    *parameters = {};
    parameters->dst = fill.to;
    parameters->pitch = fill.pitch;
    parameters->value = fill.value;
    parameters->elementSize = fill.element_bytes;
    parameters->width = fill.width;
    parameters->height = fill.height;
  });
}

CUresult get_host(CUgraphNode node, CUDA_HOST_NODE_PARAMS* parameters) {
  return with_node<HostCall>(node, [&](Node&, const HostCall& call) {
    parameters->fn = call.function;
    parameters->userData = call.data;
  });
}

CUresult get_child(CUgraphNode node, CUgraph* graph) {
  return with_node<ChildGraph>(node, [&](Node&, const ChildGraph& child) { *graph = child.graph; });
}

template <typename Record>
CUresult get_event(CUgraphNode node, CUevent* event) {
  return with_node<Record>(node, [&](Node&, const Record& record) { *event = record.event; });
}

/// Puts another operation of the same kind in place of one. What a kernel wished for stays.
CUresult replace(Operation& operation, const Wanted& wanted) {
  if (wanted.result != CUDA_SUCCESS) return wanted.result;
  if (operation.index() != wanted.operation.index()) return CUDA_ERROR_INVALID_VALUE;
  const auto* before = std::get_if<KernelLaunch>(&operation);
  const Wishes wishes = before != nullptr ? before->wishes : Wishes{};
  operation = wanted.operation;
  if (auto* launch = std::get_if<KernelLaunch>(&operation)) launch->wishes = wishes;
  return CUDA_SUCCESS;
}

template <typename Parameters>
CUresult set_node(CUgraphNode handle, const Parameters* parameters) {
  return with_context([&](State& all) {
    Node* node = all.nodes.find(handle);
    return node == nullptr ? CUDA_ERROR_INVALID_VALUE : replace(node->operation, wanted(all, parameters));
  });
}

template <typename Record>
CUresult set_event(CUgraphNode handle, CUevent event) {
  return with_context([&](State& all) {
    Node* node = all.nodes.find(handle);
    return node == nullptr ? CUDA_ERROR_INVALID_VALUE : replace(node->operation, wanted_event<Record>(all, event));
  });
}

/// The step of a ready graph that a node became, in a copy of that graph which no launch under way uses.
ReadyGraph::Step* find_step(State& all, CUgraphExec handle, CUgraphNode node) {
  std::shared_ptr<ReadyGraph>* ready = all.ready_graphs.find(handle);
  if (ready == nullptr || !(*ready)->step_of.contains(node)) return nullptr;
  *ready = std::make_shared<ReadyGraph>(**ready);
  return &(*ready)->steps[(*ready)->step_of.at(node)];
}

template <typename Parameters>
CUresult set_step(CUgraphExec ready, CUgraphNode node, const Parameters* parameters) {
  return with_context([&](State& all) {
    ReadyGraph::Step* step = find_step(all, ready, node);
    return step == nullptr ? CUDA_ERROR_INVALID_VALUE : replace(step->operation, wanted(all, parameters));
  });
}

template <typename Parameters>
CUresult set_step_in(CUgraphExec ready, CUgraphNode node, const Parameters* parameters, CUcontext) {
  return set_step(ready, node, parameters);
}

template <typename Record>
CUresult set_step_event(CUgraphExec ready, CUgraphNode node, CUevent event) {
  return with_context([&](State& all) {
    ReadyGraph::Step* step = find_step(all, ready, node);
    return step == nullptr ? CUDA_ERROR_INVALID_VALUE : replace(step->operation, wanted_event<Record>(all, event));
  });
}

CUresult set_enabled(CUgraphExec ready, CUgraphNode node, unsigned int enabled) {
  return with_context([&](State& all) {
    ReadyGraph::Step* step = find_step(all, ready, node);
    if (step == nullptr) return CUDA_ERROR_INVALID_VALUE;
    step->enabled = enabled != 0;
    return CUDA_SUCCESS;
  });
}

CUresult get_enabled(CUgraphExec ready, CUgraphNode node, unsigned int* enabled) {
  return with_context([&](State& all) {
    const ReadyGraph::Step* step = find_step(all, ready, node);
    if (step == nullptr || enabled == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *enabled = step->enabled ? 1 : 0;
    return CUDA_SUCCESS;
  });
}

CUresult type_of(CUgraphNode handle, CUgraphNodeType* type) {
  return with_context([&](State& all) {
    const Node* node = all.nodes.find(handle);
    if (node == nullptr || type == nullptr) return CUDA_ERROR_INVALID_VALUE;
    // In the order of Operation.
    constexpr CUgraphNodeType kTypes[] = {CU_GRAPH_NODE_TYPE_EMPTY,      CU_GRAPH_NODE_TYPE_KERNEL,
                                          CU_GRAPH_NODE_TYPE_MEMCPY,     CU_GRAPH_NODE_TYPE_MEMSET,
                                          CU_GRAPH_NODE_TYPE_HOST,       CU_GRAPH_NODE_TYPE_EVENT_RECORD,
                                          CU_GRAPH_NODE_TYPE_WAIT_EVENT, CU_GRAPH_NODE_TYPE_GRAPH};
    *type = kTypes[node->operation.index()];
    return CUDA_SUCCESS;
  });
}

}  // namespace

std::span<const NamedFunction> graph_node_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuGraphAddKernelNode, add_node_of<CUDA_KERNEL_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphAddMemcpyNode, add_node_in<CUDA_MEMCPY3D>),
      MOESAIC_NAMED_FUNCTION(cuGraphAddMemsetNode, add_node_in<CUDA_MEMSET_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphAddHostNode, add_node_of<CUDA_HOST_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphAddChildGraphNode, add_child),
      MOESAIC_NAMED_FUNCTION(cuGraphAddEmptyNode, add_empty),
      MOESAIC_NAMED_FUNCTION(cuGraphAddEventRecordNode, add_event<EventRecord>),
      MOESAIC_NAMED_FUNCTION(cuGraphAddEventWaitNode, add_event<EventWait>),
      MOESAIC_NAMED_FUNCTION(cuGraphKernelNodeGetParams, get_kernel),
      MOESAIC_NAMED_FUNCTION(cuGraphMemcpyNodeGetParams, get_copy),
      MOESAIC_NAMED_FUNCTION(cuGraphMemsetNodeGetParams, get_fill),
      MOESAIC_NAMED_FUNCTION(cuGraphHostNodeGetParams, get_host),
      MOESAIC_NAMED_FUNCTION(cuGraphChildGraphNodeGetGraph, get_child),
      MOESAIC_NAMED_FUNCTION(cuGraphEventRecordNodeGetEvent, get_event<EventRecord>),
      MOESAIC_NAMED_FUNCTION(cuGraphEventWaitNodeGetEvent, get_event<EventWait>),
      MOESAIC_NAMED_FUNCTION(cuGraphKernelNodeSetParams, set_node<CUDA_KERNEL_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphMemcpyNodeSetParams, set_node<CUDA_MEMCPY3D>),
      MOESAIC_NAMED_FUNCTION(cuGraphMemsetNodeSetParams, set_node<CUDA_MEMSET_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphHostNodeSetParams, set_node<CUDA_HOST_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphEventRecordNodeSetEvent, set_event<EventRecord>),
      MOESAIC_NAMED_FUNCTION(cuGraphEventWaitNodeSetEvent, set_event<EventWait>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecKernelNodeSetParams, set_step<CUDA_KERNEL_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecMemcpyNodeSetParams, set_step_in<CUDA_MEMCPY3D>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecMemsetNodeSetParams, set_step_in<CUDA_MEMSET_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecHostNodeSetParams, set_step<CUDA_HOST_NODE_PARAMS>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecEventRecordNodeSetEvent, set_step_event<EventRecord>),
      MOESAIC_NAMED_FUNCTION(cuGraphExecEventWaitNodeSetEvent, set_step_event<EventWait>),
      MOESAIC_NAMED_FUNCTION(cuGraphNodeSetEnabled, set_enabled),
      MOESAIC_NAMED_FUNCTION(cuGraphNodeGetEnabled, get_enabled),
      MOESAIC_NAMED_FUNCTION(cuGraphNodeGetType, type_of),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
