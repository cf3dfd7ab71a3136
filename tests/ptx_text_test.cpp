// What may not stand in the PTX that ships: design.md, "Functions". An approximate function comes from undocumented
// tables and a float atomic adds in any order, so with either a real and an emulated card could differ.

#include <gtest/gtest.h>

#include <fstream>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

namespace {

/// The statements of a PTX text that are approximate or add floats atomically, each without its comment.
std::vector<std::string> inexact_statements(const std::string& ptx) {
  static const std::regex kApproximate{R"(\.approx\b|\bdiv\.full\b)"};
  static const std::regex kFloatAtomic{R"(\b(atom|red|multimem\.red|cp\.reduce)\.\S*\.(f16|bf16|f32|f64))"};
  std::vector<std::string> found;
  std::istringstream lines{ptx};
  for (std::string line; std::getline(lines, line);) {
    line.resize(std::min(line.size(), line.find("//")));
    if (std::regex_search(line, kApproximate) || std::regex_search(line, kFloatAtomic)) found.push_back(line);
  }
  return found;
}

/// The texts that nvcc made for this build, one for each architecture.
std::vector<std::string> shipped_ptx() {
  std::vector<std::string> texts;
  std::istringstream names{MOESAIC_PTX_FILES};
  for (std::string name; std::getline(names, name, ':');) {
    std::ostringstream text;
    text << std::ifstream{name}.rdbuf();
    texts.push_back(text.str());
  }
  return texts;
}

TEST(PtxText, HasOneTextPerArchitectureWithEntries) {
  const auto texts = shipped_ptx();
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_NE(texts[0].find(".target sm_90a"), std::string::npos);
  EXPECT_NE(texts[1].find(".target sm_120f"), std::string::npos);
  for (const auto& text : texts) EXPECT_NE(text.find(".entry "), std::string::npos);
}

TEST(PtxText, HasNoInexactStatement) {
  for (const auto& text : shipped_ptx()) {
    for (const auto& statement : inexact_statements(text)) ADD_FAILURE() << statement;
  }
}

TEST(PtxText, InexactStatementsAreFound) {
  for (const std::string statement :
       {"ex2.approx.ftz.f32 %f2, %f1;", "rcp.approx.f32 %f1, %f2;", "div.full.f32 %f1, %f2, %f3;",
        "tanh.approx.bf16x2 %r1, %r2;", "atom.global.add.f32 %f1, [%rd1], %f2;",
        "red.global.add.noftz.bf16x2 [%rd1], %r1;",
        "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%rd1], [%r1], 16;"}) {
    EXPECT_EQ(inexact_statements("\t@%p1 " + statement + "\n").size(), 1u) << statement;
  }
}

TEST(PtxText, ExactStatementsAreNot) {
  EXPECT_TRUE(inexact_statements("\tdiv.rn.f32 %f1, %f2, %f3;\n\tatom.global.add.u32 %r1, [%rd1], 1;\n"
                                 "\tfma.rn.f32 %f1, %f2, %f3, %f4; // was ex2.approx.f32\n")
                  .empty());
}

/// Whether, in an entry that makes mbarriers, a proxy fence stands between the last of them and the barrier of the
/// block that lets others start copies on them. The emulator does not look for a missing one yet.
bool fences_its_mbarriers(const std::string& entry) {
  const std::size_t made = entry.rfind("mbarrier.init");
  if (made == std::string::npos) return true;
  const std::size_t fence = entry.find("fence.proxy.async", made);
  const std::size_t together = entry.find("bar.sync", made);
  return fence < together && together != std::string::npos;
}

TEST(PtxText, MbarriersAreFencedForTheCopyEngine) {
  int with_mbarriers = 0;
  int gemms = 0;
  for (const auto& text : shipped_ptx()) {
    for (std::size_t at = text.find(".entry "); at != std::string::npos;) {
      const std::size_t next = text.find(".entry ", at + 1);
      const std::string entry = text.substr(at, next - at);
      if (entry.find("mbarrier.init") != std::string::npos) ++with_mbarriers;
      if (entry.starts_with(".entry moe_fp8_gemm_")) ++gemms;
      EXPECT_TRUE(fences_its_mbarriers(entry)) << entry.substr(0, entry.find('('));
      at = next;
    }
  }
  EXPECT_EQ(with_mbarriers, gemms);
  EXPECT_GT(gemms, 2);
  EXPECT_FALSE(fences_its_mbarriers("mbarrier.init.b64 [a], 1; bar.sync 0; fence.proxy.async;"));
  EXPECT_TRUE(fences_its_mbarriers("mbarrier.init.b64 [a], 1; fence.proxy.async; bar.sync 0;"));
}

}  // namespace
