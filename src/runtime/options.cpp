#include "runtime/options.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <deque>
#include <sstream>

#include "spec/device_fields.hpp"
#include "spec/error.hpp"

namespace moesaic::runtime {
namespace {

/// Text that lives as long as the process: a Device refers to its names.
std::string_view keep(const std::string& text) {
  static std::deque<std::string> kept;
  return kept.emplace_back(text);
}

template <typename T>
T parse_number(const std::string& text, const std::string& name) {
  T value{};
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, value);
  if (text.empty() || parsed.ec != std::errc{} || parsed.ptr != end || value < 0) {
    throw Error(fmt::format("{}={}: a number is wanted, 0 or more", name, text));
  }
  return value;
}

void set_field(Device& card, const std::string& name, const std::string& value) {
  if (name == "name" || name == "full_name") {
    (name == "name" ? card.name : card.full_name) = keep(value);
    return;
  }
  for (const DeviceField& field : kDeviceFields) {
    if (field.name != name) continue;
    std::visit(
        [&](auto member) {
          auto& target = card.*member;
          if constexpr (std::is_same_v<decltype(member), bool Device::*>) {
            target = parse_number<int>(value, name) != 0;
          } else {
            target = parse_number<std::decay_t<decltype(target)>>(value, name);
          }
        },
        field.member);
    return;
  }
  throw Error(fmt::format("a card has no field {}", name));
}

std::string variable(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : value;
}

}  // namespace

Device parse_card(const std::string& text) {
  std::istringstream parts(text);
  std::string part;
  std::getline(parts, part, ';');
  const Device* known = find_device(part);
  if (known == nullptr) throw Error(fmt::format("no card {} is known", part));
  Device card = *known;
  while (std::getline(parts, part, ';')) {
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) throw Error(fmt::format("'{}' is not of the form field=value", part));
    set_field(card, part.substr(0, equals), part.substr(equals + 1));
  }
  if (card.sms < 1) throw Error("a card has 1 SM or more");
  return card;
}

std::string describe_card(const Device& card) {
  // Every field is written, so the card that it starts from says nothing.
  std::string text = fmt::format("{};name={};full_name={}", kDevices.front().name, card.name, card.full_name);
  for (const DeviceField& field : kDeviceFields) {
    std::visit(
        [&](auto member) {
          if constexpr (std::is_same_v<decltype(member), bool Device::*>) {
            text += fmt::format(";{}={}", field.name, card.*member ? 1 : 0);
          } else {
            text += fmt::format(";{}={}", field.name, card.*member);
          }
        },
        field.member);
  }
  return text;
}

emulator::DriverOptions options_from_environment() {
  emulator::DriverOptions options;
  const auto read = [](const char* name, const char* otherwise, auto&& parse) {
    const std::string value = variable(name, otherwise);
    try {
      return parse(value);
    } catch (const Error& error) {
      throw Error(fmt::format("{}={}: {}", name, value, error.what()));
    }
  };
  options.card = read(kGpuVariable, "gb10", parse_card);
  options.checks = read(kCheckVariable, "all", [](const std::string& text) { return emulator::parse_checks(text); });
  options.seed =
      read(kSeedVariable, "1", [](const std::string& text) { return parse_number<std::uint64_t>(text, "the seed"); });
  options.host_threads =
      read(kHostThreadsVariable, "0", [](const std::string& text) { return parse_number<int>(text, "the threads"); });
  options.spin_limit =
      read(kSpinLimitVariable, std::to_string(emulator::kSpinLimit).c_str(), [](const std::string& text) {
        const auto limit = parse_number<std::uint64_t>(text, "the instructions");
        if (limit == 0) throw Error("the instructions must be 1 or more");
        return limit;
      });
  return options;
}

std::vector<std::pair<std::string, std::string>> environment_of(const emulator::DriverOptions& options,
                                                                const std::string& checks) {
  return {{kGpuVariable, describe_card(options.card)},
          {kCheckVariable, checks},
          {kSeedVariable, std::to_string(options.seed)},
          {kHostThreadsVariable, std::to_string(options.host_threads)},
          {kSpinLimitVariable, std::to_string(options.spin_limit)}};
}

}  // namespace moesaic::runtime
