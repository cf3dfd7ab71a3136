#include "device/driver.hpp"
#include "emulator/driver.hpp"
#include "spec/error.hpp"

namespace moesaic::device {

Driver open_emulated_driver(const Place& place) {
  static std::weak_ptr<const void> taken;
  if (!taken.expired()) {
    throw Error("--device " + place.name() + ": another emulated card is in use in this process; one at a time");
  }
  emulator::DriverOptions options{.card = *place.card, .seed = place.seed};
  options.checks = emulator::parse_checks(place.checks);
  if (place.sms > 0) options.card.sms = place.sms;
  emulator::configure(options);
  Driver driver =
      make_driver([](const char* name) { return emulator::find_function(name); }, "the emulated driver has no ");
  driver.last_fault = emulator::last_fault;
  driver.take_findings = [] {
    std::string text;
    for (const emulator::Finding& finding : emulator::take_findings()) text += finding.sentence() + '\n';
    return text;
  };
  driver.lease = std::make_shared<int>();
  taken = driver.lease;
  return driver;
}

}  // namespace moesaic::device
