#include "emulator/driver_graph.hpp"

#include <algorithm>

#include "emulator/driver_state.hpp"
#include "spec/error.hpp"

namespace moesaic::emulator::driver {
namespace {

using Step = ReadyGraph::Step;

/// Appends the nodes of a graph so that each comes after all that it waits for. What waits for nothing in the graph
/// waits for `before`. Gives the steps for which nothing in the graph waits.
class Flattener {
 public:
  Flattener(State& all, ReadyGraph& ready) : all_(all), ready_(ready) {}

  std::vector<Step::Before> append(CUgraph handle, const std::vector<Step::Before>& before, bool outermost) {
    const std::vector<CUgraphNode> nodes = (*all_.graphs.find(handle))->nodes;
    std::map<CUgraphNode, std::size_t> step_of;
    while (step_of.size() < nodes.size()) {
      const std::size_t done = step_of.size();
      for (const CUgraphNode node : nodes) {
        if (!step_of.contains(node) && is_ready(node, step_of)) step_of[node] = append_node(node, before, step_of);
      }
      if (step_of.size() == done) throw Error("the edges of the graph make a circle");
    }
    if (outermost) ready_.step_of = step_of;
    std::vector<Step::Before> last;
    for (const auto& [node, step] : step_of) {
      const auto waits = [&, wanted = node](CUgraphNode other) {
        return std::ranges::any_of(all_.nodes.find(other)->after,
                                   [&](const Edge& edge) { return edge.from == wanted; });
      };
      if (std::ranges::none_of(nodes, waits)) last.push_back({.step = step, .programmatic = false});
    }
    return last;
  }

 private:
  bool is_ready(CUgraphNode node, const std::map<CUgraphNode, std::size_t>& step_of) const {
    const std::vector<Edge>& after = all_.nodes.find(node)->after;
    return std::ranges::all_of(after, [&](const Edge& edge) { return step_of.contains(edge.from); });
  }

  std::size_t append_node(CUgraphNode handle, const std::vector<Step::Before>& before,
                          const std::map<CUgraphNode, std::size_t>& step_of) {
    const Node node = *all_.nodes.find(handle);
    Step step{.operation = node.operation};
    for (const Edge& edge : node.after) {
      step.after.push_back({.step = step_of.at(edge.from), .programmatic = edge.programmatic});
    }
    if (node.after.empty()) step.after = before;
    if (const auto* child = std::get_if<ChildGraph>(&node.operation)) {
      const std::vector<Step::Before> last = append(child->graph, step.after, false);
      step.operation = Nothing{};
      if (!last.empty()) step.after = last;
    }
    ready_.steps.push_back(std::move(step));
    return ready_.steps.size() - 1;
  }

