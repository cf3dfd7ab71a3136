#include "emulator/async_copy.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "emulator/block.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint32_t kUsualDelay = 256;  // steps until an operation is done...
constexpr std::uint32_t kLongDelay = 8192;  // ...or for one in kLongDelayOdds
constexpr std::uint32_t kLongDelayOdds = 8;
constexpr std::uint64_t kNever = ~std::uint64_t{0};

/// One contiguous part of what an operation moves. Parts outside of a tensor have no global bytes.
struct Part {
  std::uint32_t shared = 0;
  std::uint64_t global = 0;
  std::uint32_t bytes = 0;
  bool inside = true;
};

bool reads_shared(const Copy& copy) {
  return copy.route == Copy::Route::store || copy.route == Copy::Route::move;
}

bool writes_shared(const Copy& copy) {
  return copy.route != Copy::Route::store;
}

}  // namespace

std::uint32_t Copy::total_bytes() const {
  return boxes == nullptr ? bytes : box_bytes(boxes->map) * static_cast<std::uint32_t>(boxes->count);
}

/// Calls visit(Part) for each part, in one order for reading and writing.
template <typename Visit>
void AsyncCopies::for_each_part(const Copy& copy, Visit&& visit) const {
  if (copy.boxes == nullptr) {
    visit(Part{copy.shared, copy.global, copy.bytes});
    return;
  }
  const TensorMap& map = copy.boxes->map;
  for (std::size_t i = 0; i < copy.boxes->count; ++i) {
    const std::uint32_t base = copy.shared + static_cast<std::uint32_t>(i) * box_span(map);
    for_each_piece(map, copy.boxes->starts[i], base, [&](const BoxPiece& piece) {
      visit(Part{piece.shared_address, piece.global_address, piece.bytes, piece.inside});
    });
  }
}

std::byte* AsyncCopies::global(const Copy& copy, std::uint64_t address, std::uint32_t bytes) const {
  return block_.warp(copy.warp).global(*copy.instruction, address, bytes, copy.lane);
}

std::uint64_t& AsyncCopies::groups(int warp, int lane, Completion completion) {
  groups_.resize(block_.thread_count() + kWarpLanes);
  return groups_[static_cast<std::size_t>(warp) * kWarpLanes + static_cast<std::size_t>(lane)]
                [completion == Completion::group ? 1 : 0];
}

void AsyncCopies::issue(Copy copy) {
  Random& random = block_.random();
  const std::uint32_t range = random.below(kLongDelayOdds) == 0 ? kLongDelay : kUsualDelay;
  const std::uint32_t delay = random.below(range);
  copy.read_step = block_.step() + 1 + random.below(delay + 1);
  copy.write_step = block_.step() + 1 + delay;
  copy.has_read = copy.route == Copy::Route::value;
  copy.sequence = ++issued_;
  if (copy.completion != Completion::mbarrier) copy.group = groups(copy.warp, copy.lane, copy.completion);
  if (copy.mbarrier != 0) copy.phase = block_.find_mbarrier(copy.mbarrier)->phase;
  copies_.push_back(std::move(copy));
  schedule();
  block_.note_effect();
}

void AsyncCopies::arrive_after_copies(const Instruction& instruction, int warp, int lane, std::uint32_t mbarrier) {
  arrivals_.push_back(Arrival{++issued_, mbarrier, &instruction, warp, lane});
  schedule();
  block_.note_effect();
}

void AsyncCopies::commit(int warp, Lanes lanes, Completion completion) {
  for_lanes(lanes, [&](int lane) { ++groups(warp, lane, completion); });
}

bool AsyncCopies::groups_done(int warp, Lanes lanes, Completion completion, std::uint64_t pending,
                              bool only_read) const {
  return std::none_of(copies_.begin(), copies_.end(), [&](const Copy& copy) {
    if (copy.warp != warp || (lanes >> copy.lane & 1U) == 0 || copy.completion != completion) return false;
    const auto thread = static_cast<std::size_t>(warp) * kWarpLanes + static_cast<std::size_t>(copy.lane);
    const std::uint64_t closed = groups_[thread][completion == Completion::group ? 1 : 0];
    return copy.group + pending < closed && !(only_read && copy.has_read);
  });
}

