#include "isa/lanewise_cases.hpp"

#include <algorithm>
#include <map>
#include <string_view>

#include "emulator/operand_code.hpp"
#include "isa/row_signature.hpp"

namespace moesaic::isa {
namespace {

constexpr unsigned kThreads = 128;
constexpr std::size_t kTestsOfCase = 24;
constexpr std::size_t kImmediate = 3;  // the source of lop3 that is one

/// The register that holds a value of that type; ptxas wants e2m1x2 in 8 bits.
std::string register_type(const std::string& type) {
  if (type == "pred") return ".pred";
  if (type == "e2m1x2") return ".b8";
  return std::string(".b") + std::to_string(std::max(16U, type_bits(type)));
}

/// Makes the statements of one test.
class TestWriter {
 public:
  /// `immediate` takes the place of the fourth source, unless it is empty.
  TestWriter(const emulator::Row& row, std::string immediate)
      : row_(row), signature_(signature_of(row)), immediate_(std::move(immediate)) {}

  LaneTest write() {
    test_.row = &row_;
    test_.name = row_.name + (immediate_.empty() ? "" : " " + immediate_);
    declare_results();
    set_carry();
    line(row_.name + operands());
    show_carry();
    store_results();
    test_.sources = signature_.sources;
    return std::move(test_);
  }

 private:
  void line(const std::string& statement) { test_.statements += statement + ";\n"; }

  bool reads_carry() const {
    return row_.name.starts_with("addc") || row_.name.starts_with("subc") || row_.name.starts_with("madc");
  }
  bool writes_carry() const { return row_.name.find(".cc.") != std::string::npos; }

  void declare_results() {
    for (std::size_t i = 0; i < signature_.results.size(); ++i) {
      line(".reg " + register_type(signature_.results[i]) + " %d" + std::to_string(i));
    }
    line(".reg .b32 %w; .reg .b16 %h; .reg .pred %second");
  }

  /// The carry comes from the operands too.
  void set_carry() {
    if (!reads_carry()) return;
    line("shl.b32 %w, %carry, 31");
    line(std::string(row_.name.starts_with("subc") ? "sub" : "add") + ".cc.u32 %w, %w, 0x80000000");
  }
  void show_carry() {
    if (!writes_carry()) return;
    line(std::string(row_.name.starts_with("sub") ? "subc" : "addc") + ".u32 %w, 0, 0");
    store_word();
  }

  std::string operands() const {
    std::string text;
    std::size_t result = 0;
    std::size_t source = 0;
    for (const emulator::Code& code : emulator::parse_codes(row_.operands)) {
      text += text.empty() ? " " : ", ";
      if (code.kind == 'd' || code.kind == 'p') {
        text += std::string("%d") + std::to_string(result++) + (code.pair ? "|%second" : "");
      } else if (code.kind == 'S') {
        text += "{";
        for (std::size_t i = 0; i < code.count; ++i) text += (i == 0 ? "%s" : ", %s") + std::to_string(source++);
        text += "}";
      } else {
        text += source == kImmediate && !immediate_.empty() ? immediate_ : source_name(source);
        ++source;
      }
    }
    return text;
  }
  std::string source_name(std::size_t source) const {
    return (signature_.sources[source] == "pred" ? "%q" : "%s") + std::to_string(source);
  }

  void store_word() {
    line(std::string("st.global.b32 [%o4+") + std::to_string(test_.words * 4) + "], %w");
    test_.words += kElements;
  }
  void store_results() {
    for (std::size_t i = 0; i < signature_.results.size(); ++i) {
      const std::string type = register_type(signature_.results[i]);
      const std::string from = std::string("%d") + std::to_string(i);
      if (type == ".pred") {
        line("selp.b32 %w, 1, 0, " + from);
        if (signature_.second_predicate) line("@%second or.b32 %w, %w, 2");
      } else if (type == ".b8") {
        line("mov.b16 %h, {" + from + ", 0}");
        line("cvt.u32.u16 %w, %h");
      } else if (type == ".b16" && row_.name.starts_with("set.")) {
        // ptxas takes the upper half of such a result for zero, which it is not.
        line("mov.b32 %w, 0");
        store_word();
        line(std::string("st.global.b16 [%o4+") + std::to_string((test_.words - kElements) * 4) + "], " + from);
        continue;
      } else if (type == ".b16") {
        line("cvt.u32.u16 %w, " + from);
      } else if (type == ".b32") {
        line("mov.b32 %w, " + from);
      } else {
        line(std::string("st.global.b64 [%o8+") + std::to_string(test_.words * 4) + "], " + from);
        test_.words += 2 * kElements;
        continue;
      }
      store_word();
      if (signature_.second_predicate && type != ".pred") {
        line("selp.b32 %w, 1, 0, %second");
        store_word();
      }
    }
  }

