#include "cli/gpu_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <variant>
#include <vector>

#include "cli/nearest.hpp"
#include "spec/device_fields.hpp"
#include "spec/error.hpp"

namespace moesaic::cli {

const char* const kGpuFileHelp =
    "A card of one's own (--gpu FILE) is a JSON object with the fields of struct Device (src/spec/device.hpp): name, "
    "full_name,\n"
    "major, minor, sms, smem_per_block_bytes, smem_per_sm_bytes, smem_reserved_bytes, registers_per_sm, "
    "registers_per_block,\n"
    "threads_per_sm, blocks_per_sm, l2_bytes, memory_bytes, clock_mhz, memory_gb_per_s, integrated, and the rates "
    "read_gb_per_s,\n"
    "l2_bytes_per_clock, fast_flop_per_clock, plain_flop_per_clock. All but the rates must be there, unless\n"
    "\"based_on\" names a known card that has the others: {\"based_on\": \"rtx5090\", \"name\": \"half\", \"sms\": "
    "85}\n";

namespace {

using Json = nlohmann::json;

/// Fields that a file may leave out: the known card of the same capability has them.
constexpr std::array<std::string_view, 4> kRates{"read_gb_per_s", "l2_bytes_per_clock", "fast_flop_per_clock",
                                                 "plain_flop_per_clock"};

std::vector<std::string> known_cards() {
  std::vector<std::string> names;
  names.reserve(kDevices.size());
  for (const Device& card : kDevices) names.emplace_back(card.name);
  return names;
}

Json read_json(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (!stream) throw Error(fmt::format("--gpu {}: the file cannot be read", file));
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) throw Error(fmt::format("--gpu {}: the file is no JSON object", file));
  return json;
}

template <typename T>
void set(Device& device, T Device::*member, const Json& value, const std::string& where) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_boolean()) throw Error(where + " must be true or false");
    device.*member = value.get<bool>();
  } else if constexpr (std::is_same_v<T, double>) {
    if (!value.is_number() || !(value.get<double>() >= 0)) throw Error(where + " must be a number, 0 or more");
    device.*member = value.get<double>();
  } else {
    const bool whole = value.is_number_unsigned() &&
                       value.get<std::uint64_t>() <= static_cast<std::uint64_t>(std::numeric_limits<T>::max());
    if (!whole)
      throw Error(fmt::format("{} must be a whole number from 0 to {}", where, std::numeric_limits<T>::max()));
    device.*member = value.get<T>();
  }
}

/// The text of a field that may be missing when the card is based on another one.
std::string text_of(const Json& json, const char* field, std::string_view otherwise, const std::string& option) {
  const auto at = json.find(field);
  if (at == json.end() && !otherwise.empty()) return std::string(otherwise);
  if (at == json.end() || !at->is_string()) throw Error(fmt::format("--gpu {}: {} must be a text", option, field));
  return at->get<std::string>();
}

void refuse_unknown_fields(const Json& json, const std::string& option) {
  std::vector<std::string> known{"based_on", "name", "full_name"};
  for (const DeviceField& field : kDeviceFields) known.emplace_back(field.name);
  for (const auto& [name, value] : json.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw Error(fmt::format("--gpu {}: no field {} is known{}", option, name, did_you_mean(name, known)));
    }
  }
}

}  // namespace

GpuModel::GpuModel(const std::string& option) {
  if (const Device* known = find_device(option)) {
    device_ = *known;
    return;
  }
  if (!std::filesystem::is_regular_file(option)) {
    throw Error(
        fmt::format("--gpu {}: no card of that name, and no file{}", option, did_you_mean(option, known_cards())));
  }
  const Json json = read_json(option);
  refuse_unknown_fields(json, option);
  const bool based = json.contains("based_on");
  if (based) {
    const std::string base = text_of(json, "based_on", "", option);
    const Device* known = find_device(base);
    if (known == nullptr) {
      throw Error(
          fmt::format("--gpu {}: based_on {} is no known card{}", option, base, did_you_mean(base, known_cards())));
    }
    device_ = *known;
  }
  name_ = text_of(json, "name", device_.name, option);
  full_name_ = text_of(json, "full_name", device_.full_name, option);
  for (const DeviceField& field : kDeviceFields) {
    const auto at = json.find(std::string(field.name));
    if (at == json.end()) {
      const bool may_be_missing = based || std::find(kRates.begin(), kRates.end(), field.name) != kRates.end();
      if (!may_be_missing) throw Error(fmt::format("--gpu {}: {} is missing", option, field.name));
      continue;
    }
    const std::string where = fmt::format("--gpu {}: {}", option, field.name);
    std::visit([&](auto member) { set(device_, member, *at, where); }, field.member);
  }
  if (device_.sms < 1) throw Error(fmt::format("--gpu {}: sms must be 1 or more", option));
  if (device_.minor > 9) throw Error(fmt::format("--gpu {}: minor must be a digit, as in 12.1", option));
  device_.name = name_;
  device_.full_name = full_name_;
  device_ = with_rates(device_);
}

}  // namespace moesaic::cli