bool AsyncCopies::all_done(int warp, Lanes lanes) const {
  return std::none_of(copies_.begin(), copies_.end(), [&](const Copy& copy) {
    return copy.warp == warp && (lanes >> copy.lane & 1U) != 0 && copy.completion == Completion::group;
  });
}

bool AsyncCopies::is_ready(const Arrival& arrival) const {
  return std::none_of(copies_.begin(), copies_.end(), [&](const Copy& copy) {
    return copy.completion == Completion::group && copy.warp == arrival.warp && copy.lane == arrival.lane &&
           copy.sequence < arrival.sequence;
  });
}

void AsyncCopies::schedule() {
  next_step_ = kNever;
  for (const Copy& copy : copies_) next_step_ = std::min(next_step_, copy.has_read ? copy.write_step : copy.read_step);
  if (std::any_of(arrivals_.begin(), arrivals_.end(), [&](const Arrival& a) { return is_ready(a); })) next_step_ = 0;
}

void AsyncCopies::run(std::uint64_t step) {
  if (step < next_step_) return;
  for (std::size_t i = 0; i < copies_.size();) {
    Copy& copy = copies_[i];
    if (!copy.has_read && copy.read_step <= step) read(copy);
    if (!copy.has_read || copy.write_step > step) {
      ++i;
      continue;
    }
    const Copy done = std::move(copy);
    if (i + 1 != copies_.size()) copy = std::move(copies_.back());
    copies_.pop_back();
    write(done);
    finish(done);
  }
  for (std::size_t i = 0; i < arrivals_.size();) {
    if (!is_ready(arrivals_[i])) {
      ++i;
      continue;
    }
    const Arrival arrival = arrivals_[i];
    arrivals_.erase(arrivals_.begin() + static_cast<std::ptrdiff_t>(i));
    arrive(arrival);
  }
  schedule();
  block_.note_effect();
  block_.wake_copies();
}

void AsyncCopies::read(Copy& copy) {
  copy.has_read = true;
  Observer* observer = block_.observer();
  for_each_part(copy, [&](const Part& part) {
    const std::size_t at = copy.data.size();
    copy.data.resize(at + part.bytes);
    std::byte* to = copy.data.data() + at;
    if (copy.route == Copy::Route::load && !part.inside) {
      const std::array<std::byte, 16> outside = fill_pattern(copy.boxes->map);
      std::memcpy(to, outside.data(), part.bytes);
      return;
    }
    if (!part.inside) return;
    const std::uint32_t bytes = std::min(part.bytes, copy.source_bytes);
    if (bytes == 0) return;
    const std::uint32_t shared = copy.route == Copy::Route::move ? copy.shared_source : part.shared;
    const std::byte* from = reads_shared(copy) ? block_.shared(shared) : global(copy, part.global, bytes);
    std::memcpy(to, from, bytes);
    if (copy.route == Copy::Route::load && copy.boxes) round_elements(copy.boxes->map, {to, bytes});
    if (observer == nullptr) return;
    const Location source =
        reads_shared(copy) ? Location{ptx::Space::shared, shared} : Location{ptx::Space::global, part.global};
    observer->copy_reads(copy.ticket, source, bytes);
  });
}

/// Writes one part.
void write_part(const Copy& copy, const std::byte* from, std::byte* to, std::uint32_t bytes) {
  if (copy.reduction != nullptr) {
    for (std::uint32_t at = 0; at < bytes; at += copy.reduction->bytes) copy.reduction->run(to + at, from + at);
  } else if (copy.byte_mask == 0xffff) {
    std::memcpy(to, from, bytes);
  } else {
    for (std::uint32_t at = 0; at < bytes; ++at) {
      if ((copy.byte_mask >> (at % 16) & 1U) != 0) to[at] = from[at];
    }
  }
}

