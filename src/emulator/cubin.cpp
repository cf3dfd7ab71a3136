#include "emulator/cubin.hpp"

#include <fmt/format.h>

#include <cstring>
#include <string_view>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

constexpr std::uint16_t kCudaMachine = 190;  // EM_CUDA
constexpr std::size_t kSectionHeader = 64;   // bytes, of ELF64
constexpr std::size_t kSymbol = 24;
constexpr std::uint8_t kSizedValue = 4;        // an attribute of .nv.info with its size before it
constexpr std::uint8_t kRegisterCount = 0x2f;  // ... which pairs a symbol with its registers

using Bytes = std::span<const std::byte>;

template <typename T>
T field(Bytes bytes, std::uint64_t offset) {
  if (offset > bytes.size() || sizeof(T) > bytes.size() - offset) throw Error("cubin: the file is cut off");
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

Bytes part(Bytes bytes, std::uint64_t offset, std::uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) throw Error("cubin: a section is cut off");
  return bytes.subspan(offset, size);
}

/// The text at an offset of a string table, up to its zero.
std::string_view text_at(Bytes table, std::uint64_t offset) {
  if (offset >= table.size()) throw Error("cubin: a name lies outside of its table");
  const auto* begin = reinterpret_cast<const char*>(table.data()) + offset;
  return {begin, strnlen(begin, table.size() - offset)};
}

struct Section {
  std::string_view name;
  Bytes bytes;
  std::uint32_t link = 0;
};

std::vector<Section> sections_of(Bytes file) {
  const auto at = field<std::uint64_t>(file, 0x28);
  const auto count = field<std::uint16_t>(file, 0x3c);
  const auto names = field<std::uint16_t>(file, 0x3e);
  const auto header = [&](std::size_t i) {
    return part(file, at, std::uint64_t{count} * kSectionHeader).subspan(i * kSectionHeader, kSectionHeader);
  };
  const auto bytes_of = [&](std::size_t i) {
    constexpr std::uint32_t kNoBits = 8;
    const bool stored = field<std::uint32_t>(header(i), 4) != kNoBits;
    return stored ? part(file, field<std::uint64_t>(header(i), 0x18), field<std::uint64_t>(header(i), 0x20)) : Bytes{};
  };
  if (names >= count) throw Error("cubin: there is no table of section names");
  std::vector<Section> sections;
  for (std::size_t i = 0; i < count; ++i) {
    sections.push_back({text_at(bytes_of(names), field<std::uint32_t>(header(i), 0)), bytes_of(i),
                        field<std::uint32_t>(header(i), 0x28)});
  }
  return sections;
}

}  // namespace

std::vector<std::pair<std::string, std::uint32_t>> read_registers(Bytes cubin) {
  if (cubin.size() < 64 ||
      std::memcmp(cubin.data(),
                  "\x7f"
                  "ELF",
                  4) != 0 ||
      field<std::uint8_t>(cubin, 4) != 2) {
    throw Error("cubin: this is no 64-bit ELF file");
  }
  if (field<std::uint16_t>(cubin, 0x12) != kCudaMachine) throw Error("cubin: this ELF file is for another machine");
  const std::vector<Section> sections = sections_of(cubin);
  const Section* information = nullptr;
  for (const Section& section : sections) {
    if (section.name == ".nv.info") information = &section;
  }
  std::vector<std::pair<std::string, std::uint32_t>> found;
  if (information == nullptr || information->link >= sections.size()) return found;
  const Section& symbols = sections[information->link];
  if (symbols.link >= sections.size()) throw Error("cubin: the symbols have no names");
  const Bytes names = sections[symbols.link].bytes;
  for (std::uint64_t at = 0; at + 4 <= information->bytes.size();) {
    const auto format = field<std::uint8_t>(information->bytes, at);
    const auto attribute = field<std::uint8_t>(information->bytes, at + 1);
    const auto size = field<std::uint16_t>(information->bytes, at + 2);
    at += 4;
    if (format != kSizedValue) continue;
    if (attribute == kRegisterCount) {
      const auto symbol = field<std::uint32_t>(information->bytes, at);
      const auto name = field<std::uint32_t>(symbols.bytes, symbol * kSymbol);
      found.emplace_back(text_at(names, name), field<std::uint32_t>(information->bytes, at + 4));
    }
    at += size;
  }
  return found;
}

}  // namespace moesaic::emulator
