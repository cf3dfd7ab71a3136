#include "isa/async_script.hpp"

#include <algorithm>
#include <set>
#include <string_view>

#include "emulator/instruction.hpp"

namespace moesaic::isa {
namespace {

/// A loop of a warp over words: `statements` see the byte offset of the thread's word in %w0 and %d0.
std::string for_each_word(std::size_t words, const std::string& statements) {
  return "{\n.reg .pred %more;\nshl.b32 %w0, %t, 2;\nNEXT:\ncvt.u64.u32 %d0, %w0;\n" + statements +
         "add.u32 %w0, %w0, 128;\nsetp.lt.u32 %more, %w0, " + std::to_string(words * 4) + ";\n@%more bra NEXT;\n}\n";
}

/// "@%p0 mbarrier.arrive.b64 _, [%bar]" taken apart as far as its canonical name needs.
emulator::ptx::Instruction instruction_of(std::string_view statement) {
  statement.remove_prefix(statement.find_last_of('\n') + 1);
  if (statement.starts_with("@")) statement.remove_prefix(statement.find(' ') + 1);
  std::string_view words = statement.substr(0, statement.find(' '));
  emulator::ptx::Instruction instruction;
  instruction.opcode = words.substr(0, words.find('.'));
  words.remove_prefix(instruction.opcode.size());
  while (!words.empty()) {
    const std::string_view word = words.substr(0, words.find('.', 1));
    instruction.modifiers.push_back(word);
    words.remove_prefix(word.size());
  }
  return instruction;
}

/// The rows that only such cases prove, by the instructions in a text.
std::vector<std::string> rows_of(std::string_view text) {
  constexpr std::string_view kOpcodes[] = {"cp",       "mbarrier",  "fence",         "membar", "tensormap",
                                           "prefetch", "prefetchu", "applypriority", "st",     "red"};
  std::set<std::string> rows;
  for (std::size_t end = text.find(';'); end != std::string_view::npos; end = text.find(';')) {
    const emulator::ptx::Instruction instruction = instruction_of(text.substr(0, end));
    text.remove_prefix(end + 1);
    const auto& words = instruction.modifiers;
    const bool stores = instruction.opcode == "st" || instruction.opcode == "red";
    if (std::find(std::begin(kOpcodes), std::end(kOpcodes), instruction.opcode) == std::end(kOpcodes)) continue;
    if (stores && std::find(words.begin(), words.end(), ".async") == words.end()) continue;
    rows.insert(emulator::canonical_name(instruction));
  }
  return {rows.begin(), rows.end()};
}

}  // namespace

Words random_words(std::uint64_t seed, std::size_t count) {
  Random random(seed);
  Words words;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t word = random.word();
    switch (random.below(6)) {
      case 0:  // f32 near 1
        words.push_back((word & 0x80ffffffU) | 0x3f000000U);
        break;
      case 1:  // subnormal in f32; the lower half in f16
        words.push_back(word & 0x807f83ffU);
        break;
      case 2:  // f16 near 1
        words.push_back((word & 0x87ff87ffU) | 0x38003800U);
        break;
      case 3:
        words.push_back(word & 0xffU);
        break;
      default:
        words.push_back(word);
    }
  }
  return words;
}

AsyncScript::AsyncScript() {
  text_ = ".shared .align 1024 .b8 tile[" + std::to_string(kTileBytes) +
          "];\n.shared .align 8 .b64 bars[8];\n"
          ".reg .b32 %tile, %bar, %t, %r<8>, %w<4>;\n.reg .b64 %data, %d<8>;\n.reg .pred %one, %p<4>;\n"
          "mov.u32 %tile, tile;\nmov.u32 %bar, bars;\nmov.u32 %t, %tid.x;\nsetp.eq.u32 %one, %t, 0;\n"
          "add.u64 %data, %in, " +
          std::to_string(kDataBytes) + ";\n";
  text_ += for_each_word(kTileBytes / 4,
                         "add.u64 %d1, %in, %d0;\nld.global.b32 %w1, [%d1];\nadd.u32 %w2, %tile, %w0;\n"
                         "st.shared.b32 [%w2], %w1;\n");
  meet();
}

AsyncScript& AsyncScript::operator<<(const std::string& statement) {
  text_ += statement + ";\n";
  return *this;
}

AsyncScript& AsyncScript::by_one(const std::string& statement) {
  return *this << "@%one " + statement;
}

AsyncScript& AsyncScript::meet() {
  return *this << "fence.proxy.async"
               << "bar.sync 0";
}

AsyncScript& AsyncScript::init(int number, int arrivals) {
  by_one("mbarrier.init.shared::cta.b64 " + barrier(number) + ", " + std::to_string(arrivals));
  return meet();
}

AsyncScript& AsyncScript::expect(int number, std::size_t bytes) {
  return by_one("mbarrier.arrive.expect_tx.shared::cta.b64 _, " + barrier(number) + ", " + std::to_string(bytes));
}

AsyncScript& AsyncScript::wait(int number, int parity) {
  text_ += "{\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p0, " + barrier(number) + ", " +
           std::to_string(parity) + ";\n@!%p0 bra WAIT;\n}\n";
  return *this << "bar.sync 0";
}

std::string AsyncScript::barrier(int number) {
  return "[%bar+" + std::to_string(8 * number) + "]";
}

AsyncScript& AsyncScript::dump_tile() {
  *this << "bar.sync 0"
        << "add.u64 %d2, %out, " + std::to_string(words_ * 4);
  text_ += for_each_word(kTileBytes / 4,
                         "add.u32 %w2, %tile, %w0;\nld.shared.b32 %w1, [%w2];\nadd.u64 %d1, %d2, %d0;\n"
                         "st.global.b32 [%d1], %w1;\n");
  words_ += kTileBytes / 4;
  return *this;
}

AsyncScript& AsyncScript::fill_output(std::size_t words) {
  text_ += for_each_word(words,
                         "add.u64 %d1, %in, %d0;\nld.global.b32 %w1, [%d1];\nadd.u64 %d1, %out, %d0;\n"
                         "st.global.b32 [%d1], %w1;\n");
  words_ = words;
  return meet();
}

AsyncScript& AsyncScript::show(const std::string& word) {
  *this << "mul.wide.u32 %d0, %t, 4"
        << "add.u64 %d0, %d0, %out"
        << "st.global.b32 [%d0+" + std::to_string(words_ * 4) + "], " + word;
  words_ += 32;
  return *this;
}

AsyncScript& AsyncScript::show_predicate(const std::string& predicate) {
  *this << "selp.b32 %w0, 1, 0, " + predicate;
  return show("%w0");
}

Case AsyncScript::finish(const std::string& name, std::uint64_t seed) const {
  Case one;
  one.name = name;
  one.body = text_;
  one.input = random_words(seed, kInputWords);
  one.threads = 32;
  one.parts.push_back(Part{name, rows_of(text_), words_, {}});
  return one;
}

}  // namespace moesaic::isa