  State& all_;
  ReadyGraph& ready_;
};

}  // namespace

CUgraphNode add_node(State& all, CUgraph graph, const Operation& operation, const std::vector<Edge>& after) {
  const auto* found = all.graphs.find(graph);
  if (found == nullptr) return nullptr;
  for (const Edge& edge : after) {
    const Node* node = all.nodes.find(edge.from);
    if (node == nullptr || node->graph != graph) return nullptr;
  }
  const CUgraphNode node = all.nodes.add({.graph = graph, .operation = operation, .after = after});
  (*found)->nodes.push_back(node);
  return node;
}

void remove_graph(State& all, CUgraph graph) {
  const auto* found = all.graphs.find(graph);
  if (found == nullptr) return;
  for (const CUgraphNode node : (*found)->nodes) {
    if (const auto* child = std::get_if<ChildGraph>(&all.nodes.find(node)->operation)) remove_graph(all, child->graph);
    all.nodes.remove(node);
  }
  all.graphs.remove(graph);
}

CUgraph copy_graph(State& all, CUgraph graph, std::map<CUgraphNode, CUgraphNode>& copy_of) {
  const std::vector<CUgraphNode> nodes = (*all.graphs.find(graph))->nodes;
  const CUgraph copy = all.graphs.add(std::make_shared<Graph>());
  for (const CUgraphNode node : nodes) {
    Operation operation = all.nodes.find(node)->operation;
    if (auto* child = std::get_if<ChildGraph>(&operation)) child->graph = copy_graph(all, child->graph, copy_of);
    copy_of[node] = add_node(all, copy, operation, {});
  }
  for (const CUgraphNode node : nodes) {
    std::vector<Edge>& after = all.nodes.find(copy_of.at(node))->after;
    for (const Edge& edge : all.nodes.find(node)->after) {
      after.push_back({.from = copy_of.at(edge.from), .programmatic = edge.programmatic});
    }
  }
  return copy;
}

ReadyGraph make_ready(State& all, CUgraph graph) {
  ReadyGraph ready;
  Flattener(all, ready).append(graph, {}, true);
  return ready;
}

Point GraphRun::point_before(const Step& step) const {
  if (step.after.empty()) return before_;
  Point point;
  for (const Step::Before& before : step.after) {
    const Point& other = points_[before.step];
    point.launches.add(other.launches);
    point.programmatic.insert(point.programmatic.end(), other.programmatic.begin(), other.programmatic.end());
  }
  return point;
}

CUresult GraphRun::perform_kernel(State& all, const Step& step, const KernelLaunch& launch) {
  LaunchOrder order;
  order.after.add(all.known);
  order.release_at_start = launch.wishes.release_at_start;
  if (step.after.empty()) {
    order.after.add(before_.launches);
    order.programmatic = before_.programmatic;
  }
  for (const Step::Before& before : step.after) {
    const bool overlaps = before.programmatic && numbers_[before.step] != 0;
    if (overlaps) {
      // What that kernel waited for has ended when it starts; it may itself be in flight.
      order.after.add(orders_[before.step].after);
      order.programmatic.push_back(numbers_[before.step] - 1);
      continue;
    }
    const Point& other = points_[before.step];
    order.after.add(other.launches);
    order.programmatic.insert(order.programmatic.end(), other.programmatic.begin(), other.programmatic.end());
  }
  const std::uint64_t number = enqueue(all, launch, order);
  Point point{.launches = order.after};
  for (const std::uint64_t one : order.programmatic) point.launches.add(one);
  point.launches.add(number);
  points_.push_back(std::move(point));
  orders_.push_back(std::move(order));
  numbers_.push_back(number + 1);
  return CUDA_SUCCESS;
}

CUresult GraphRun::perform_step(State& all, const Step& step) {
  if (const auto* launch = std::get_if<KernelLaunch>(&step.operation); launch != nullptr && step.enabled) {
    return perform_kernel(all, step, *launch);
  }
  Point point = point_before(step);
  CUresult result = CUDA_SUCCESS;
  const auto work = [&](const auto& copy_or_fill) {
    result = run_pending(all);
    if (result == CUDA_SUCCESS) result = driver::perform(all.machine->memory(), copy_or_fill);
  };
  if (step.enabled) {
    if (const auto* copy = std::get_if<Copy>(&step.operation)) work(*copy);
    if (const auto* fill = std::get_if<Fill>(&step.operation)) work(*fill);
    if (const auto* record = std::get_if<EventRecord>(&step.operation)) {
      if (Event* event = all.events.find(record->event)) event->record(point);
    }
    if (const auto* wait = std::get_if<EventWait>(&step.operation)) {
      const Event* event = all.events.find(wait->event);
      if (event != nullptr && event->recorded) point.launches.add(event->point.launches);
    }
  }
  points_.push_back(std::move(point));
  orders_.emplace_back();
  numbers_.push_back(0);
  return result;
}

CUresult GraphRun::advance(State& all, HostCall& call) {
  Stream* stream = find_stream(all, stream_);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  call = {};
  if (points_.empty()) before_ = point_of(all, *stream);
  while (points_.size() < graph_->steps.size()) {
    const Step& step = graph_->steps[points_.size()];
    const CUresult result = perform_step(all, step);
    if (result != CUDA_SUCCESS) return result;
    if (const auto* host = std::get_if<HostCall>(&step.operation); host != nullptr && step.enabled) {
      call = *host;
      return run_pending(all);
    }
  }
  for (const Point& point : points_) stream->point.launches.add(point.launches);
  stream->last_launch.reset();
  return CUDA_SUCCESS;
}

}  // namespace moesaic::emulator::driver
