#include "emulator/name_scopes.hpp"

#include <fmt/format.h>

namespace moesaic::emulator {
namespace {

/// The component that the letter after a vector's name selects, or -1.
int component_of(std::string_view suffix) {
  if (suffix.size() != 2) return -1;
  const std::size_t at = std::string_view("xyzwrgba").find(suffix[1]);
  return at == std::string_view::npos ? -1 : static_cast<int>(at % 4);
}

}  // namespace

void NameScopes::open() {
  scopes_.push_back(Scope{.parent = scope_, .names = {}, .labels = {}});
  scope_ = scopes_.size() - 1;
}

void NameScopes::rewind() {
  scope_ = 0;
  reopened_ = 0;
}

Meaning& NameScopes::declare(std::string_view name, ptx::Position position) {
  const auto [at, fresh] = scopes_[scope_].names.try_emplace(name);
  if (!fresh) throw ptx::SyntaxError(position, fmt::format("'{}' is declared twice", name));
  return at->second;
}

void NameScopes::declare_label(std::string_view name, ptx::Position position, std::uint32_t pc) {
  if (!scopes_[scope_].labels.emplace(name, pc).second) {
    throw ptx::SyntaxError(position, fmt::format("label '{}' stands twice", name));
  }
}

NameScopes::Found NameScopes::find_in(Scope& scope, std::string_view name) {
  if (const auto at = scope.names.find(name); at != scope.names.end() && !at->second.ranged) {
    return {&at->second, 0, at->second.lanes > 1};
  }
  std::size_t number = 0;
  std::size_t unit = 1;
  for (std::size_t length = name.size(); length > 1 && name.size() - length < 7;) {
    const char digit = name[--length];
    if (digit < '0' || digit > '9') break;
    number += static_cast<std::size_t>(digit - '0') * unit;
    unit *= 10;
    if (digit == '0' && length + 1 != name.size()) continue;  // no leading zeros
    const auto at = scope.names.find(name.substr(0, length));
    if (at == scope.names.end() || !at->second.ranged) continue;
    Meaning& meaning = at->second;
    if (number * meaning.lanes < meaning.slots.size()) return {&meaning, number * meaning.lanes, meaning.lanes > 1};
  }
  return {};
}

NameScopes::Found NameScopes::find_plain(std::string_view name) {
  for (std::size_t scope = scope_;; scope = scopes_[scope].parent) {
    const Found found = find_in(scopes_[scope], name);
    if (found.meaning != nullptr || scope == 0) return found;
  }
}

NameScopes::Found NameScopes::find(std::string_view name) {
  Found found = find_plain(name);
  const std::size_t dot = name.find('.');
  if (found.meaning != nullptr || dot == std::string_view::npos) return found;
  found = find_plain(name.substr(0, dot));
  const int component = component_of(name.substr(dot));
  if (!found.whole || component < 0 || component >= static_cast<int>(found.meaning->lanes)) return {};
  found.slot += static_cast<std::size_t>(component);
  found.whole = false;
  return found;
}

std::uint32_t NameScopes::label(std::string_view name, ptx::Position position) const {
  for (std::size_t scope = scope_;; scope = scopes_[scope].parent) {
    const auto at = scopes_[scope].labels.find(name);
    if (at != scopes_[scope].labels.end()) return at->second;
    if (scope == 0) throw ptx::SyntaxError(position, fmt::format("there is no label '{}' here", name));
  }
}

}  // namespace moesaic::emulator
