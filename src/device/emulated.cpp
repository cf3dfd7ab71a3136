#include "device/driver.hpp"
#include "emulator/driver.hpp"
#include "spec/error.hpp"

namespace moesaic::device {

Driver open_emulated_driver(const Place& place) {
  emulator::DriverOptions options{.card = *place.card, .seed = place.seed};
  if (place.sms > 0) options.card.sms = place.sms;
  emulator::configure(options);
  Driver driver = make_driver([](const char* name) {
    void* function = emulator::find_function(name);
    if (function == nullptr) throw Error(std::string("the emulated driver has no ") + name);
    return function;
  });
  driver.last_fault = emulator::last_fault;
  return driver;
}

}  // namespace moesaic::device
