#include "emulator/fat_binary.hpp"

#include <gtest/gtest.h>
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <random>

#include "spec/error.hpp"

extern "C" const unsigned char moesaic_silicon_begin[];
extern "C" const unsigned char moesaic_silicon_end[];

namespace moesaic::emulator {
namespace {

using Bytes = std::vector<std::byte>;
using Compression = FatBinaryEntry::Compression;

void append(Bytes& to, const void* from, std::size_t count) {
  const std::size_t before = to.size();
  to.resize(before + count);
  std::memcpy(to.data() + before, from, count);
}

/// One entry, written field by field as nvcc does.
Bytes entry(std::uint16_t kind, std::uint32_t arch, std::uint64_t flags, const std::string& text,
            Compression compression) {
  std::string stored = text;
  if (compression == Compression::kZstd) {
    stored.resize(ZSTD_compressBound(text.size()));
    stored.resize(ZSTD_compress(stored.data(), stored.size(), text.data(), text.size(), 3));
    flags |= 0x8000;
  }
  if (compression == Compression::kLz4) {
    stored.resize(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(text.size()))));
    stored.resize(static_cast<std::size_t>(LZ4_compress_default(
        text.data(), stored.data(), static_cast<int>(text.size()), static_cast<int>(stored.size()))));
    flags |= 0x2000;
  }
  const auto compressed_bytes = static_cast<std::uint32_t>(stored.size());
  stored.resize((stored.size() + 7) / 8 * 8);
  const std::uint32_t header_bytes = 64;
  const std::uint64_t padded_bytes = stored.size();
  const std::uint64_t uncompressed_bytes = text.size();
  Bytes bytes(header_bytes);
  std::memcpy(&bytes[0], &kind, 2);
  std::memcpy(&bytes[4], &header_bytes, 4);
  std::memcpy(&bytes[8], &padded_bytes, 8);
  if (compression != Compression::kNone) {
    std::memcpy(&bytes[0x10], &compressed_bytes, 4);
    std::memcpy(&bytes[0x38], &uncompressed_bytes, 8);
  }
  std::memcpy(&bytes[0x1c], &arch, 4);
  std::memcpy(&bytes[0x28], &flags, 8);
  append(bytes, stored.data(), stored.size());
  return bytes;
}

Bytes container(const std::vector<Bytes>& entries) {
  Bytes body;
  for (const Bytes& one : entries) append(body, one.data(), one.size());
  const std::uint32_t magic = 0xba55ed50;
  const std::uint16_t version = 1;
  const std::uint16_t header_bytes = 16;
  const std::uint64_t body_bytes = body.size();
  Bytes bytes;
  append(bytes, &magic, 4);
  append(bytes, &version, 2);
  append(bytes, &header_bytes, 2);
  append(bytes, &body_bytes, 8);
  append(bytes, body.data(), body.size());
  return bytes;
}

std::string long_text(const std::string& name) {
  std::string text = "\n\n.version 9.0\n";
  for (int i = 0; i < 200; ++i) text += "// " + name + " line " + std::to_string(i) + "\n";
  return text;
}

TEST(FatBinary, UnpacksEachCompression) {
  for (const Compression compression : {Compression::kNone, Compression::kZstd, Compression::kLz4}) {
    const Bytes image = container({entry(1, 80, 0x11, long_text("ptx"), compression)});
    EXPECT_EQ(ptx_for(image, 90), long_text("ptx"));
    EXPECT_EQ(fat_binary_bytes(image.data()), image.size());
  }
}

TEST(FatBinary, ChoosesAsADriverDoes) {
  const auto ptx = [](std::uint32_t arch, std::uint64_t flags, const std::string& name) {
    return entry(1, arch, flags, name, Compression::kNone);
  };
  const Bytes image = container({ptx(80, 0, "80"), ptx(90, 0, "90"), ptx(90, 0x100000, "90a"), ptx(120, 0, "120"),
                                 ptx(120, 0x200000, "120f"), ptx(121, 0x100000, "121a"),
                                 entry(2, 120, 0x100000, "machine code", Compression::kNone)});
  EXPECT_EQ(ptx_for(image, 80), "80");
  EXPECT_EQ(ptx_for(image, 89), "80");
  EXPECT_EQ(ptx_for(image, 90), "90a");
  EXPECT_EQ(ptx_for(image, 100), "90");
  EXPECT_EQ(ptx_for(image, 120), "120f");
  EXPECT_EQ(ptx_for(image, 121), "121a");
  EXPECT_EQ(ptx_for(image, 130), "120");
  EXPECT_THROW(ptx_for(image, 75), Error);

  const Bytes family = container({ptx(121, 0x200000, "121f")});
  EXPECT_EQ(ptx_for(family, 121), "121f");
  EXPECT_THROW(ptx_for(family, 120), Error);
}

std::span<const std::byte> compiled_image() {
  return {reinterpret_cast<const std::byte*>(moesaic_silicon_begin),
          static_cast<std::size_t>(moesaic_silicon_end - moesaic_silicon_begin)};
}

TEST(FatBinary, ReadsWhatNvccWrites) {
  const auto image = compiled_image();
  EXPECT_EQ(fat_binary_bytes(image.data()), image.size());
  std::string targets;
  for (const FatBinaryEntry& one : read_fat_binary(image)) {
    targets += (one.kind == FatBinaryEntry::Kind::kPtx ? "ptx " : "elf ") + one.target() + "\n";
  }
  EXPECT_EQ(targets, "elf compute_90a\nptx compute_90a\nelf compute_120f\nptx compute_120f\n");
  EXPECT_NE(ptx_for(image, 90).find(".target sm_90a"), std::string::npos);
  EXPECT_NE(ptx_for(image, 121).find(".target sm_120f"), std::string::npos);
  try {
    ptx_for(image, 100);
    FAIL() << "10.0 has no PTX there";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(),
                 "fat binary: no PTX for compute capability 10.0; it has PTX of: compute_90a, compute_120f");
  }
}

TEST(FatBinary, DamageIsAnErrorAndNeverACrash) {
  const auto image = compiled_image();
  int refused = 0;
  const auto try_to_read = [&](std::span<const std::byte> bytes) {
    try {
      ptx_for(bytes, 90);
    } catch (const Error&) {
      ++refused;
    }
  };
  for (std::size_t size = 0; size < image.size(); size += 13)
    try_to_read(Bytes(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(size)));
  EXPECT_EQ(refused, static_cast<int>((image.size() + 12) / 13)) << "every cut must be noticed";
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Bytes damaged(image.begin(), image.end());
    damaged[random() % (i % 2 == 0 ? 96 : damaged.size())] = static_cast<std::byte>(random());
    try_to_read(damaged);
  }
}

}  // namespace
}  // namespace moesaic::emulator
