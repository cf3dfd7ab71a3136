#include "emulator/observer.hpp"

#include "emulator/block.hpp"

namespace moesaic::emulator {

Observer::Observer(Block& block) : block_(block) {}

void Observer::begin(Warp&, const Instruction&, Lanes, Lanes) {}
void Observer::end(Warp&, const Instruction&, Lanes) {}
void Observer::touch(Warp&, const Instruction&, ptx::Space, std::uint64_t, std::uint32_t, int, Purpose) {}
void Observer::lanes_met(Warp&, Lanes) {}
void Observer::barrier_arrived(Warp&, Lanes, std::uint32_t) {}
void Observer::barrier_released(Warp&, Lanes, std::uint32_t) {}
void Observer::barrier_completed(std::uint32_t) {}
void Observer::mbarrier_initialised(Warp&, int, const Mbarrier&) {}
void Observer::mbarrier_removed(Warp&, int, const Mbarrier&) {}
void Observer::mbarrier_arrived(Warp&, int, const Mbarrier&) {}
void Observer::mbarrier_advanced(const Mbarrier&) {}
void Observer::mbarrier_passed(Warp&, int, const Mbarrier&) {}
void Observer::dependency_waited(Warp&, Lanes) {}
Ticket Observer::copy_issued(Warp&, const Instruction&, int, Completion, std::uint32_t) {
  return 0;
}
void Observer::copy_reads(Ticket, Location, std::uint32_t) {}
void Observer::copy_writes(Ticket, Location, std::uint32_t, bool) {}
void Observer::copy_moved(Location, const Location*, std::uint32_t) {}
void Observer::copy_done(Ticket) {}
void Observer::group_committed(Warp&, Lanes, Completion) {}
void Observer::group_waited(Warp&, Lanes, Completion, std::uint64_t, bool) {}
void Observer::all_waited(Warp&, Lanes) {}
void Observer::copies_will_arrive(Warp&, int, const Mbarrier&) {}

}  // namespace moesaic::emulator
