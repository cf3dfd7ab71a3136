#include <algorithm>
#include <array>

#include "emulator/instruction.hpp"

namespace moesaic::emulator {
namespace {

using Words = std::vector<std::string_view>;

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Modifiers of memory instructions that only matter to caches and to the order of accesses. The machine makes every
/// access to global memory in order and at once.
bool is_order_or_cache(std::string_view word) {
  return word.starts_with(".L1::") || word.starts_with(".L2::") ||
         is_one_of(word, {".weak", ".relaxed", ".acquire", ".release", ".acq_rel", ".sc", ".volatile",
                          ".mmio", ".cta",     ".cluster", ".gpu",     ".sys",     ".ca", ".cg",
                          ".cs",   ".lu",      ".cv",      ".wb",      ".wt",      ".nc", ".unified"});
}

bool is_dropped(const ptx::Instruction& instruction, std::string_view word) {
  const std::string_view opcode = instruction.opcode;
  if (is_one_of(opcode, {"ld", "st", "atom", "red", "prefetch", "mbarrier", "fence", "membar", "tensormap"})) {
    return is_order_or_cache(word) || (opcode == "fence" && word.starts_with(".shared"));
  }
  if (opcode == "cp") {
    // cp.async has other operands where its policy may stand: the hint tells them apart.
    const auto& words = instruction.modifiers;
    const bool bulk = std::find(words.begin(), words.end(), ".bulk") != words.end();
    return word == ".tile" || (is_order_or_cache(word) && (bulk || word != ".L2::cache_hint"));
  }
  if (is_one_of(opcode, {"bar", "barrier"})) return word == ".cta" || word == ".aligned";
  return word == ".uni" && opcode != "vote";
}

/// With clusters of one block, all names of a block's shared memory mean the same.
std::string_view plain_space(std::string_view word) {
  if (word == ".shared::cta" || word == ".shared::cluster") return ".shared";
  if (word == ".param::entry") return ".param";
  return word;
}

/// The modifiers of arithmetic, comparisons and conversions in the ISA's order; ptxas takes them in any. Those that are
/// not here (.lo, .eq, .pack) come before .ftz, types come last.
int place_of_arithmetic(std::string_view word) {
  static constexpr std::string_view kFirst[] = {".approx", ".full", ".rn",  ".rz",  ".rm",  ".rp",
                                                ".rna",    ".rs",   ".rni", ".rzi", ".rmi", ".rpi"};
  static constexpr std::string_view kLast[] = {".ftz", ".NaN",       ".xorsign", ".oob", ".abs",
                                               ".cc",  ".satfinite", ".sat",     ".relu"};
  static constexpr std::string_view kTypeLetters = "busfe";
  if (std::find(std::begin(kFirst), std::end(kFirst), word) != std::end(kFirst)) return 0;
  const auto* last = std::find(std::begin(kLast), std::end(kLast), word);
  if (last != std::end(kLast)) return 2 + static_cast<int>(last - std::begin(kLast));
  const bool is_type = word == ".pred" || word == ".tf32" ||
                       (kTypeLetters.find(word[1]) != std::string_view::npos &&
                        word.find_first_of("0123456789") != std::string_view::npos);
  return is_type ? 100 : 1;
}

bool is_arithmetic(std::string_view opcode) {
  return is_one_of(
      opcode, {"add",  "sub",  "mul",  "mad",   "fma",   "div",   "rem",   "neg",   "abs",   "min",  "max",     "sad",
               "addc", "subc", "madc", "mul24", "mad24", "rcp",   "sqrt",  "rsqrt", "sin",   "cos",  "lg2",     "ex2",
               "tanh", "set",  "setp", "slct",  "cvt",   "testp", "bfind", "bmsk",  "szext", "dp2a", "copysign"});
}

/// Of atom and red: space, operation, .noftz, vector, type.
int place_of_atomic(std::string_view word) {
  if (word == ".async") return -1;
  if (word == ".global" || word == ".shared") return 0;
  if (word == ".noftz") return 2;
  if (is_one_of(word, {".v2", ".v4", ".v8"})) return 3;
  return word.find_first_of("0123456789") == std::string_view::npos ? 1 : 4;
}

/// Modifiers that compilers write in different places are sorted by this; those of other opcodes stay as they are.
int place_of(std::string_view opcode, std::string_view word) {
  if (is_arithmetic(opcode)) return place_of_arithmetic(word);
  if (opcode == "atom" || opcode == "red") return place_of_atomic(word);
  if (opcode == "vote") return word == ".sync" ? -1 : 0;
  if (!is_one_of(opcode, {"mma", "ldmatrix", "stmatrix"})) return 0;
  if (opcode == "mma") {
    if (word.starts_with(".kind::")) return 1;
    if (word == ".block_scale") return 2;
    if (word.starts_with(".scale_vec::")) return 3;
  }
  if (opcode != "mma" && word.starts_with(".m")) return 1;
  return word == ".sync" || word == ".aligned" ? 0 : 4;
}

void expand(std::string_view pattern, std::string done, std::vector<std::string>& names) {
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] == '[') {
      const std::size_t close = pattern.find(']', i);
      expand(pattern.substr(close + 1), done + std::string(pattern.substr(i + 1, close - i - 1)), names);
      expand(pattern.substr(close + 1), done, names);
      return;
    }
    if (pattern[i] == '(') {
      const std::size_t close = pattern.find(')', i);
      std::string_view choices = pattern.substr(i + 1, close - i - 1);
      for (;;) {
        const std::size_t bar = std::min(choices.find('|'), choices.size());
        expand(pattern.substr(close + 1), done + std::string(choices.substr(0, bar)), names);
        if (bar == choices.size()) return;
        choices.remove_prefix(bar + 1);
      }
    }
    done += pattern[i];
  }
  names.push_back(std::move(done));
}

}  // namespace

