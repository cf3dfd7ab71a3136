#pragma once

#include <cuda.h>

#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "emulator/driver_operations.hpp"
#include "emulator/driver_streams.hpp"

/// Graphs, and the capture of streams into graphs (CUDA Driver API, "Graph Management").
namespace moesaic::emulator::driver {

/// A node of a graph.
struct Node {
  CUgraph graph = nullptr;
  Operation operation{};
  std::vector<Edge> after{};
  std::vector<void*> arguments{};  ///< pointers to the parameters of a kernel, for those who ask
};

struct Graph {
  std::vector<CUgraphNode> nodes{};  ///< in the order in which they were added
};

/// A graph made ready for launching: nodes in an order in which they can run, children put in place of their node.
struct ReadyGraph {
  struct Step {
    Operation operation{};
    struct Before {
      std::size_t step = 0;
      bool programmatic = false;
    };
    std::vector<Before> after{};
    bool enabled = true;
  };
  std::vector<Step> steps{};
  std::map<CUgraphNode, std::size_t> step_of{};  ///< of the graph's own nodes
};

/// One capture: of the stream in which it began, and of all that wait for what that stream does.
struct Capture {
  CUgraph graph = nullptr;
  CUstream origin = nullptr;
  CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_GLOBAL;
  std::thread::id thread{};
  bool invalid = false;
  std::uint64_t id = 0;
};

/// Makes an operation in a captured stream a node of the graph.
CUresult capture(State& all, Stream& stream, const Operation& operation);

/// A stream waits for an event of a stream that is captured: from here on it is captured too.
CUresult join_capture(State& all, Stream& stream, const Event& event);

/// Whether a call is legal that none may make while a stream is captured, unless that capture is a relaxed one.
CUresult check_none_captured(State& all);

/// Adds a node to a graph. Null if the graph or what it waits for is not there.
CUgraphNode add_node(State& all, CUgraph graph, const Operation& operation, const std::vector<Edge>& after);

/// Ends a graph with its nodes and children.
void remove_graph(State& all, CUgraph graph);

/// Copies a graph with its children; `copy_of` gets the copy of each node.
CUgraph copy_graph(State& all, CUgraph graph, std::map<CUgraphNode, CUgraphNode>& copy_of);

/// Makes a graph ready. Throws Error when its edges make a circle.
ReadyGraph make_ready(State& all, CUgraph graph);

/// A launch of a graph, which stops at functions of the program: they run without the driver's lock.
class GraphRun {
 public:
  GraphRun(std::shared_ptr<const ReadyGraph> graph, CUstream stream) : graph_(std::move(graph)), stream_(stream) {}

  /// Goes on to the next function of the program, which `call` then has, or to the end.
  CUresult advance(State& all, HostCall& call);

 private:
  using Step = ReadyGraph::Step;

  CUresult perform_step(State& all, const Step& step);
  CUresult perform_kernel(State& all, const Step& step, const KernelLaunch& launch);
  Point point_before(const Step& step) const;

  std::shared_ptr<const ReadyGraph> graph_;
  CUstream stream_;
  Point before_{};                     // what the stream had done
  std::vector<Point> points_{};        // after each step
  std::vector<LaunchOrder> orders_{};  // of each step that is a kernel
  std::vector<std::uint64_t> numbers_{};
};

}  // namespace moesaic::emulator::driver
