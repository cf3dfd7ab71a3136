#include "emulator/observer.hpp"

#include "emulator/block.hpp"
#include "emulator/definedness.hpp"
#include "emulator/grid_observer.hpp"
#include "emulator/race_observer.hpp"
#include "emulator/traffic_observer.hpp"

namespace moesaic::emulator {

Observer::Observer(Block& block) : block_(block), grid_(*block.grid.observer) {
  if (grid_.checks().orders()) races_ = std::make_unique<RaceObserver>(block);
  if (grid_.checks().undefined) defined_ = std::make_unique<Definedness>(block);
  if (grid_.checks().counts || grid_.checks().bank_conflicts) traffic_ = std::make_unique<TrafficObserver>(block);
}

Observer::~Observer() = default;

const Traits& Observer::traits(const Instruction& instruction) const {
  return grid_.traits(instruction);
}

void Observer::begin(Warp& warp, const Instruction& instruction, Lanes asked, Lanes active) {
  if (defined_ != nullptr) defined_->begin(warp, instruction, traits(instruction), asked, active);
  if (traffic_ != nullptr) traffic_->begin();
}

void Observer::end(Warp& warp, const Instruction& instruction, Lanes active) {
  if (races_ != nullptr) races_->end(warp, instruction, traits(instruction), active);
  if (defined_ != nullptr) defined_->end(warp, instruction, traits(instruction), active);
  if (traffic_ != nullptr) traffic_->end(instruction, traits(instruction), active);
}

void Observer::called(Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame,
                      Lanes lanes) {
  if (defined_ != nullptr) defined_->called(warp, passage, function, frame, lanes);
}

void Observer::returned(Warp& warp, const Passage& passage, const FunctionCode& function, std::uint32_t frame,
                        Lanes lanes) {
  if (defined_ != nullptr) defined_->returned(warp, passage, function, frame, lanes);
}

void Observer::exchanged(Warp& warp, const Instruction& instruction, Lanes lanes, const std::vector<MovedSlot>& given,
                         const std::vector<MovedSlot>& taken) {
  if (defined_ == nullptr) return;
  const Traits of_rows = traits_of(instruction);
  defined_->move(warp, given);
  defined_->begin(warp, instruction, of_rows, lanes, lanes);
  defined_->end(warp, instruction, of_rows, lanes);
  defined_->move(warp, taken);
}

void Observer::local_grows(std::uint32_t from_bytes, std::uint32_t to_bytes) {
  if (defined_ != nullptr) defined_->local_grows(from_bytes, to_bytes);
}

void Observer::printed(Warp& warp, const Instruction& instruction, int lane, std::uint64_t address,
                       std::uint32_t bytes) {
  if (defined_ != nullptr) defined_->printed(warp, instruction, lane, address, bytes);
}

void Observer::touch(Warp& warp, const Instruction& instruction, ptx::Space space, std::uint64_t address,
                     std::uint32_t bytes, int lane, Purpose purpose) {
  if (space == ptx::Space::shared) address &= 0xffffffffU;
  if (races_ != nullptr) races_->touch(warp, instruction, traits(instruction), space, address, bytes, lane, purpose);
  if (defined_ != nullptr) defined_->touch(warp, instruction, space, address, bytes, lane, purpose);
  if (traffic_ == nullptr) return;
  const bool atomic = purpose == Purpose::atomic || traits(instruction).travel == Travel::atomic;
  const bool writes = purpose == Purpose::write || atomic;
  traffic_->touch(space, address, bytes, lane, writes, !writes || atomic);
}

void Observer::lanes_met(Warp& warp, Lanes lanes) {
  if (races_ != nullptr) races_->lanes_met(warp, lanes);
}

void Observer::barrier_arrived(Warp& warp, Lanes lanes, std::uint32_t id) {
  if (races_ != nullptr) races_->barrier_arrived(warp, lanes, id);
}

void Observer::barrier_released(Warp& warp, Lanes lanes, std::uint32_t id) {
  if (races_ != nullptr) races_->barrier_released(warp, lanes, id);
}

void Observer::barrier_completed(std::uint32_t id) {
  if (races_ != nullptr) races_->barrier_completed(id);
}

void Observer::cluster_arrived(Warp& warp, Lanes lanes, bool releases) {
  if (races_ != nullptr && releases) races_->cluster_arrived(warp, lanes);
}

void Observer::cluster_completed() {
  if (races_ != nullptr) races_->cluster_completed();
}

void Observer::cluster_passed(Warp& warp, Lanes lanes) {
  if (races_ != nullptr) races_->cluster_passed(warp, lanes);
}

void Observer::mbarrier_initialised(Warp& warp, int lane, const Mbarrier& barrier) {
  if (races_ != nullptr) races_->mbarrier_initialised(warp, lane, barrier);
}

void Observer::mbarrier_removed(Warp&, int, const Mbarrier& barrier) {
  if (races_ != nullptr) races_->mbarrier_removed(barrier);
}

void Observer::mbarrier_arrived(Warp& warp, int lane, const Mbarrier& barrier) {
  if (races_ == nullptr) return;
  races_->mbarrier_arrived(warp, lane, barrier, traits(warp.current()).order != MemoryOrder::relaxed);
}

void Observer::mbarrier_advanced(const Mbarrier& barrier) {
  if (races_ != nullptr) races_->mbarrier_advanced(barrier);
}

void Observer::mbarrier_passed(Warp& warp, int lane, const Mbarrier& barrier) {
  if (races_ == nullptr) return;
  races_->mbarrier_passed(warp, lane, barrier, traits(warp.current()).order != MemoryOrder::relaxed);
}

void Observer::dependency_waited(Warp& warp, Lanes lanes) {
  if (races_ != nullptr) races_->dependency_waited(warp, lanes);
}

Ticket Observer::copy_issued(Warp& warp, const Instruction& instruction, int lane, Completion completion,
                             std::uint32_t mbarrier) {
  if (free_tickets_.empty()) {
    free_tickets_.push_back(static_cast<Ticket>(issuers_.size()));
    issuers_.emplace_back();
  }
  const Ticket ticket = free_tickets_.back();
  free_tickets_.pop_back();
  issuers_[ticket] = Issuer{&instruction, warp.index, lane};
  if (races_ != nullptr) races_->copy_issued(ticket, warp, instruction, lane, completion, mbarrier);
  return ticket;
}

void Observer::copy_reads(Ticket ticket, Location from, std::uint32_t bytes) {
  if (races_ != nullptr) races_->copy_reads(ticket, from, bytes);
  if (traffic_ != nullptr) traffic_->copy_reads(from, bytes);
}

void Observer::copy_writes(Ticket ticket, Location to, std::uint32_t bytes, bool reduces) {
  if (races_ != nullptr) races_->copy_writes(ticket, to, bytes, reduces);
  if (traffic_ != nullptr) traffic_->copy_writes(to, bytes);
}

void Observer::copy_moved(Ticket ticket, Location to, const Location* from, std::uint32_t bytes) {
  const Issuer& issuer = issuers_[ticket];
  if (defined_ == nullptr) return;
  defined_->copy_moved(*issuer.instruction, issuer.warp, Lanes{1} << issuer.lane, to, from, bytes);
}

void Observer::copy_done(Ticket ticket) {
  if (races_ != nullptr) races_->copy_done(ticket);
  free_tickets_.push_back(ticket);
}

void Observer::finished() {
  if (races_ != nullptr && grid_.checks().races) races_->finished();
}

void Observer::group_committed(Warp& warp, Lanes lanes, Completion completion) {
  if (races_ != nullptr) races_->group_committed(warp, lanes, completion);
}

void Observer::group_waited(Warp& warp, Lanes lanes, Completion completion, std::uint64_t pending, bool only_read) {
  if (races_ != nullptr) races_->group_waited(warp, lanes, completion, pending, only_read);
}

void Observer::all_waited(Warp& warp, Lanes lanes) {
  if (races_ != nullptr) races_->all_waited(warp, lanes);
}

void Observer::copies_will_arrive(Warp& warp, int lane, const Mbarrier& barrier) {
  if (races_ != nullptr) races_->copies_will_arrive(warp, lane, barrier);
}

}  // namespace moesaic::emulator
