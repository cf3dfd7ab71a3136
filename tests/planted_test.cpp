// Every planted bug is caught and named; the same kernel without the bug raises nothing over 100 seeds.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <regex>

#include "emulator/machine.hpp"
#include "emulator/tensor_map.hpp"
#include "planted/catalogue.hpp"
#include "planted/params.hpp"
#include "temporary_directory.hpp"

namespace moesaic::planted {

// For the names of tests.
void PrintTo(const Planted& planted, std::ostream* out) {
  *out << planted.name;
}

namespace {

using emulator::Fault;
using emulator::Machine;

constexpr std::uint64_t kRightSeeds = 100;
constexpr std::uint64_t kBuggySeeds = 10;

/// A PTX text that nvcc made of planted.cu.
struct Text {
  explicit Text(const std::string& path, const char* card_name)
      : card(*find_device(card_name)), ptx(read_file(path)), lines(ptx) {}

  /// The text without other kernels than those of `planted`, each line at its place.
  std::string only(const Planted& planted) const {
    std::string rest = ptx;
    std::size_t at = 0;
    while ((at = rest.find("\n.visible .entry ", at)) != std::string::npos) {
      const std::size_t name = at + 17;
      const std::size_t end =
          std::min({rest.find("\n\t// .globl", at), rest.find("\n.func", at), rest.find("\n\t.file", at)});
      const std::string kernel = rest.substr(name, rest.find('(', name) - name);
      const bool wanted = kernel == planted.name + "_buggy" || kernel == planted.name + "_right" ||
                          kernel == planted.name + "_primary_buggy" || kernel == planted.name + "_primary_right";
      if (!wanted) {
        std::replace_if(
            rest.begin() + static_cast<std::ptrdiff_t>(at), rest.begin() + static_cast<std::ptrdiff_t>(end),
            [](char letter) { return letter != '\n'; }, ' ');
      }
      at = end;
    }
    return rest;
  }

  Device card;
  std::string ptx;
  SourceLines lines;
};

/// What the emulator said of a run.
struct Said {
  std::string kind;
  std::string text;
  std::vector<std::uint32_t> ptx_lines;  ///< of both parties, when it names two
};

/// An emulated card with what one run needs.
class Card {
 public:
  Card(const Text& text, const std::string& ptx, std::uint64_t seed)
      : machine_({.card = text.card,
                  .seed = seed,
                  .host_threads = 1,
                  .spin_limit = 2'000'000,
                  .checks = emulator::Checks::all()}),
        module_(machine_.load(ptx)) {
    std::vector<std::uint32_t> iota(kWords);
    std::iota(iota.begin(), iota.end(), 0U);
    in_ = upload(iota.data(), 4 * kWords);
    out_ = machine_.memory().allocate(4 * kWords);
    params_.load_map = map_of(in_);
    params_.store_map = map_of(out_);
    params_.in = pointer<const std::uint32_t>(in_);
    params_.out = pointer<std::uint32_t>(out_);
    params_.zeros = pointer<std::uint32_t>(upload(std::vector<std::uint32_t>(kWords).data(), 4 * kWords));
    params_.map = pointer<TensorMapBytes>(upload(std::vector(4, params_.load_map).data(), 4 * sizeof(TensorMapBytes)));
  }

  /// Launches the kernels and returns what the emulator found.
  std::vector<Said> run(const Planted& planted, const std::string& form) {
    std::vector<Said> said;
    try {
      emulator::LaunchOrder order;
      if (planted.pair) order.programmatic = {enqueue(planted, planted.name + "_primary_" + form, {})};
      enqueue(planted, planted.name + "_" + form, order);
      machine_.run();
    } catch (const Fault& fault) {
      said.push_back({std::string(name_of(fault.kind)), fault.what(), lines_of(fault)});
    }
    for (const emulator::Finding& finding : machine_.take_findings()) {
      said.push_back(
          {std::string(name_of(finding.kind)), finding.sentence(), {finding.where.line, finding.other.line}});
    }
    return said;
  }

 private:
  /// The line of the instruction, or those at which everybody waits.
  static std::vector<std::uint32_t> lines_of(const Fault& fault) {
    if (fault.place.line != 0) return {fault.place.line};
    static const std::regex kLine{R"(at line (\d+) )"};
    const std::string text = fault.what();
    std::vector<std::uint32_t> lines;
    for (std::sregex_iterator match{text.begin(), text.end(), kLine}, end; match != end; ++match) {
      lines.push_back(static_cast<std::uint32_t>(std::stoul((*match)[1])));
    }
    return lines;
  }