  const emulator::Row& row_;
  Signature signature_;
  std::string immediate_;
  LaneTest test_;
};

/// Loads the operands of the thread's element and says where its results go.
std::string prologue(const std::vector<std::string>& sources) {
  std::string text =
      ".reg .b64 %element8, %from, %o4, %o8;\n.reg .b32 %carry;\n"
      "mul.wide.u32 %element8, %thread, 8;\nadd.u64 %from, %in, %element8;\nadd.u64 %o8, %out, %element8;\n"
      "shr.u64 %element8, %element8, 1;\nadd.u64 %o4, %out, %element8;\n"
      "ld.global.u32 %carry, [%in];\nxor.b32 %carry, %carry, %thread;\n";
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const std::string number = std::to_string(i);
    const std::string at = std::string(", [%from+") + std::to_string(i * kElements * 8) + "];\n";
    const std::string type = register_type(sources[i]);
    if (type == ".pred") {
      text += ".reg .pred %q" + number + "; .reg .b32 %s" + number + ";\nld.global.b32 %s" + number + at +
              "setp.ne.b32 %q" + number + ", %s" + number + ", 0;\n";
    } else if (type == ".b8") {
      text += ".reg .b8 %s" + number + "; .reg .b16 %l" + number + ";\nld.global.b16 %l" + number + at + "mov.b16 {%s" +
              number + ", _}, %l" + number + ";\n";
    } else {
      text += ".reg " + type + " %s" + number + ";\nld.global" + type + " %s" + number + at;
    }
  }
  return text;
}

Words input_of(const std::vector<std::string>& sources) {
  Words words;
  for (const Values& values : operand_values(sources, kElements)) {
    for (const std::uint64_t value : values) {
      words.push_back(static_cast<std::uint32_t>(value));
      words.push_back(static_cast<std::uint32_t>(value >> 32));
    }
  }
  return words;
}

Case start_case(const std::string& name, const std::vector<std::string>& sources) {
  Case one;
  one.name = name;
  one.body = prologue(sources);
  one.input = input_of(sources);
  one.threads = kThreads;
  one.blocks = kElements / kThreads;
  return one;
}

void append(Case& to, const LaneTest& test) {
  std::size_t words = 0;
  for (const Part& part : to.parts) words += part.words;
  to.body += "{\n";
  if (words != 0) {
    to.body += std::string("add.u64 %o4, %o4, ") + std::to_string(to.parts.back().words * 4) + ";\n";
    to.body += std::string("add.u64 %o8, %o8, ") + std::to_string(to.parts.back().words * 4) + ";\n";
  }
  to.body += test.statements + "}\n";
  to.parts.push_back(Part{test.name, {test.row->name}, test.words, test.statements});
}

}  // namespace

std::vector<LaneTest> lane_tests(const emulator::Row& row) {
  std::vector<LaneTest> tests;
  if (row.name.starts_with("lop3")) {
    for (const char* table : {"0x80", "0x96", "0xca", "0xe8", "0x1", "0x3c", "0xfe", "0x5b"}) {
      tests.push_back(TestWriter(row, table).write());
    }
  } else {
    tests.push_back(TestWriter(row, {}).write());
  }
  return tests;
}

std::vector<LaneTest> lane_tests(const std::function<bool(const emulator::Row&)>& wanted) {
  std::vector<LaneTest> all;
  for (const emulator::Row& row : emulator::InstructionTable::get().rows()) {
    if (!is_lanewise(row) || !wanted(row)) continue;
    for (LaneTest& test : lane_tests(row)) all.push_back(std::move(test));
  }
  return all;
}

std::vector<Case> cases_of(const std::vector<LaneTest>& tests, const std::string& name) {
  std::map<std::vector<std::string>, std::vector<const LaneTest*>> by_sources;
  for (const LaneTest& test : tests) by_sources[test.sources].push_back(&test);
  std::vector<Case> cases;
  for (const auto& [sources, group] : by_sources) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (i % kTestsOfCase == 0) cases.push_back(start_case(name + std::to_string(cases.size()), sources));
      append(cases.back(), *group[i]);
    }
  }
  return cases;
}

std::vector<Case> lanewise_cases() {
  const auto on_silicon = [](const emulator::Row& row) {
    return row.target == emulator::Target::any && row.proof == emulator::Proof::silicon;
  };
  return cases_of(lane_tests(on_silicon), "lanewise");
}

}  // namespace moesaic::isa
