#include <cuda.h>

#include <algorithm>

#include "emulator/driver_state.hpp"

/// Graphs as a whole: their edges, making them ready, launching them.
namespace moesaic::emulator::driver {
namespace {

CUresult create(CUgraph* graph, unsigned int flags) {
  return with_context([&](State& all) {
    if (graph == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    *graph = all.graphs.add(std::make_shared<Graph>());
    return CUDA_SUCCESS;
  });
}

CUresult destroy(CUgraph graph) {
  return with_context([&](State& all) {
    if (all.graphs.find(graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    remove_graph(all, graph);
    return CUDA_SUCCESS;
  });
}

CUresult clone(CUgraph* copy, CUgraph graph) {
  return with_context([&](State& all) {
    if (copy == nullptr || all.graphs.find(graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::map<CUgraphNode, CUgraphNode> copies;
    *copy = copy_graph(all, graph, copies);
    return CUDA_SUCCESS;
  });
}

/// Hands out a list as the driver does: `count` is the room there is, and becomes the number of those that were
/// written; without `to` it becomes the number of all.
template <typename T>
void hand_out(const std::vector<T>& list, T* to, std::size_t count) {
  if (to == nullptr) return;
  std::copy_n(list.begin(), std::min(count, list.size()), to);
  std::fill_n(to + std::min(count, list.size()), count - std::min(count, list.size()), T{});
}

CUresult get_nodes_that(CUgraph graph, CUgraphNode* nodes, std::size_t* count, bool roots_only) {
  return with_context([&](State& all) {
    const auto* found = all.graphs.find(graph);
    if (found == nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<CUgraphNode> list;
    for (const CUgraphNode node : (*found)->nodes) {
      if (!roots_only || all.nodes.find(node)->after.empty()) list.push_back(node);
    }
    hand_out(list, nodes, *count);
    *count = nodes == nullptr ? list.size() : std::min(*count, list.size());
    return CUDA_SUCCESS;
  });
}

CUresult get_nodes(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return get_nodes_that(graph, nodes, count, false);
}
CUresult get_roots(CUgraph graph, CUgraphNode* nodes, std::size_t* count) {
  return get_nodes_that(graph, nodes, count, true);
}

CUgraphEdgeData data_of(const Edge& edge) {
  CUgraphEdgeData data{};
  if (edge.programmatic) {
    data.type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC;
    data.from_port = CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC;
  }
  return data;
}

struct EdgeList {
  std::vector<CUgraphNode> from;
  std::vector<CUgraphNode> to;
  std::vector<CUgraphEdgeData> data;
};

/// The edges of a graph for which keep(from, to) holds.
template <typename Keep>
EdgeList edges_of(State& all, const Graph& graph, Keep&& keep) {
  EdgeList list;
  for (const CUgraphNode node : graph.nodes) {
    for (const Edge& edge : all.nodes.find(node)->after) {
      if (!keep(edge.from, node)) continue;
      list.from.push_back(edge.from);
      list.to.push_back(node);
      list.data.push_back(data_of(edge));
    }
  }
  return list;
}

CUresult get_edges(CUgraph graph, CUgraphNode* from, CUgraphNode* to, CUgraphEdgeData* data, std::size_t* count) {
  return with_context([&](State& all) {
    const auto* found = all.graphs.find(graph);
    if (found == nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const EdgeList list = edges_of(all, **found, [](CUgraphNode, CUgraphNode) { return true; });
    hand_out(list.from, from, *count);
    hand_out(list.to, to, *count);
    hand_out(list.data, data, *count);
    *count = from == nullptr ? list.from.size() : std::min(*count, list.from.size());
    return CUDA_SUCCESS;
  });
}

CUresult get_neighbours(CUgraphNode handle, CUgraphNode* nodes, CUgraphEdgeData* data, std::size_t* count,
                        bool before) {
  return with_context([&](State& all) {
    const Node* node = all.nodes.find(handle);
    if (node == nullptr || count == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const EdgeList list = edges_of(all, **all.graphs.find(node->graph),
                                   [&](CUgraphNode from, CUgraphNode to) { return (before ? to : from) == handle; });
    hand_out(before ? list.from : list.to, nodes, *count);
    hand_out(list.data, data, *count);
    *count = nodes == nullptr ? list.from.size() : std::min(*count, list.from.size());
    return CUDA_SUCCESS;
  });
}

CUresult get_dependencies(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* data, std::size_t* count) {
  return get_neighbours(node, nodes, data, count, true);
}
CUresult get_dependents(CUgraphNode node, CUgraphNode* nodes, CUgraphEdgeData* data, std::size_t* count) {
  return get_neighbours(node, nodes, data, count, false);
}

CUresult add_dependencies(CUgraph graph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData* data,
                          std::size_t count) {
  return with_context([&](State& all) {
    for (std::size_t i = 0; i < count; ++i) {
      const Node* before = all.nodes.find(from[i]);
      Node* after = all.nodes.find(to[i]);
      if (before == nullptr || after == nullptr) return CUDA_ERROR_INVALID_VALUE;
      if (before->graph != graph || after->graph != graph) return CUDA_ERROR_INVALID_VALUE;
      after->after.push_back(
          {.from = from[i], .programmatic = data != nullptr && data[i].type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC});
    }
    return CUDA_SUCCESS;
  });
}

CUresult remove_dependencies(CUgraph, const CUgraphNode* from, const CUgraphNode* to, const CUgraphEdgeData*,
                             std::size_t count) {
  return with_context([&](State& all) {
    for (std::size_t i = 0; i < count; ++i) {
      Node* after = all.nodes.find(to[i]);
      const auto is_it = [&](const Edge& edge) { return edge.from == from[i]; };
      if (after == nullptr || std::erase_if(after->after, is_it) == 0) return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
  });
}

CUresult destroy_node(CUgraphNode handle) {
  return with_context([&](State& all) {
    const Node* node = all.nodes.find(handle);
    if (node == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Graph& graph = **all.graphs.find(node->graph);
    if (const auto* child = std::get_if<ChildGraph>(&node->operation)) remove_graph(all, child->graph);
    std::erase(graph.nodes, handle);
    for (const CUgraphNode other : graph.nodes) {
      std::erase_if(all.nodes.find(other)->after, [&](const Edge& edge) { return edge.from == handle; });
    }
    all.nodes.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult instantiate(CUgraphExec* ready, CUgraph graph, unsigned long long) {
  return with_context([&](State& all) {
    if (ready == nullptr || all.graphs.find(graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *ready = all.ready_graphs.add(std::make_shared<ReadyGraph>(make_ready(all, graph)));
    return CUDA_SUCCESS;
  });
}

CUresult instantiate_with(CUgraphExec* ready, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS* parameters) {
  if (parameters == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const CUresult result = instantiate(ready, graph, parameters->flags);
  parameters->hErrNode_out = nullptr;
  parameters->result_out =
      result == CUDA_SUCCESS ? CUDA_GRAPH_INSTANTIATE_SUCCESS : CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE;
  return result;
}

/// Two graphs whose steps are of the same kinds and wait for one another in the same way.
bool same_shape(const ReadyGraph& a, const ReadyGraph& b) {
  return std::ranges::equal(a.steps, b.steps, [](const ReadyGraph::Step& s, const ReadyGraph::Step& t) {
    return s.operation.index() == t.operation.index() &&
           std::ranges::equal(s.after, t.after, [](const auto& u, const auto& v) {
             return u.step == v.step && u.programmatic == v.programmatic;
           });
  });
}

CUresult update(CUgraphExec handle, CUgraph graph, CUgraphExecUpdateResultInfo* info) {
  return with_context([&](State& all) {
    std::shared_ptr<ReadyGraph>* ready = all.ready_graphs.find(handle);
    if (ready == nullptr || all.graphs.find(graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    auto fresh = std::make_shared<ReadyGraph>(make_ready(all, graph));
    const bool same = same_shape(**ready, *fresh);
    if (info != nullptr) {
      *info = {};
      info->result = same ? CU_GRAPH_EXEC_UPDATE_SUCCESS : CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED;
    }
    if (!same) return CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE;
    // The nodes that a program knows are those of the graph from which it was first made.
    fresh->step_of = (*ready)->step_of;
    *ready = std::move(fresh);
    return CUDA_SUCCESS;
  });
}

CUresult launch(CUgraphExec handle, CUstream stream) {
  std::shared_ptr<const ReadyGraph> graph;
  const CUresult found = with_context([&](State& all) {
    if (handle == nullptr) return CUDA_ERROR_INVALID_VALUE;
    const auto* ready = all.ready_graphs.find(handle);
    if (ready == nullptr || find_stream(all, stream) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (find_stream(all, stream)->capture != nullptr) {
      return refuse(CUDA_ERROR_NOT_SUPPORTED, "launching a graph into a stream that is captured is not emulated");
    }
    graph = *ready;
    return check_not_captured(all, stream);
  });
  if (found != CUDA_SUCCESS) return found;
  GraphRun run(graph, stream);
  for (HostCall call;;) {
    const CUresult result = with_context([&](State& all) { return run.advance(all, call); });
    if (result != CUDA_SUCCESS || call.function == nullptr) return result;
    call.function(call.data);
  }
}

CUresult upload(CUgraphExec handle, CUstream) {
  return with_context(
      [&](State& all) { return all.ready_graphs.find(handle) == nullptr ? CUDA_ERROR_INVALID_VALUE : CUDA_SUCCESS; });
}

CUresult destroy_ready(CUgraphExec handle) {
  return with_context(
      [&](State& all) { return all.ready_graphs.remove(handle) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; });
}

}  // namespace

std::span<const NamedFunction> graph_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuGraphCreate, create),
      MOESAIC_NAMED_FUNCTION(cuGraphDestroy, destroy),
      MOESAIC_NAMED_FUNCTION(cuGraphClone, clone),
      MOESAIC_NAMED_FUNCTION(cuGraphGetNodes, get_nodes),
      MOESAIC_NAMED_FUNCTION(cuGraphGetRootNodes, get_roots),
      MOESAIC_NAMED_FUNCTION(cuGraphGetEdges, get_edges),
      MOESAIC_NAMED_FUNCTION(cuGraphNodeGetDependencies, get_dependencies),
      MOESAIC_NAMED_FUNCTION(cuGraphNodeGetDependentNodes, get_dependents),
      MOESAIC_NAMED_FUNCTION(cuGraphAddDependencies, add_dependencies),
      MOESAIC_NAMED_FUNCTION(cuGraphRemoveDependencies, remove_dependencies),
      MOESAIC_NAMED_FUNCTION(cuGraphDestroyNode, destroy_node),
      MOESAIC_NAMED_FUNCTION(cuGraphInstantiate, instantiate),
      MOESAIC_NAMED_FUNCTION(cuGraphInstantiateWithParams, instantiate_with),
      MOESAIC_NAMED_FUNCTION(cuGraphExecUpdate, update),
      MOESAIC_NAMED_FUNCTION(cuGraphLaunch, launch),
      MOESAIC_NAMED_FUNCTION(cuGraphUpload, upload),
      MOESAIC_NAMED_FUNCTION(cuGraphExecDestroy, destroy_ready),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
