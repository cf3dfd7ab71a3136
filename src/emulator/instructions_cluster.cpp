#include "emulator/block.hpp"
#include "emulator/cluster.hpp"

/// PTX ISA, "Parallel Synchronization and Communication Instructions: barrier.cluster", for clusters of one block.
namespace moesaic::emulator {
namespace {

template <bool kReleases>
Flow arrive(Warp& warp, const Instruction& instruction, Lanes active) {
  const ClusterArrivals& lanes = warp.block.cluster_arrivals(warp);
  if (const Lanes again = (lanes.arrived | lanes.passed) & active; again != 0) {
    warp.fail(Fault::Kind::invalid, instruction, again,
              "threads arrive at the cluster's barrier again before they have waited at it");
  }
  if (Observer* observer = warp.block.observer()) observer->cluster_arrived(warp, active, kReleases);
  warp.block.arrive_at_cluster(warp, active);
  return Flow::next;
}

Flow wait(Warp& warp, const Instruction& instruction, Lanes active) {
  ClusterArrivals& lanes = warp.block.cluster_arrivals(warp);
  if (const Lanes absent = active & ~(lanes.arrived | lanes.passed); absent != 0) {
    warp.fail(Fault::Kind::invalid, instruction, absent,
              "threads wait at the cluster's barrier at which they have not arrived");
  }
  const Lanes passed = lanes.passed & active;
  if (passed == active) {
    lanes.passed &= ~active;
    if (Observer* observer = warp.block.observer()) observer->cluster_passed(warp, active);
    return Flow::next;
  }
  if (passed != 0) {
    warp.part(passed);
  } else {
    warp.wait_for(Wait::cluster, 0);
  }
  return Flow::wait;
}

}  // namespace

void add_cluster_rows(InstructionTable& table) {
  table.add("barrier.cluster.arrive[.release]", "", Class::barrier, arrive<true>);
  table.add("barrier.cluster.arrive.relaxed", "", Class::barrier, arrive<false>);
  table.add("barrier.cluster.wait[.acquire]", "", Class::barrier, wait);
}

}  // namespace moesaic::emulator