void AsyncCopies::write(const Copy& copy) {
  Observer* observer = block_.observer();
  const bool to_shared = writes_shared(copy);
  std::size_t at = 0;
  for_each_part(copy, [&](const Part& part) {
    const std::byte* from = copy.data.data() + at;
    at += part.bytes;
    if (part.bytes == 0 || (!part.inside && !to_shared)) return;
    const Location shared{ptx::Space::shared, part.shared};
    const Location moved{ptx::Space::shared, copy.shared_source};
    const Location far{ptx::Space::global, part.global};
    const Location& target = to_shared ? shared : far;
    std::byte* const to = to_shared ? block_.shared(part.shared) : global(copy, part.global, part.bytes);
    if (observer != nullptr) observer->copy_writes(copy.ticket, target, part.bytes, copy.reduction != nullptr);
    write_part(copy, from, to, part.bytes);
    if (observer == nullptr) return;
    const Location* source = copy.route == Copy::Route::load   ? &far
                             : copy.route == Copy::Route::move ? &moved
                                                               : &shared;
    if (copy.route == Copy::Route::value) source = nullptr;
    const std::uint32_t copied = part.inside ? std::min(part.bytes, copy.source_bytes) : 0;
    if (copied != 0) observer->copy_moved(copy.ticket, target, source, copied);
    if (copied != part.bytes) {
      observer->copy_moved(copy.ticket, {target.space, target.address + copied}, nullptr, part.bytes - copied);
    }
  });
}

/// Tells the mbarrier, if there is one.
void AsyncCopies::finish(const Copy& copy) {
  block_.count_copied(copy.total_bytes());
  Observer* observer = block_.observer();
  if (copy.mbarrier == 0) {
    if (observer != nullptr) observer->copy_done(copy.ticket);
    return;
  }
  const Warp& warp = block_.warp(copy.warp);
  const Lanes lane = Lanes{1} << copy.lane;
  Mbarrier* mbarrier = block_.find_mbarrier(copy.mbarrier);
  if (mbarrier == nullptr) {
    warp.fail(Fault::Kind::invalid, *copy.instruction, lane,
              "the mbarrier of this copy is gone when the copy completes");
  }
  const std::uint64_t phase = mbarrier->phase;
  const std::string wrong = mbarrier->complete(copy.total_bytes());
  if (!wrong.empty()) warp.fail(Fault::Kind::invalid, *copy.instruction, lane, wrong);
  if (observer != nullptr) observer->copy_done(copy.ticket);
  block_.mbarrier_changed(*mbarrier, phase);
}

void AsyncCopies::arrive(const Arrival& arrival) {
  const Warp& warp = block_.warp(arrival.warp);
  const Lanes lane = Lanes{1} << arrival.lane;
  Mbarrier* mbarrier = block_.find_mbarrier(arrival.mbarrier);
  if (mbarrier == nullptr) {
    warp.fail(Fault::Kind::invalid, *arrival.instruction, lane,
              "the mbarrier is gone when the copies that were to arrive there are complete");
  }
  const std::uint64_t phase = mbarrier->phase;
  const std::string wrong = mbarrier->arrive(1);
  if (!wrong.empty()) warp.fail(Fault::Kind::invalid, *arrival.instruction, lane, wrong);
  block_.mbarrier_changed(*mbarrier, phase);
}

void AsyncCopies::check_phase_end(std::uint32_t mbarrier, std::uint64_t phase) const {
  for (const Copy& copy : copies_) {
    if (copy.mbarrier != mbarrier || copy.phase != phase) continue;
    block_.warp(copy.warp).fail(
        Fault::Kind::invalid, *copy.instruction, Lanes{1} << copy.lane,
        fmt::format("phase {} of the mbarrier at {:#x} is complete while {} bytes of this copy, issued in that phase, "
                    "are under way: they were not expected",
                    phase, mbarrier, copy.total_bytes()));
  }
}

std::uint64_t AsyncCopies::bytes_under_way(std::uint32_t mbarrier) const {
  std::uint64_t bytes = 0;
  for (const Copy& copy : copies_) bytes += copy.mbarrier == mbarrier ? copy.total_bytes() : 0;
  return bytes;
}

void AsyncCopies::note_exit() {
  for (const Copy& copy : copies_) {
    if (copy.completion == Completion::group) continue;  // the card waits for these itself
    const bool pending = writes_shared(copy) || !copy.has_read;
    if (!pending || late_.instruction != nullptr) continue;
    late_ = {copy.instruction, copy.warp, copy.lane,
             fmt::format("all threads of the block have exited while this copy of {} bytes has yet to {} shared memory",
                         copy.total_bytes(), writes_shared(copy) ? "write" : "read")};
  }
  if (!copies_.empty() || late_.instruction == nullptr) return;
  block_.warp(late_.warp).fail(Fault::Kind::invalid, *late_.instruction, Lanes{1} << late_.lane, late_.what);
}

}  // namespace moesaic::emulator
