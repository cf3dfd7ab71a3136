#include "emulator/driver_streams.hpp"

namespace moesaic::emulator::driver {

LaunchOrder order_of(const Stream& stream, const GridSet& known, bool programmatic) {
  LaunchOrder order;
  order.after.add(known);
  if (programmatic && stream.last_launch) {
    // What the launch before waited for has ended when it starts; what it waits for by griddepcontrol may be in flight.
    order.after.add(stream.last_order.after);
    order.programmatic.push_back(*stream.last_launch);
    return order;
  }
  order.after.add(stream.point.launches);
  order.programmatic = stream.point.programmatic;
  return order;
}

void append(Stream& stream, std::uint64_t launch, const LaunchOrder& order) {
  stream.point.launches.add(order.after);
  for (const std::uint64_t one : order.programmatic) stream.point.launches.add(one);
  stream.point.launches.add(launch);
  stream.point.programmatic.clear();
  stream.last_launch = launch;
  stream.last_order = order;
}

void wait_for(Stream& stream, const Point& point) {
  stream.point.launches.add(point.launches);
  stream.point.programmatic.insert(stream.point.programmatic.end(), point.programmatic.begin(),
                                   point.programmatic.end());
  stream.last_launch.reset();
}

}  // namespace moesaic::emulator::driver
