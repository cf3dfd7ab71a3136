#include <cuda.h>

#include <algorithm>
#include <set>

#include "emulator/driver_state.hpp"

/// Streams that are captured: what they are asked to do becomes a graph, and nothing runs.
namespace moesaic::emulator::driver {
namespace {

CUresult spoil(Capture& capture, CUresult code) {
  capture.invalid = true;
  return code;
}

void add_edges(std::vector<Edge>& edges, const std::vector<Edge>& more) {
  for (const Edge& edge : more) {
    const bool known = std::ranges::any_of(edges, [&](const Edge& other) { return other.from == edge.from; });
    if (!known) edges.push_back(edge);
  }
}

CUresult capture_wait(State& all, Stream& stream, const EventWait& wait) {
  const Event& event = *all.events.find(wait.event);
  if (event.capture == stream.capture) {
    add_edges(stream.frontier, event.frontier);
    stream.last_kernel = nullptr;
    return CUDA_SUCCESS;
  }
  if (event.capture != nullptr) {
    event.capture->invalid = true;
    return spoil(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_MERGE);
  }
  return event.recorded ? spoil(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_ISOLATION) : CUDA_SUCCESS;
}

CUresult capture_node(State& all, Stream& stream, const Operation& operation) {
  const auto* launch = std::get_if<KernelLaunch>(&operation);
  std::vector<Edge> after = stream.frontier;
  if (launch != nullptr && launch->wishes.programmatic && stream.last_kernel != nullptr) {
    after.assign({Edge{.from = stream.last_kernel, .programmatic = true}});
  }
  const CUgraphNode node = add_node(all, stream.capture->graph, operation, after);
  if (node == nullptr) return spoil(*stream.capture, CUDA_ERROR_INVALID_VALUE);
  stream.frontier.assign({Edge{.from = node, .programmatic = false}});
  stream.last_kernel = launch != nullptr ? node : nullptr;
  if (launch != nullptr && launch->wishes.event != nullptr) {
    Event& event = *all.events.find(launch->wishes.event);
    event.capture = stream.capture;
    event.frontier.assign({Edge{.from = node, .programmatic = true}});
  }
  return CUDA_SUCCESS;
}

bool is_capturing(const Stream& stream) {
  return stream.capture != nullptr;
}

/// Calls visit(stream, handle) for each stream that is captured.
template <typename Visit>
void for_each_captured(State& all, Visit&& visit) {
  if (is_capturing(all.per_thread)) visit(all.per_thread);
  all.streams.for_each([&](Stream& stream) {
    if (is_capturing(stream)) visit(stream);
  });
}

CUresult begin(State& all, CUstream handle, CUstreamCaptureMode mode, CUgraph graph, std::vector<Edge> after) {
  Stream* stream = find_stream(all, handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (stream == &all.legacy) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (is_capturing(*stream)) return CUDA_ERROR_ILLEGAL_STATE;
  stream->capture = std::make_shared<Capture>(Capture{.graph = graph,
                                                      .origin = handle,
                                                      .mode = mode,
                                                      .thread = std::this_thread::get_id(),
                                                      .invalid = false,
                                                      .id = ++all.captures});
  stream->frontier = std::move(after);
  stream->last_kernel = nullptr;
  return CUDA_SUCCESS;
}

CUresult begin_capture(CUstream stream, CUstreamCaptureMode mode) {
  return with_context([&](State& all) {
    const CUgraph graph = all.graphs.add(std::make_shared<Graph>());
    const CUresult begun = begin(all, stream, mode, graph, {});
    if (begun != CUDA_SUCCESS) all.graphs.remove(graph);
    return begun;
  });
}

CUresult begin_capture_to_graph(CUstream stream, CUgraph graph, const CUgraphNode* after, const CUgraphEdgeData* data,
                                std::size_t count, CUstreamCaptureMode mode) {
  return with_context([&](State& all) {
    if (all.graphs.find(graph) == nullptr) return CUDA_ERROR_INVALID_VALUE;
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < count; ++i) {
      edges.push_back(
          {.from = after[i], .programmatic = data != nullptr && data[i].type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC});
    }
    return begin(all, stream, mode, graph, std::move(edges));
  });
}

/// Adds all nodes before `edges`, and their own, to `found`.
void add_ancestors(State& all, const std::vector<Edge>& edges, std::set<CUgraphNode>& found) {
  for (const Edge& edge : edges) {
    const Node* node = all.nodes.find(edge.from);
    if (node != nullptr && found.insert(edge.from).second) add_ancestors(all, node->after, found);
  }
}

/// Whether all streams of a capture have been waited for by the one in which it began.
bool is_joined(State& all, const Stream& origin) {
  std::set<CUgraphNode> before;
  add_ancestors(all, origin.frontier, before);
  bool joined = true;
  for_each_captured(all, [&](const Stream& other) {
    if (other.capture != origin.capture) return;
    for (const Edge& edge : other.frontier) joined = joined && before.contains(edge.from);
  });
  return joined;
}

void end_all(State& all, const std::shared_ptr<Capture>& capture) {
  for_each_captured(all, [&](Stream& stream) {
    if (stream.capture != capture) return;
    stream.capture = nullptr;
    stream.frontier.clear();
    stream.last_kernel = nullptr;
  });
  all.events.for_each([&](Event& event) {
    if (event.capture != capture) return;
    event.capture = nullptr;
    event.frontier.clear();
    event.recorded = false;
  });
}

CUresult end_capture(CUstream handle, CUgraph* graph) {
  return with_context([&](State& all) {
    Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (graph == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *graph = nullptr;
    if (!is_capturing(*stream)) return CUDA_ERROR_ILLEGAL_STATE;
    const std::shared_ptr<Capture> capture = stream->capture;
    if (capture->origin != handle) return spoil(*capture, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
    if (capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED && capture->thread != std::this_thread::get_id()) {
      return CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD;
    }
    CUresult result = CUDA_SUCCESS;
    if (capture->invalid) {
      result = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    } else if (!is_joined(all, *stream)) {
      result = CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    }
    end_all(all, capture);
    if (result == CUDA_SUCCESS) {
      *graph = capture->graph;
    } else {
      remove_graph(all, capture->graph);
    }
    return result;
  });
}

CUstreamCaptureStatus status_of(const Stream& stream) {
  if (!is_capturing(stream)) return CU_STREAM_CAPTURE_STATUS_NONE;
  return stream.capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
}

CUresult get_status(CUstream handle, CUstreamCaptureStatus* status) {
  return with_context([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *status = status_of(*stream);
    return CUDA_SUCCESS;
  });
}

CUresult get_info(CUstream handle, CUstreamCaptureStatus* status, cuuint64_t* id, CUgraph* graph,
                  const CUgraphNode** after, const CUgraphEdgeData** data, std::size_t* count) {
  return with_context([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (status == nullptr) return CUDA_ERROR_INVALID_VALUE;
    *status = status_of(*stream);
    if (*status != CU_STREAM_CAPTURE_STATUS_ACTIVE) return CUDA_SUCCESS;
    if (id != nullptr) *id = stream->capture->id;
    if (graph != nullptr) *graph = stream->capture->graph;
    // Valid until the next call, as the real driver has it.
    thread_local std::vector<CUgraphNode> nodes;
    thread_local std::vector<CUgraphEdgeData> edges;
    nodes.clear();
    edges.clear();
    for (const Edge& edge : stream->frontier) {
      nodes.push_back(edge.from);
      CUgraphEdgeData& added = edges.emplace_back();
      added.type = static_cast<unsigned char>(edge.programmatic ? CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC
                                                                : CU_GRAPH_DEPENDENCY_TYPE_DEFAULT);
    }
    if (after != nullptr) *after = nodes.data();
    if (data != nullptr) *data = edges.data();
    if (count != nullptr) *count = nodes.size();
    return CUDA_SUCCESS;
  });
}

CUresult update_dependencies(CUstream handle, CUgraphNode* after, const CUgraphEdgeData* data, std::size_t count,
                             unsigned int flags) {
  return with_context([&](State& all) {
    Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (!is_capturing(*stream)) return CUDA_ERROR_ILLEGAL_STATE;
    if (flags == CU_STREAM_SET_CAPTURE_DEPENDENCIES) stream->frontier.clear();
    std::vector<Edge> edges;
    for (std::size_t i = 0; i < count; ++i) {
      edges.push_back(
          {.from = after[i], .programmatic = data != nullptr && data[i].type == CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC});
    }
    add_edges(stream->frontier, edges);
    stream->last_kernel = nullptr;
    return CUDA_SUCCESS;
  });
}

/// What a thread may do while another captures is not followed: the mode is only kept.
CUresult exchange_mode(CUstreamCaptureMode* mode) {
  thread_local CUstreamCaptureMode kept = CU_STREAM_CAPTURE_MODE_GLOBAL;
  if (mode == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::swap(*mode, kept);
  return CUDA_SUCCESS;
}

}  // namespace

CUresult capture(State& all, Stream& stream, const Operation& operation) {
  if (stream.capture->invalid) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
  if (const auto* record = std::get_if<EventRecord>(&operation)) {
    Event& event = *all.events.find(record->event);
    event.capture = stream.capture;
    event.frontier = stream.frontier;
    return CUDA_SUCCESS;
  }
  if (const auto* wait = std::get_if<EventWait>(&operation)) return capture_wait(all, stream, *wait);
  return capture_node(all, stream, operation);
}

CUresult join_capture(State& all, Stream& stream, const Event& event) {
  if (&stream == &all.legacy) return spoil(*event.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  stream.capture = event.capture;
  stream.frontier = event.frontier;
  stream.last_kernel = nullptr;
  return CUDA_SUCCESS;
}

CUresult check_not_captured(State& all, CUstream handle) {
  Stream* stream = find_stream(all, handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (is_capturing(*stream)) return spoil(*stream->capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  if (stream != &all.legacy) return CUDA_SUCCESS;
  CUresult result = CUDA_SUCCESS;
  for_each_captured(all, [&](Stream& other) {
    if (other.blocking) result = spoil(*other.capture, CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  });
  return result;
}

CUresult check_none_captured(State& all) {
  CUresult result = CUDA_SUCCESS;
  for_each_captured(all, [&](Stream& stream) {
    if (stream.capture->mode != CU_STREAM_CAPTURE_MODE_RELAXED) {
      result = spoil(*stream.capture, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    }
  });
  return result;
}

std::span<const NamedFunction> capture_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuStreamBeginCapture, begin_capture),
      MOESAIC_NAMED_FUNCTION(cuStreamBeginCaptureToGraph, begin_capture_to_graph),
      MOESAIC_NAMED_FUNCTION(cuStreamEndCapture, end_capture),
      MOESAIC_NAMED_FUNCTION(cuStreamIsCapturing, get_status),
      MOESAIC_NAMED_FUNCTION(cuStreamGetCaptureInfo, get_info),
      MOESAIC_NAMED_FUNCTION(cuStreamUpdateCaptureDependencies, update_dependencies),
      MOESAIC_NAMED_FUNCTION(cuThreadExchangeStreamCaptureMode, exchange_mode),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
