#include "cli/places.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "device/gpu.hpp"
#include "engine/gpu.hpp"
#include "spec/device.hpp"

namespace moesaic::cli {
namespace {

std::vector<std::string> place_names() {
  std::vector<std::string> names{"auto", "cpu", "gpu:0"};
  for (const Device& card : kDevices) names.push_back(fmt::format("emulated:{}", card.name));
  return names;
}

}  // namespace

ChosenPlace auto_place(device::BestPlace best, const Layer& layer) {
  const std::string reason = best.place.kind == device::Place::Kind::cpu ? "" : engine::why_not_gpu(layer);
  if (reason.empty()) return {best.place, std::move(best.reason)};
  return {device::Place{}, reason};
}

void require_runs_on(const Layer& layer, const device::Place& place) {
  if (place.kind == device::Place::Kind::cpu) return;
  try {
    const std::string reason = engine::why_not_gpu(layer);
    if (!reason.empty()) throw Error(fmt::format("{}: {}", layer.name, reason));
    if (place.kind == device::Place::Kind::gpu) static_cast<void>(device::Gpu(place));  // whether there is one
  } catch (const Error& e) {
    throw DeviceError(e.what());
  }
}

ChosenPlace choose_place(const std::string& option, std::uint64_t seed, const Layer& layer) {
  if (option == "auto") return auto_place(device::best_place(), layer);
  try {
    device::Place place = device::parse_place(option);
    place.seed = seed;
    return {place, "asked for with --device"};
  } catch (const Error& e) {
    throw Error(e.what() + did_you_mean(option, place_names()));
  }
}

std::unique_ptr<engine::Engine> make_engine(const Layer& layer, const device::Place& place) {
  if (place.kind == device::Place::Kind::cpu) return engine::make_cpu_engine(layer);
  try {
    return engine::make_gpu_engine(layer, place);
  } catch (const Error& e) {
    throw DeviceError(e.what());
  }
}

}  // namespace moesaic::cli
