#include "emulator/driver_operations.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "emulator/driver_graph.hpp"
#include "emulator/driver_state.hpp"
#include "spec/error.hpp"

namespace moesaic::emulator::driver {
namespace {

/// More launches than this are not kept waiting: the program waits, as it does on a card whose queue is full.
constexpr std::size_t kMaxPending = 1000;

LaunchOrder order_in(State& all, const Stream& stream, const Wishes& wishes) {
  Stream with_others = stream;
  with_others.point = point_of(all, stream);
  LaunchOrder order = order_of(with_others, all.known, wishes.programmatic);
  // A launch right before in the same stream is the only one that may be overlapped: not those of other streams.
  if (wishes.programmatic && stream.last_launch) {
    if (&stream == &all.legacy) {
      order.after.add(all.per_thread.point.launches);
      all.streams.for_each([&](const Stream& other) {
        if (other.blocking) order.after.add(other.point.launches);
      });
    } else if (stream.blocking) {
      order.after.add(all.legacy.point.launches);
    }
  }
  order.release_at_start = wishes.release_at_start;
  return order;
}

CUresult perform_in(State& all, Stream& stream, const KernelLaunch& launch) {
  const LaunchOrder order = order_in(all, stream, launch.wishes);
  const std::uint64_t number = enqueue(all, launch, order);
  append(stream, number, order);
  if (launch.wishes.event != nullptr) {
    Event& event = *all.events.find(launch.wishes.event);
    event.record({.launches = order.after, .programmatic = {number}});
  }
  if (all.machine->pending() > kMaxPending) run_pending(all);
  return CUDA_SUCCESS;
}

/// Copies and fills: the host does them when all that was launched has run.
template <typename Work>
CUresult perform_in(State& all, Stream& stream, const Work& work) {
  const CUresult ran = run_pending(all);
  if (ran != CUDA_SUCCESS) return ran;
  stream.last_launch.reset();
  return perform(all.machine->memory(), work);
}

CUresult perform_in(State& all, Stream& stream, const EventRecord& record) {
  all.events.find(record.event)->record(point_of(all, stream));
  stream.last_launch.reset();
  return CUDA_SUCCESS;
}

CUresult perform_in(State& all, Stream& stream, const EventWait& wait) {
  const Event& event = *all.events.find(wait.event);
  if (event.recorded) wait_for(stream, event.point);
  return CUDA_SUCCESS;
}

CUresult perform_in(State& all, Stream& stream, const Nothing&) {
  stream.last_launch.reset();
  static_cast<void>(all);
  return CUDA_SUCCESS;
}

CUresult perform_in(State&, Stream&, const HostCall&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}
CUresult perform_in(State&, Stream&, const ChildGraph&) {
  return CUDA_ERROR_NOT_SUPPORTED;
}

/// Whether the side lies in memory that the card reaches. An address of the card's is one also where the call names
/// memory of the host.
bool on_card(const GlobalMemory& memory, const Copy::Side& side, std::uint64_t address, std::size_t bytes) {
  if (side.memory == Copy::Memory::card || GlobalMemory::is_card_address(address)) return true;
  return side.memory == Copy::Memory::either && memory.find(address, bytes) != nullptr;
}

void copy_row(GlobalMemory& memory, const Copy& copy, std::uint64_t to, std::uint64_t from) {
  const bool to_card = on_card(memory, copy.to, to, copy.width);
  const bool from_card = on_card(memory, copy.from, from, copy.width);
  auto* const host_to = reinterpret_cast<void*>(to);            // NOLINT(performance-no-int-to-ptr): the program's
  const auto* const host_from = reinterpret_cast<void*>(from);  // NOLINT(performance-no-int-to-ptr): the program's
  if (to_card && from_card) {
    memory.copy(to, from, copy.width);
  } else if (to_card) {
    memory.write(to, host_from, copy.width);
  } else if (from_card) {
    memory.read(host_to, from, copy.width);
  } else {
    std::memmove(host_to, host_from, copy.width);
  }
}

}  // namespace

CUresult submit(State& all, CUstream handle, const Operation& operation, bool known) {
  Stream* stream = find_stream(all, handle);
  if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
  if (const auto* wait = std::get_if<EventWait>(&operation); wait != nullptr && stream->capture == nullptr) {
    const Event& event = *all.events.find(wait->event);
    if (event.capture != nullptr) return join_capture(all, *stream, event);
  }
  if (stream->capture != nullptr) return capture(all, *stream, operation);
  if (const CUresult legal = check_not_captured(all, handle); legal != CUDA_SUCCESS) return legal;
  const CUresult done =
      std::visit([&](const auto& alternative) { return perform_in(all, *stream, alternative); }, operation);
  if (done == CUDA_SUCCESS && known) all.known.add(point_of(all, *stream).launches);
  return done;
}

CUresult perform(GlobalMemory& memory, const Copy& copy) {
  if (copy.width == 0) return CUDA_SUCCESS;
  for (std::size_t z = 0; z < copy.depth; ++z) {
    for (std::size_t y = 0; y < copy.height; ++y) {
      copy_row(memory, copy, copy.to.address + z * copy.to.slice + y * copy.to.pitch,
               copy.from.address + z * copy.from.slice + y * copy.from.pitch);
    }
  }
  return CUDA_SUCCESS;
}

CUresult perform(GlobalMemory& memory, const Fill& fill) {
  if (fill.width == 0) return CUDA_SUCCESS;
  if (fill.width > memory.capacity() / fill.element_bytes) return CUDA_ERROR_INVALID_VALUE;
  std::vector<std::byte> row(fill.width * fill.element_bytes);
  for (std::size_t i = 0; i < fill.width; ++i) {
    std::memcpy(row.data() + i * fill.element_bytes, &fill.value, fill.element_bytes);  // little-endian
  }
  for (std::size_t y = 0; y < fill.height; ++y) memory.write(fill.to + y * fill.pitch, row.data(), row.size());
  return CUDA_SUCCESS;
}

}  // namespace moesaic::emulator::driver
