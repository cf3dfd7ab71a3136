#include "cli/places.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "cli/exit_code.hpp"
#include "cli/nearest.hpp"
#include "device/gpu.hpp"
#include "engine/gpu.hpp"
#include "engine/kernel_set.hpp"
#include "spec/device.hpp"

namespace moesaic::cli {
namespace {

std::vector<std::string> place_names() {
  std::vector<std::string> names{"auto", "cpu", "gpu:0"};
  for (const Device& card : kDevices) names.push_back(fmt::format("emulated:{}", card.name));
  return names;
}

}  // namespace

ChosenPlace settle(const device::BestPlace& best, const Layer& layer, const Device& card) {
  const std::string reason = engine::why_not_on(layer, card);
  if (reason.empty()) return {best.place, best.reason};
  return {device::Place{}, fmt::format("{} is here and cannot run this layer: {}", card.full_name, reason)};
}

ChosenPlace choose_place(const std::string& option, std::uint64_t seed, const Layer* layer) {
  if (option == "auto") {
    const device::BestPlace best = device::best_place();
    if (best.place.kind == device::Place::Kind::cpu || layer == nullptr) return {best.place, best.reason};
    return settle(best, *layer, device::Gpu(best.place).device());
  }
  try {
    device::Place place = device::parse_place(option);
    place.seed = seed;
    return {place, "asked for with --device"};
  } catch (const Error& e) {
    throw Error(e.what() + did_you_mean(option, place_names()));
  }
}

std::optional<Device> require_runs_on(const Layer& layer, const ChosenPlace& chosen, const engine::Wishes& wishes) {
  const device::Place& place = chosen.place;
  if (place.kind == device::Place::Kind::cpu) {
    if (wishes.variant.empty()) return std::nullopt;
    throw Error(
        fmt::format("variant {} was asked for by {} and cannot run: the place is cpu ({}), which has no variants",
                    wishes.variant, wishes.wished_by, chosen.reason));
  }
  try {
    const bool emulated = place.kind == device::Place::Kind::emulated;
    const Device card = emulated ? *place.card : device::Gpu(place).device();
    const std::string reason = engine::why_not_on(layer, card);
    if (!reason.empty()) throw Error(fmt::format("{}: {}", layer.name, reason));
    for (const Experts* experts : {&layer.gate_up, &layer.down}) {
      const engine::Work work{
          .problem = {experts->experts, experts->rows, experts->cols}, .tokens = 1, .top_k = layer.shape.top_k};
      static_cast<void>(engine::choose(engine::KernelSet::variants(), work, card, wishes));
    }
    return card;
  } catch (const Error& e) {
    throw DeviceError(e.what());
  }
}

std::unique_ptr<engine::CardWeights> make_card_weights(const device::Place& place, const Layer& outline) {
  try {
    return std::make_unique<engine::CardWeights>(place, outline);
  } catch (const Error& e) {
    throw DeviceError(e.what());
  }
}

std::unique_ptr<engine::Engine> make_engine(const Layer& layer, const device::Place& place,
                                            std::unique_ptr<engine::CardWeights> card, engine::Wishes wishes) {
  if (place.kind == device::Place::Kind::cpu) return engine::make_cpu_engine(layer);
  try {
    if (card != nullptr) return engine::make_gpu_engine(layer, std::move(card), std::move(wishes));
    return engine::make_gpu_engine(layer, place, std::move(wishes));
  } catch (const Error& e) {
    throw DeviceError(e.what());
  }
}

}  // namespace moesaic::cli
