#include <cuda.h>

#include <algorithm>

#include "emulator/driver_state.hpp"

/// Streams and events. Whoever waits for one, or asks whether it is done, lets all that was launched run.
namespace moesaic::emulator::driver {
namespace {

CUresult synchronize() {
  return with_idle_card([](State& all) {
    all.known.add(point_of(all, all.legacy).launches);
    all.streams.for_each([&](const Stream& stream) { all.known.add(stream.point.launches); });
    return CUDA_SUCCESS;
  });
}

CUresult create_stream(CUstream* stream, unsigned int flags) {
  return with_context([&](State& all) {
    if (stream == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    Stream fresh;
    fresh.blocking = flags != CU_STREAM_NON_BLOCKING;
    *stream = all.streams.add(fresh);
    return CUDA_SUCCESS;
  });
}

CUresult create_stream_with_priority(CUstream* stream, unsigned int flags, int) {
  return create_stream(stream, flags);
}

/// What was launched into the stream runs; a blocking one stays before what comes later in the default stream.
CUresult destroy_stream(CUstream handle) {
  return with_idle_card([&](State& all) {
    const Stream* stream = all.streams.find(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->blocking) all.legacy.point.launches.add(stream->point.launches);
    all.streams.remove(handle);
    return CUDA_SUCCESS;
  });
}

CUresult synchronize_stream(CUstream handle) {
  return with_idle_card([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    all.known.add(point_of(all, *stream).launches);
    return CUDA_SUCCESS;
  });
}

CUresult wait_in_stream(CUstream handle, CUevent event, unsigned int) {
  return with_context([&](State& all) {
    Stream* stream = find_stream(all, handle);
    const Event* found = all.events.find(event);
    if (stream == nullptr || found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (found->recorded) wait_for(*stream, found->point);
    return CUDA_SUCCESS;
  });
}

CUresult create_event(CUevent* event, unsigned int flags) {
  return with_context([&](State& all) {
    if (event == nullptr) return CUDA_ERROR_INVALID_VALUE;
    Event fresh;
    fresh.without_timing = (flags & CU_EVENT_DISABLE_TIMING) != 0;
    *event = all.events.add(fresh);
    return CUDA_SUCCESS;
  });
}

CUresult record_event(CUevent event, CUstream handle) {
  return with_context([&](State& all) {
    Event* found = all.events.find(event);
    Stream* stream = find_stream(all, handle);
    if (found == nullptr || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *found = Event{.recorded = true,
                   .without_timing = found->without_timing,
                   .point = point_of(all, *stream),
                   .time = std::chrono::steady_clock::now()};
    stream->last_launch.reset();
    return CUDA_SUCCESS;
  });
}

CUresult record_event_with_flags(CUevent event, CUstream stream, unsigned int) {
  return record_event(event, stream);
}

CUresult synchronize_event(CUevent event) {
  return with_idle_card([&](State& all) {
    const Event* found = all.events.find(event);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    all.known.add(found->point.launches);
    return CUDA_SUCCESS;
  });
}

CUresult destroy_event(CUevent event) {
  return with_context([&](State& all) { return all.events.remove(event) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE; });
}

/// When the last launch before an event ended, or the event was recorded.
std::chrono::steady_clock::time_point time_of(const State& all, const Event& event) {
  auto time = event.time;
  // Recent launches are enough: earlier ones had ended when the event was recorded, or many others came after them.
  constexpr std::uint64_t kRecent = 4096;
  const std::uint64_t launches = all.machine->launches();
  event.point.launches.for_each_from(launches > kRecent ? launches - kRecent : 0, [&](std::uint64_t number) {
    if (const auto end = all.machine->end_of(number)) time = std::max(time, *end);
  });
  return time;
}

/// Wall-clock time of the emulation, which says nothing about a card's.
CUresult elapsed_time(float* milliseconds, CUevent start, CUevent end) {
  return with_idle_card([&](State& all) {
    const Event* from = all.events.find(start);
    const Event* to = all.events.find(end);
    if (milliseconds == nullptr) return CUDA_ERROR_INVALID_VALUE;
    if (from == nullptr || to == nullptr || !from->recorded || !to->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (from->without_timing || to->without_timing) return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = std::chrono::duration<float, std::milli>(time_of(all, *to) - time_of(all, *from)).count();
    return CUDA_SUCCESS;
  });
}

}  // namespace

std::span<const NamedFunction> stream_functions() {
  static const NamedFunction functions[] = {
      MOESAIC_NAMED_FUNCTION(cuCtxSynchronize, synchronize),
      MOESAIC_NAMED_FUNCTION(cuStreamCreate, create_stream),
      MOESAIC_NAMED_FUNCTION(cuStreamCreateWithPriority, create_stream_with_priority),
      MOESAIC_NAMED_FUNCTION(cuStreamDestroy, destroy_stream),
      MOESAIC_NAMED_FUNCTION(cuStreamSynchronize, synchronize_stream),
      MOESAIC_NAMED_FUNCTION(cuStreamQuery, synchronize_stream),
      MOESAIC_NAMED_FUNCTION(cuStreamWaitEvent, wait_in_stream),
      MOESAIC_NAMED_FUNCTION(cuEventCreate, create_event),
      MOESAIC_NAMED_FUNCTION(cuEventRecord, record_event),
      MOESAIC_NAMED_FUNCTION(cuEventRecordWithFlags, record_event_with_flags),
      MOESAIC_NAMED_FUNCTION(cuEventSynchronize, synchronize_event),
      MOESAIC_NAMED_FUNCTION(cuEventQuery, synchronize_event),
      MOESAIC_NAMED_FUNCTION(cuEventDestroy, destroy_event),
      MOESAIC_NAMED_FUNCTION(cuEventElapsedTime, elapsed_time),
  };
  return functions;
}

}  // namespace moesaic::emulator::driver