std::string canonical_name(const ptx::Instruction& instruction) {
  Words words;
  for (const std::string_view word : instruction.modifiers) {
    if (!is_dropped(instruction, word)) words.push_back(plain_space(word));
  }
  std::stable_sort(words.begin(), words.end(), [&](std::string_view a, std::string_view b) {
    return place_of(instruction.opcode, a) < place_of(instruction.opcode, b);
  });
  std::string name(instruction.opcode);
  for (const std::string_view word : words) name += word;
  return name;
}

void InstructionTable::add(std::string_view pattern, std::string_view operands, Class kind, Handler run, Access access,
                           std::uint16_t form) {
  std::vector<std::string> names;
  expand(pattern, {}, names);
  for (std::string& name : names) {
    rows_.push_back(Row{std::move(name), std::string(operands), kind, run, access, form, target_, proof_});
  }
}

std::string why_not(const Row& row, std::string_view target) {
  if (row.target == Target::any) return {};
  const bool twelve = target.starts_with("sm_12") || target.starts_with("compute_12");
  const bool own_features = target.ends_with('a') || target.ends_with('f');
  if (twelve && (own_features || row.target == Target::sm_100)) return {};
  const std::string needs = row.target == Target::sm_100 ? "sm_100 or later" : "sm_120f (or sm_120a, sm_121a, sm_121f)";
  return row.name + " needs .target " + needs + ", and this module is for " + std::string(target);
}

InstructionTable::InstructionTable() {
  for (const auto family :
       {add_integer_rows, add_carry_rows,       add_logic_rows,    add_compare_rows,    add_float_rows,
        add_min_max_rows, add_approximate_rows, add_half_rows,     add_conversion_rows, add_packed_conversion_rows,
        add_move_rows,    add_memory_rows,      add_atomic_rows,   add_control_rows,    add_warp_rows,
        add_barrier_rows, add_cluster_rows,     add_mbarrier_rows, add_copy_rows,       add_tensor_copy_rows,
        add_async_rows,   add_tensor_map_rows,  add_matrix_rows,   add_mma_rows}) {
    family(*this);
  }
  by_name_.resize(rows_.size());
  for (std::uint32_t i = 0; i < by_name_.size(); ++i) by_name_[i] = i;
  std::stable_sort(by_name_.begin(), by_name_.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return rows_[a].name < rows_[b].name; });
}

const InstructionTable& InstructionTable::get() {
  static const InstructionTable table;
  return table;
}

std::vector<const Row*> InstructionTable::find(std::string_view name) const {
  auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                             [&](std::uint32_t row, std::string_view wanted) { return rows_[row].name < wanted; });
  std::vector<const Row*> found;
  for (; at != by_name_.end() && rows_[*at].name == name; ++at) found.push_back(&rows_[*at]);
  return found;
}

}  // namespace moesaic::emulator
