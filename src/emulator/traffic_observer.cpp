#include "emulator/traffic_observer.hpp"

#include <algorithm>
#include <array>

#include "emulator/block.hpp"
#include "emulator/grid_observer.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint32_t kBanks = 32;
constexpr std::uint32_t kBankBytes = 4;

}  // namespace

TrafficObserver::TrafficObserver(Block& block) : block_(block), checks_(block.grid.observer->checks()) {}

void TrafficObserver::touch(ptx::Space space, std::uint64_t address, std::uint32_t bytes, int lane, bool writes,
                            bool reads) {
  Traffic& traffic = block_.observed().traffic;
  if (checks_.counts) {
    Traffic::Bytes& moved = space == ptx::Space::shared  ? traffic.shared
                            : space == ptx::Space::local ? traffic.local
                                                         : traffic.global;
    const bool counts = space == ptx::Space::shared || space == ptx::Space::local || space == ptx::Space::global;
    if (counts && reads) moved.read += bytes;
    if (counts && writes) moved.written += bytes;
  }
  if (checks_.bank_conflicts && space == ptx::Space::shared) touches_.push_back({address, bytes, lane});
}

void TrafficObserver::end(const Instruction& instruction, const Traits& traits, Lanes active) {
  if (checks_.counts && traits.travel == Travel::multiply && active != 0) {
    ++block_.observed().mma_forms[instruction.row->name];
  }
  if (!touches_.empty()) count_wavefronts(instruction);
}

void TrafficObserver::count_wavefronts(const Instruction& instruction) {
  std::uint32_t widest = kBankBytes;
  for (const Touch& touch : touches_) widest = std::max(widest, touch.bytes);
  const int lanes_of_part = static_cast<int>(kBanks * kBankBytes / std::min<std::uint32_t>(widest, 16));
  Wavefronts& counted = block_.observed().wavefronts[instruction.line];
  for (int first = 0; first < kWarpLanes; first += lanes_of_part) {
    std::array<std::vector<std::uint64_t>, kBanks> words;  // asked of each bank
    std::size_t busiest = 0;
    for (const Touch& touch : touches_) {
      if (touch.lane < first || touch.lane >= first + lanes_of_part) continue;
      const std::uint64_t last = (touch.address + touch.bytes - 1) / kBankBytes;
      for (std::uint64_t word = touch.address / kBankBytes; word <= last; ++word) {
        std::vector<std::uint64_t>& asked = words[word % kBanks];
        if (std::find(asked.begin(), asked.end(), word) == asked.end()) asked.push_back(word);
        busiest = std::max(busiest, asked.size());
      }
    }
    if (busiest == 0) continue;
    counted.needed += 1;
    counted.taken += busiest;
  }
}

void TrafficObserver::copy_reads(Location from, std::uint32_t bytes) {
  Traffic& traffic = block_.observed().traffic;
  if (checks_.counts) (from.space == ptx::Space::shared ? traffic.copied_shared : traffic.copied_global).read += bytes;
}

void TrafficObserver::copy_writes(Location to, std::uint32_t bytes) {
  Traffic& traffic = block_.observed().traffic;
  if (checks_.counts) (to.space == ptx::Space::shared ? traffic.copied_shared : traffic.copied_global).written += bytes;
}

}  // namespace moesaic::emulator
