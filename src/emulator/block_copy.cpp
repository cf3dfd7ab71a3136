#include <algorithm>
#include <cstring>

#include "emulator/block.hpp"

/// Asynchronous copies, when they happen.
namespace moesaic::emulator {

/// `from` 0: the bytes were filled.
void Block::observe_piece(const Copy& copy, std::uint32_t to, std::uint64_t from, std::uint32_t bytes) {
  const Location target{ptx::Space::shared, to};
  const Location source{ptx::Space::global, from};
  if (from != 0) observer_->copy_reads(copy.ticket, source, bytes);
  observer_->copy_writes(copy.ticket, target, bytes);
  observer_->copy_moved(copy.ticket, target, from != 0 ? &source : nullptr, bytes);
}

/// Writes the bytes and then tells the mbarrier. The shared addresses were checked when the copy was issued; global
/// memory is looked at only now, as late as the card might.
void Block::complete(const Copy& copy) {
  Warp& warp = *warps_[static_cast<std::size_t>(copy.warp)];
  const auto source = [&](std::uint64_t address, std::uint32_t bytes) {
    return warp.global(*copy.instruction, address, bytes, copy.lane);
  };
  std::uint32_t total = copy.bytes;
  if (copy.map) {
    const std::array<std::byte, 16> outside = fill_pattern(*copy.map);
    for_each_piece(*copy.map, copy.start, copy.to, [&](const BoxPiece& piece) {
      const std::byte* from = piece.inside ? source(piece.global_address, piece.bytes) : outside.data();
      std::memcpy(shared(piece.shared_address), from, piece.bytes);
      if (observer_ != nullptr) {
        observe_piece(copy, piece.shared_address, piece.inside ? piece.global_address : 0, piece.bytes);
      }
    });
    total = box_bytes(*copy.map);
  } else {
    std::memcpy(shared(copy.to), source(copy.from, copy.bytes), copy.bytes);
    if (observer_ != nullptr) observe_piece(copy, copy.to, copy.from, copy.bytes);
  }
  statistics_.copied_bytes += total;
  Mbarrier* mbarrier = find_mbarrier(copy.mbarrier);
  const Lanes lane = Lanes{1} << copy.lane;
  if (mbarrier == nullptr) {
    warp.fail(Fault::Kind::invalid, *copy.instruction, lane,
              "the mbarrier of this copy is gone when the copy completes");
  }
  const std::uint64_t phase = mbarrier->phase;
  if (const char* wrong = mbarrier->complete(total)) warp.fail(Fault::Kind::invalid, *copy.instruction, lane, wrong);
  if (observer_ != nullptr) observer_->copy_done(copy.ticket);
  if (mbarrier->phase != phase) {
    if (observer_ != nullptr) observer_->mbarrier_advanced(*mbarrier);
    wake(copy.mbarrier);
  }
}

}  // namespace moesaic::emulator
