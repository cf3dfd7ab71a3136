#include <cuda.h>

#include <algorithm>

#include "emulator/driver_state.hpp"

/// Streams and events. Whoever waits for one, or asks whether it is done, lets all that was launched run.
namespace moesaic::emulator::driver {
namespace {

CUresult synchronize() {
  return with_context([](State& all) {
    if (const CUresult legal = check_none_captured(all); legal != CUDA_SUCCESS) return legal;
    if (const CUresult ran = run_pending(all); ran != CUDA_SUCCESS) return ran;
    all.known.add(point_of(all, all.legacy).launches);
    all.streams.for_each([&](const Stream& stream) { all.known.add(stream.point.launches); });
    return CUDA_SUCCESS;
  });
}

CUresult create_stream_with_priority(CUstream* stream, unsigned int flags, int priority) {
  return with_context([&](State& all) {
    if (stream == nullptr || flags > CU_STREAM_NON_BLOCKING) return CUDA_ERROR_INVALID_VALUE;
    Stream fresh;
    fresh.blocking = flags != CU_STREAM_NON_BLOCKING;
    fresh.flags = flags;
    fresh.priority = std::clamp(priority, -5, 0);
    *stream = all.streams.add(fresh);
    return CUDA_SUCCESS;
  });
}

CUresult create_stream(CUstream* stream, unsigned int flags) {
  return create_stream_with_priority(stream, flags, 0);
}

/// Calls body(stream) for a stream that is there.
template <typename Body>
CUresult with_stream(CUstream handle, const void* result, Body&& body) {
  return with_context([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (result == nullptr) return CUDA_ERROR_INVALID_VALUE;
    body(*stream);
    return CUDA_SUCCESS;
  });
}

CUresult stream_flags(CUstream handle, unsigned int* flags) {
  return with_stream(handle, flags, [&](const Stream& stream) { *flags = stream.flags; });
}
CUresult stream_priority(CUstream handle, int* priority) {
  return with_stream(handle, priority, [&](const Stream& stream) { *priority = stream.priority; });
}
CUresult stream_context(CUstream handle, CUcontext* context) {
  return with_stream(handle, context, [&](const Stream&) { *context = current_context(); });
}
CUresult stream_device(CUstream handle, CUdevice* device) {
  return with_stream(handle, device, [&](const Stream&) { *device = 0; });
}
CUresult stream_id(CUstream handle, unsigned long long* id) {
  return with_stream(handle, id, [&](const Stream&) { *id = reinterpret_cast<std::uintptr_t>(handle); });
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
  return with_context([&](State& all) {
    const Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (const CUresult legal = check_not_captured(all, handle); legal != CUDA_SUCCESS) return legal;
    if (const CUresult ran = run_pending(all); ran != CUDA_SUCCESS) return ran;
    all.known.add(point_of(all, *stream).launches);
    return CUDA_SUCCESS;
  });
}

CUresult wait_in_stream(CUstream handle, CUevent event, unsigned int flags) {
  return with_context([&](State& all) {
    if (flags > CU_EVENT_WAIT_EXTERNAL) return CUDA_ERROR_INVALID_VALUE;
    if (all.events.find(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return submit(all, handle, EventWait{.event = event});
  });
}

/// Calls a function of the program when all before it in the stream has run: now, without the driver's lock.
CUresult call_host(CUstream handle, CUhostFn function, void* data) {
  bool captured = false;
  const CUresult ready = with_context([&](State& all) {
    Stream* stream = find_stream(all, handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (function == nullptr) return CUDA_ERROR_INVALID_VALUE;
    captured = stream->capture != nullptr;
    if (captured) return submit(all, handle, HostCall{.function = function, .data = data});
    if (const CUresult legal = check_not_captured(all, handle); legal != CUDA_SUCCESS) return legal;
    stream->last_launch.reset();
    return run_pending(all);
  });
  if (ready == CUDA_SUCCESS && !captured) function(data);
  return ready;
}

/// A callback runs with the error of what came before it, too.
CUresult add_callback(CUstream handle, CUstreamCallback callback, void* data, unsigned int flags) {
  if (callback == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
  const CUresult ran = with_context([&](State& all) {
    if (find_stream(all, handle) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (const CUresult legal = check_not_captured(all, handle); legal != CUDA_SUCCESS) return legal;
    run_pending(all);
    return CUDA_SUCCESS;
  });
  if (ran != CUDA_SUCCESS) return ran;
  callback(handle, with_context([](State&) { return CUDA_SUCCESS; }), data);
  return CUDA_SUCCESS;
}

CUresult create_event(CUevent* event, unsigned int flags) {
  return with_context([&](State& all) {
    constexpr unsigned int kKnown = CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING | CU_EVENT_INTERPROCESS;
    const bool timed_of_processes = (flags & CU_EVENT_INTERPROCESS) != 0 && (flags & CU_EVENT_DISABLE_TIMING) == 0;
    if (event == nullptr || (flags & ~kKnown) != 0 || timed_of_processes) return CUDA_ERROR_INVALID_VALUE;
    Event fresh;
    fresh.without_timing = (flags & CU_EVENT_DISABLE_TIMING) != 0;
    *event = all.events.add(fresh);
    return CUDA_SUCCESS;
  });
}

CUresult record_event(CUevent event, CUstream handle) {
  return with_context([&](State& all) {
    if (all.events.find(event) == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return submit(all, handle, EventRecord{.event = event});
  });
}

CUresult record_event_with_flags(CUevent event, CUstream stream, unsigned int flags) {
  if (flags != CU_EVENT_RECORD_EXTERNAL) return record_event(event, stream);
  return with_context([](State&) {
    return refuse(CUDA_ERROR_NOT_SUPPORTED, "recording an event as an external node is not emulated");
  });
}

CUresult synchronize_event(CUevent event) {
  return with_context([&](State& all) {
    const Event* found = all.events.find(event);
    if (found == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (found->capture != nullptr) {
      if (found->capture->invalid) return CUDA_ERROR_INVALID_VALUE;
      found->capture->invalid = true;
      return CUDA_ERROR_CAPTURED_EVENT;
    }
    if (const CUresult ran = run_pending(all); ran != CUDA_SUCCESS) return ran;
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
    for (const Event* event : {from, to}) {
      if (event != nullptr && event->capture != nullptr) return CUDA_ERROR_INVALID_VALUE;
    }
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
      MOESAIC_NAMED_FUNCTION(cuStreamGetFlags, stream_flags),
      MOESAIC_NAMED_FUNCTION(cuStreamGetPriority, stream_priority),
      MOESAIC_NAMED_FUNCTION(cuStreamGetCtx, stream_context),
      MOESAIC_NAMED_FUNCTION(cuStreamGetId, stream_id),
      {"cuStreamGetDevice", reinterpret_cast<void*>(&stream_device)},
      MOESAIC_NAMED_FUNCTION(cuStreamAddCallback, add_callback),
      MOESAIC_NAMED_FUNCTION(cuLaunchHostFunc, call_host),
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