  std::uint64_t upload(const void* from, std::size_t bytes) {
    const std::uint64_t address = machine_.memory().allocate(bytes);
    machine_.memory().write(address, from, bytes);
    return address;
  }

  template <typename T>
  static T* pointer(std::uint64_t address) {
    return reinterpret_cast<T*>(address);  // NOLINT(performance-no-int-to-ptr): an address of the card
  }

  static TensorMapBytes map_of(std::uint64_t address) {
    const emulator::TensorMap map{.type = emulator::TensorType::kU32,
                                  .rank = 2,
                                  .address = address,
                                  .dims = {32, kWords / 32},
                                  .strides_bytes = {4, 128},
                                  .box = {32, kTileWords / 32},
                                  .element_strides = {1, 1}};
    emulator::check_encodable(map);
    return std::bit_cast<TensorMapBytes>(emulator::pack(map));
  }

  std::uint64_t enqueue(const Planted& planted, const std::string& kernel, const emulator::LaunchOrder& order) {
    return machine_.enqueue(*module_.find_kernel(kernel),
                            {.grid = {planted.blocks},
                             .block = {planted.threads},
                             .dynamic_shared_bytes = 4096,
                             .parameters = std::as_bytes(std::span(&params_, 1))},
                            order);
  }

  Machine machine_;
  const emulator::Module& module_;
  Params params_{};
  std::uint64_t in_ = 0;
  std::uint64_t out_ = 0;
};

std::string all_of(const std::vector<Said>& said) {
  std::string text;
  for (const Said& one : said) text += fmt::format("{}: {}\n", one.kind, one.text);
  return text;
}

/// Whether one of the things said is one that must be.
bool names_the_bug(const Text& text, const Planted& planted, const std::vector<Said>& said) {
  for (const Said& one : said) {
    for (const std::uint32_t line : one.ptx_lines) {
      const std::vector<SourceLine> places = text.lines.of(line);
      for (const Caught& caught : planted.caught) {
        if (std::ranges::count(caught.kinds, one.kind) != 0 && std::ranges::count(places, caught.where) != 0)
          return true;
      }
    }
  }
  return false;
}

const std::vector<Planted>& catalogue() {
  static const std::vector<Planted> all = read_catalogue(MOESAIC_SOURCE_DIR "/tests/planted");
  return all;
}

class PlantedBug : public testing::TestWithParam<Planted> {
 protected:
  static const std::vector<Text>& texts() {
    static const std::vector<Text> both{Text(MOESAIC_PLANTED_90A, "h200"), Text(MOESAIC_PLANTED_120F, "gb10")};
    return both;
  }
};

TEST_P(PlantedBug, IsCaughtAndNamed) {
  const Planted& planted = GetParam();
  for (const Text& text : texts()) {
    const std::string ptx = text.only(planted);
    std::vector<Said> said;
    bool caught = false;
    for (std::uint64_t seed = 1; seed <= (planted.always ? kBuggySeeds : kRightSeeds); ++seed) {
      said = Card(text, ptx, seed).run(planted, "buggy");
      caught = names_the_bug(text, planted, said);
      if (caught != planted.always) break;  // not always, or at last
    }
    EXPECT_TRUE(caught) << text.card.name << ":\n" << all_of(said);
  }
}

TEST_P(PlantedBug, IsNotSeenWhereItIsNot) {
  for (const Text& text : texts()) {
    const std::string ptx = text.only(GetParam());
    for (std::uint64_t seed = 1; seed <= kRightSeeds; ++seed) {
      const std::vector<Said> said = Card(text, ptx, seed).run(GetParam(), "right");
      EXPECT_TRUE(said.empty()) << text.card.name << ", seed " << seed << ":\n" << all_of(said);
      if (HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, PlantedBug, testing::ValuesIn(catalogue()),
                         [](const auto& one) { return one.param.name; });

TEST(PlantedBugs, AreAsManyAsTheyShouldBe) {
  EXPECT_GE(catalogue().size(), 110U);
}

}  // namespace
}  // namespace moesaic::planted
