// An emulated H200 against what an H200 answered: tests/fixtures/silicon, remade by
//   silicon_record gpu:0 tests/fixtures/silicon

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "device/place.hpp"
#include "isa/isa_fixture.hpp"
#include "reference/tensor_core.hpp"
#include "silicon/operands.hpp"
#include "silicon/silicon_probe.hpp"

namespace moesaic::silicon {
namespace {

using Words = std::vector<std::uint32_t>;

std::string read_file(const std::string& name) {
  const std::filesystem::path path = std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/silicon" / name;
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path << " is missing";
  return {std::istreambuf_iterator<char>(file), {}};
}

Words recorded(const std::string& section) {
  const std::string bytes = read_file(section + ".bin");
  Words words(bytes.size() / 4);
  std::memcpy(words.data(), bytes.data(), words.size() * 4);
  return words;
}

/// Fails with the first difference and the number of all.
void expect_same(const std::string& name, const Words& got, const Words& want) {
  ASSERT_EQ(got.size(), want.size()) << name;
  std::size_t different = 0;
  std::ostringstream first;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == want[i]) continue;
    if (different++ == 0) first << std::hex << "word 0x" << i << ": 0x" << got[i] << ", silicon has 0x" << want[i];
  }
  EXPECT_EQ(different, 0U) << name << ": " << first.str();
}

device::Driver emulated_h200(std::uint64_t seed) {
  device::Place place = device::parse_place("emulated:h200");
  place.sms = 2;
  place.seed = seed;
  return device::open_driver(place);
}

TEST(Silicon, EmulatedKernelsGiveTheSameBits) {
  for (const std::uint64_t seed : {1U, 2U}) {
    for (const Section& section : run_kernels(emulated_h200(seed))) {
      expect_same(section.name, section.words, recorded(section.name));
    }
  }
}

TEST(Silicon, EmulatedDriverRefusesTheSameCalls) {
  std::string lines;
  for (const std::string& line : run_wrong_calls(emulated_h200(1))) lines += line + "\n";
  EXPECT_EQ(lines, read_file("wrong_calls.txt"));
}

/// What differs between an answer and its record; empty when nothing does.
std::string difference(const isa::Record& record, const isa::Case& of, const isa::Part& part,
                       const std::uint32_t* words) {
  if (record.fingerprint != isa::fingerprint(of, part)) return "the case has changed since it was recorded";
  const std::vector<std::uint64_t> hashes = isa::hashes_of(words, part.words);
  if (record.hashes.size() != hashes.size()) return "the record has another size";
  std::string text;
  for (std::size_t i = 0; i < hashes.size(); ++i) {
    if (hashes[i] != record.hashes[i]) text.append(" ").append(std::to_string(i * isa::kWordsOfHash));
  }
  return text.empty() ? text : "other words than silicon's, among the 64 from each of" + text;
}

/// All cases of a family on an emulated H200.
void expect_as_recorded(const isa::Family& family) {
  const auto path =
      std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/silicon" / ("isa_" + family.name + ".bin");
  const isa::Records records = isa::read_records(path);
  const std::vector<isa::Case> cases = family.cases();
  std::size_t parts = 0;
  for (const isa::Answer& answer : isa::run_cases(emulated_h200(1), "sm_90a", cases)) {
    EXPECT_EQ(answer.error, "") << answer.of->name << " (" << answer.of->parts.front().name << ")";
    if (!answer.error.empty()) continue;
    const std::uint32_t* words = answer.words.data();
    for (const isa::Part& part : answer.of->parts) {
      const auto record = records.find(part.name);
      ++parts;
      EXPECT_NE(record, records.end()) << part.name << " was not recorded";
      if (record != records.end()) {
        EXPECT_EQ(difference(record->second, *answer.of, part, words), "") << part.name;
      }
      words += part.words;
    }
  }
  EXPECT_EQ(parts, records.size()) << family.name << ": there are records of no case";
}

TEST(Silicon, EveryInstructionGivesTheSameBits) {
  for (const isa::Family& family : isa::families()) expect_as_recorded(family);
}

/// The words of case `i` as values of another type.
template <typename T>
std::vector<T> part(const Words& words, std::size_t i, std::size_t words_per_case) {
  std::vector<T> values(words_per_case * 4 / sizeof(T));
  std::memcpy(values.data(), &words[i * words_per_case], words_per_case * 4);
  return values;
}

template <typename T>
void append(Words& to, const std::vector<T>& values) {
  const std::size_t before = to.size();
  to.resize(before + values.size() * sizeof(T) / 4);
  std::memcpy(&to[before], values.data(), values.size() * sizeof(T));
}

TEST(Silicon, TheTensorCoresArithmetic) {
  using reference::Half;
  using reference::Narrow;
  Words d;
  const Products e4m3 = products_e4m3();
  for (std::size_t i = 0; i < e4m3.cases; ++i) {
    auto c = part<float>(e4m3.c, i, 128);
    reference::mma_narrow_sm90(Narrow::kE4m3, Narrow::kE4m3, 32, part<std::uint8_t>(e4m3.a, i, 128).data(),
                               part<std::uint8_t>(e4m3.b, i, 64).data(), c.data(), c.data());
    append(d, c);
  }
  expect_same("mma_e4m3", d, recorded("mma_e4m3"));

  for (const Half type : {Half::kF16, Half::kBf16}) {
    d.clear();
    const Products halves = type == Half::kF16 ? products_f16() : products_bf16();
    for (std::size_t i = 0; i < halves.cases; ++i) {
      auto c = part<float>(halves.c, i, 128);
      reference::mma_half(type, 16, part<std::uint16_t>(halves.a, i, 128).data(),
                          part<std::uint16_t>(halves.b, i, 64).data(), c.data(), c.data());
      append(d, c);
    }
    const std::string name = type == Half::kF16 ? "mma_f16" : "mma_bf16";
    expect_same(name, d, recorded(name));
  }

  d.clear();
  const Products f16 = products_f16_f16();
  for (std::size_t i = 0; i < f16.cases; ++i) {
    auto c = part<std::uint16_t>(f16.c, i, 64);
    reference::mma_half_f16(16, part<std::uint16_t>(f16.a, i, 128).data(), part<std::uint16_t>(f16.b, i, 64).data(),
                            c.data(), c.data());
    append(d, c);
  }
  expect_same("mma_f16_f16", d, recorded("mma_f16_f16"));
}

}  // namespace
}  // namespace moesaic::silicon
