#include "emulator/fat_binary.hpp"

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <bit>
#include <cstring>
#include <tuple>

#include "spec/error.hpp"

namespace moesaic::emulator {
namespace {

static_assert(std::endian::native == std::endian::little, "fat binaries are little-endian");

constexpr std::uint32_t kMagic = 0xba55ed50;
constexpr std::size_t kContainerHeader = 16;
constexpr std::size_t kEntryHeader = 64;

constexpr std::uint64_t kFlagLz4 = 0x2000;
constexpr std::uint64_t kFlagZstd = 0x8000;
constexpr std::uint64_t kFlagArchSpecific = 0x100000;
constexpr std::uint64_t kFlagFamily = 0x200000;

/// More PTX than any program has; a damaged size must not take the machine's memory.
constexpr std::size_t kLargestPtx = std::size_t{1} << 29;

[[noreturn]] void malformed(const std::string& why) {
  throw Error("fat binary: " + why);
}

template <typename T>
T field(std::span<const std::byte> bytes, std::size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// Reads the entry whose header starts at bytes[0]; `stored` gets its size with header and padding.
FatBinaryEntry read_entry(std::span<const std::byte> bytes, std::size_t& stored) {
  if (bytes.size() < kEntryHeader) malformed("an entry is cut off in its header");
  const auto header_bytes = field<std::uint32_t>(bytes, 4);
  const auto padded_bytes = field<std::uint64_t>(bytes, 8);
  if (header_bytes < kEntryHeader || header_bytes > bytes.size()) {
    malformed(fmt::format("an entry's header of {} bytes", header_bytes));
  }
  if (padded_bytes > bytes.size() - header_bytes) {
    malformed(fmt::format("an entry of {} bytes where {} are left", padded_bytes, bytes.size() - header_bytes));
  }
  stored = header_bytes + padded_bytes;

  FatBinaryEntry entry;
  const auto kind = field<std::uint16_t>(bytes, 0);
  if (kind == 1) entry.kind = FatBinaryEntry::Kind::kPtx;
  if (kind == 2) entry.kind = FatBinaryEntry::Kind::kElf;
  entry.arch = static_cast<int>(field<std::uint32_t>(bytes, 0x1c) & 0xffffU);
  const auto flags = field<std::uint64_t>(bytes, 0x28);
  if ((flags & kFlagFamily) != 0) entry.suffix = 'f';
  if ((flags & kFlagArchSpecific) != 0) entry.suffix = 'a';
  if ((flags & kFlagLz4) != 0) entry.compression = FatBinaryEntry::Compression::kLz4;
  if ((flags & kFlagZstd) != 0) entry.compression = FatBinaryEntry::Compression::kZstd;
  entry.payload = bytes.subspan(header_bytes, padded_bytes);
  if (entry.compression != FatBinaryEntry::Compression::kNone) {
    const auto compressed_bytes = field<std::uint32_t>(bytes, 0x10);
    if (compressed_bytes > padded_bytes) malformed("a compressed entry is larger than its place");
    entry.payload = entry.payload.first(compressed_bytes);
    entry.uncompressed_bytes = field<std::uint64_t>(bytes, 0x38);
  }
  return entry;
}

/// Of several that run the highest is taken.
std::tuple<int, bool, bool> rank_of(const FatBinaryEntry& entry) {
  return {entry.arch, entry.suffix == 'a', entry.suffix == 'f'};
}

/// The entry's content, unpacked; text without the zero bytes that pad it.
std::string unpacked(const FatBinaryEntry& entry) {
  const auto* from = reinterpret_cast<const char*>(entry.payload.data());
  std::string text;
  if (entry.compression == FatBinaryEntry::Compression::kNone) {
    text.assign(from, entry.payload.size());
  } else {
    if (entry.uncompressed_bytes > kLargestPtx) {
      malformed(fmt::format("the code of {} claims {} bytes", entry.target(), entry.uncompressed_bytes));
    }
    // Before so much memory is taken for it: what the compressed bytes say of their size, or can be at most.
    constexpr std::size_t kLz4Ratio = 255;
    const bool is_zstd = entry.compression == FatBinaryEntry::Compression::kZstd;
    const auto told = is_zstd ? ZSTD_getFrameContentSize(from, entry.payload.size()) : ZSTD_CONTENTSIZE_UNKNOWN;
    const bool wrong = is_zstd ? told != ZSTD_CONTENTSIZE_UNKNOWN && told != entry.uncompressed_bytes
                               : entry.uncompressed_bytes / kLz4Ratio > entry.payload.size();
    if (wrong) malformed(fmt::format("the code of {} cannot be of {} bytes", entry.target(), entry.uncompressed_bytes));
    text.resize(entry.uncompressed_bytes);
    bool good = false;
    if (is_zstd) {
      good = ZSTD_decompress(text.data(), text.size(), from, entry.payload.size()) == text.size();
    } else {
      const int written =
          LZ4_decompress_safe(from, text.data(), static_cast<int>(entry.payload.size()), static_cast<int>(text.size()));
      good = written >= 0 && static_cast<std::size_t>(written) == text.size();
    }
    if (!good) malformed(fmt::format("the code of {} cannot be decompressed", entry.target()));
  }
  if (entry.kind == FatBinaryEntry::Kind::kPtx) text.resize(text.find_last_not_of('\0') + 1);
  return text;
}

}  // namespace

std::string FatBinaryEntry::target() const {
  return fmt::format("compute_{}{}", arch, suffix == 0 ? "" : std::string(1, suffix));
}

bool FatBinaryEntry::runs_on(int capability) const {
  if (suffix == 'a') return arch == capability;
  if (suffix == 'f' || kind == Kind::kElf) return arch / 10 == capability / 10 && arch <= capability;
  return arch <= capability;
}

std::size_t fat_binary_bytes(const void* image) {
  const std::span<const std::byte> header(static_cast<const std::byte*>(image), kContainerHeader);
  if (field<std::uint32_t>(header, 0) != kMagic) return 0;
  return field<std::uint16_t>(header, 6) + field<std::uint64_t>(header, 8);
}

std::vector<FatBinaryEntry> read_fat_binary(std::span<const std::byte> image) {
  if (image.size() < kContainerHeader || field<std::uint32_t>(image, 0) != kMagic) malformed("the magic is missing");
  const auto header_bytes = field<std::uint16_t>(image, 6);
  const auto body_bytes = field<std::uint64_t>(image, 8);
  if (header_bytes < kContainerHeader || header_bytes > image.size() || body_bytes > image.size() - header_bytes) {
    malformed(fmt::format("{} bytes hold less than the header says", image.size()));
  }
  std::vector<FatBinaryEntry> entries;
  std::span<const std::byte> rest = image.subspan(header_bytes, body_bytes);
  while (!rest.empty()) {
    std::size_t stored = 0;
    entries.push_back(read_entry(rest, stored));
    rest = rest.subspan(stored);
  }
  return entries;
}

std::string cubin_for(std::span<const std::byte> image, int capability, int* arch) {
  const std::vector<FatBinaryEntry> entries = read_fat_binary(image);
  const FatBinaryEntry* best = nullptr;
  for (const FatBinaryEntry& entry : entries) {
    if (entry.kind != FatBinaryEntry::Kind::kElf || !entry.runs_on(capability)) continue;
    if (best == nullptr || rank_of(entry) > rank_of(*best)) best = &entry;
  }
  if (best == nullptr) return {};
  if (arch != nullptr) *arch = best->arch;
  return unpacked(*best);
}

std::string ptx_for(std::span<const std::byte> image, int capability) {
  const std::vector<FatBinaryEntry> entries = read_fat_binary(image);
  const FatBinaryEntry* best = nullptr;
  std::string targets;
  for (const FatBinaryEntry& entry : entries) {
    if (entry.kind != FatBinaryEntry::Kind::kPtx) continue;
    targets += (targets.empty() ? "" : ", ") + entry.target();
    if (entry.runs_on(capability) && (best == nullptr || rank_of(entry) > rank_of(*best))) best = &entry;
  }
  if (best == nullptr) {
    throw Error(fmt::format("fat binary: no PTX for compute capability {}.{}; it has PTX of: {}", capability / 10,
                            capability % 10, targets.empty() ? "nothing" : targets));
  }
  return unpacked(*best);
}

}  // namespace moesaic::emulator
