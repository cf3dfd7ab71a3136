#include "device/place.hpp"

#include <charconv>

#include "device/gpu.hpp"
#include "spec/error.hpp"

namespace moesaic::device {
namespace {

constexpr std::string_view kEmulatedPrefix = "emulated:";
constexpr std::string_view kGpuPrefix = "gpu:";

std::string known_places() {
  std::string text = "auto, cpu, gpu:N";
  for (const Device& card : kDevices) text += ", emulated:" + std::string(card.name);
  return text;
}

}  // namespace

std::string Place::name() const {
  switch (kind) {
    case Kind::gpu:
      return "gpu:" + std::to_string(ordinal);
    case Kind::emulated:
      return "emulated:" + std::string(card->name);
    case Kind::cpu:
      break;
  }
  return "cpu";
}

Place parse_place(std::string_view text) {
  const auto unknown = [text] {
    return Error("--device " + std::string(text) + ": no such place; known are " + known_places());
  };
  if (text == "cpu") return Place{};
  if (text == "gpu") return Place{.kind = Place::Kind::gpu};
  if (text.starts_with(kGpuPrefix)) {
    const std::string_view digits = text.substr(kGpuPrefix.size());
    Place place{.kind = Place::Kind::gpu};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), place.ordinal);
    if (error != std::errc{} || end != digits.data() + digits.size() || place.ordinal < 0) throw unknown();
    return place;
  }
  if (text.starts_with(kEmulatedPrefix)) {
    Place place{.kind = Place::Kind::emulated};
    place.card = find_device(text.substr(kEmulatedPrefix.size()));
    if (place.card == nullptr) throw unknown();
    return place;
  }
  throw unknown();
}

BestPlace best_place() {
  const Place gpu{.kind = Place::Kind::gpu};
  try {
    const Device device = Gpu(gpu).device();
    const int capability = device.capability();
    if (capability == 90 || capability == 120 || capability == 121) {
      return {gpu, "a GPU of compute capability " + std::to_string(device.major) + "." + std::to_string(device.minor) +
                       " is here and this build has code for it"};
    }
    return {Place{}, "the GPU here has compute capability " + std::to_string(device.major) + "." +
                         std::to_string(device.minor) + "; this build has code for 9.0, 12.0 and 12.1"};
  } catch (const Error& error) {
    return {Place{}, std::string("no GPU can be used: ") + error.what()};
  }
}

}  // namespace moesaic::device
