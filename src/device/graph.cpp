#include "device/graph.hpp"

#include <utility>

#include "spec/error.hpp"

namespace moesaic::device {

Graph::Graph(Gpu& gpu, std::function<void()> launches) : gpu_(&gpu) {
  if (!gpu.has_graphs()) {
    launches_ = std::move(launches);
    return;
  }
  const Driver& driver = gpu.driver_;
  CUstream stream = nullptr;
  gpu.check(driver.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "creating a stream");
  const std::unique_ptr<CUstream_st, decltype(driver.cuStreamDestroy)> owned_stream(stream, driver.cuStreamDestroy);
  gpu.check(driver.cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "beginning a capture");
  CUgraph graph = nullptr;
  {
    // Launches go to the default stream again, come what may.
    const auto restore = [](Gpu* captured) { captured->stream_ = nullptr; };
    const std::unique_ptr<Gpu, decltype(restore)> captured(&gpu, restore);
    gpu.stream_ = stream;
    launches();
  }
  gpu.check(driver.cuStreamEndCapture(stream, &graph), "ending a capture");
  const std::unique_ptr<CUgraph_st, decltype(driver.cuGraphDestroy)> owned_graph(graph, driver.cuGraphDestroy);
  CUgraphExec executable = nullptr;
  gpu.check(driver.cuGraphInstantiate(&executable, graph, 0), "making a graph of the captured launches");
  executable_ = {executable,
                 [&driver](CUgraphExec graph_exec) { static_cast<void>(driver.cuGraphExecDestroy(graph_exec)); }};
}

void Graph::launch() const {
  if (launches_) return launches_();
  gpu_->check(gpu_->driver_.cuGraphLaunch(executable_.get(), nullptr), "launching a graph");
}

Stopwatch::Stopwatch(const Gpu& gpu) : gpu_(&gpu), start_(make_event()), stop_(make_event()) {}

Stopwatch::Event Stopwatch::make_event() const {
  const Driver& driver = gpu_->driver_;
  if (driver.cuEventElapsedTime == nullptr) throw Error("the driver of this card has no events: no time can be taken");
  CUevent event = nullptr;
  gpu_->check(driver.cuEventCreate(&event, CU_EVENT_DEFAULT), "creating an event");
  return {event, [&driver](CUevent made) { static_cast<void>(driver.cuEventDestroy(made)); }};
}

void Stopwatch::start() const {
  gpu_->check(gpu_->driver_.cuEventRecord(start_.get(), nullptr), "recording an event");
}

void Stopwatch::stop() const {
  gpu_->check(gpu_->driver_.cuEventRecord(stop_.get(), nullptr), "recording an event");
}

double Stopwatch::elapsed_us() const {
  gpu_->check(gpu_->driver_.cuEventSynchronize(stop_.get()), "waiting for an event");
  float milliseconds = 0;
  gpu_->check(gpu_->driver_.cuEventElapsedTime(&milliseconds, start_.get(), stop_.get()), "taking the time");
  return 1000.0 * static_cast<double>(milliseconds);
}

}  // namespace moesaic::device
