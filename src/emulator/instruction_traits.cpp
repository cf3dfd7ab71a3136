#include "emulator/instruction_traits.hpp"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "emulator/operand_code.hpp"
#include "emulator/program.hpp"

namespace moesaic::emulator {
namespace {

using Words = std::vector<std::string_view>;

bool has(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

bool is_one_of(std::string_view word, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

/// Bits of a register of a type such as ".f16x2", 0 when the word is no type.
std::uint8_t type_bits(std::string_view word) {
  if (word.starts_with(".bf16")) return word.ends_with("x2") ? 32 : 16;
  if (word.size() < 2 || std::string_view("busfe").find(word[1]) == std::string_view::npos) return 0;
  if (word[1] == 'e') return word.ends_with("x4") ? 32 : 16;  // .e4m3x2 and its like
  unsigned bits = 0;
  const char* end = word.data() + word.size();
  const auto [rest, error] = std::from_chars(word.data() + 2, end, bits);
  if (error != std::errc{} || bits > 128) return 0;
  const std::string_view tail(rest, static_cast<std::size_t>(end - rest));
  if (tail == "x2") bits *= 2;
  if (tail == "x4") bits *= 4;
  return tail.empty() || tail == "x2" || tail == "x4" ? static_cast<std::uint8_t>(bits) : 0;
}

void read_order(const Words& words, Traits& traits) {
  using Order = MemoryOrder;
  static constexpr std::pair<std::string_view, Order> kOrders[] = {
      {".relaxed", Order::relaxed}, {".acquire", Order::acquire}, {".release", Order::release},
      {".acq_rel", Order::acq_rel}, {".sc", Order::sc},           {".volatile", Order::relaxed},
      {".mmio", Order::relaxed}};
  static constexpr std::pair<std::string_view, Scope> kScopes[] = {{".cta", Scope::cta},
                                                                   {".cluster", Scope::cluster},
                                                                   {".gpu", Scope::gpu},
                                                                   {".gl", Scope::gpu},
                                                                   {".sys", Scope::sys}};
  for (const auto& [word, order] : kOrders) {
    if (has(words, word)) traits.order = order;
  }
  for (const auto& [word, scope] : kScopes) {
    if (has(words, word)) traits.scope = scope;
  }
  if (has(words, ".volatile") || has(words, ".mmio")) traits.scope = Scope::sys;
}

Fence fence_of(const Words& words) {
  if (words[0] == "membar" && !has(words, ".proxy")) return Fence::thread;
  if (words[0] == "tensormap" && has(words, ".cp_fenceproxy")) return Fence::tensormap_release;
  if (words[0] != "fence" && words[0] != "membar") return Fence::none;
  if (has(words, ".mbarrier_init")) return Fence::mbarrier_init;
  if (!has(words, ".proxy")) return Fence::thread;
  if (has(words, ".tensormap::generic")) {
    return has(words, ".acquire") ? Fence::tensormap_acquire : Fence::tensormap_release;
  }
  if (has(words, ".async::generic")) return Fence::proxy_shared;
  if (!has(words, ".async")) return Fence::none;
  if (has(words, ".global")) return Fence::proxy_global;
  const bool shared = std::any_of(words.begin(), words.end(), [](auto word) { return word.starts_with(".shared"); });
  return shared ? Fence::proxy_shared : Fence::proxy_async;
}

bool is_integer(std::string_view word) {
  return type_bits(word) != 0 && word.find('x') == std::string_view::npos &&
         (word[1] == 'u' || word[1] == 's' || word[1] == 'b');
}

Travel travel_of_sum(const Words& words) {
  const std::string_view type = words.back();
  if (type == ".f16x2" || type == ".bf16x2" || type == ".u16x2" || type == ".s16x2") return Travel::halves;
  if (type == ".f32x2") return Travel::words;
  const bool plain = !has(words, ".hi") && !has(words, ".wide") && !has(words, ".sat");
  return is_integer(type) && type[1] != 'b' && plain && words[0] != "mul24" ? Travel::upward : Travel::strict;
}

Travel travel_of_warp(const Words& words) {
  if (words[0] == "shfl") return Travel::shuffle;
  if (words[0] == "vote" && has(words, ".ballot")) return Travel::ballot;
  if (is_one_of(words[0], {"vote", "match", "redux"})) return Travel::gather;
  return Travel::none;  // activemask, elect, bar.warp
}

Travel travel_of_matrix(const Words& words) {
  if (words[0] == "ldmatrix") return Travel::load_matrix;
  if (words[0] == "stmatrix") return Travel::store_matrix;
  if (words[0] == "movmatrix") return Travel::move_matrix;
  return Travel::multiply;
}

/// Of mov by what its operands are.
Travel travel_of_move(std::string_view operands) {
  if (operands.starts_with("d S")) return Travel::pack;
  if (operands.starts_with('D') && operands.ends_with("s")) return Travel::unpack;
  return operands == "d s" || operands == "p q" ? Travel::copy : Travel::none;
}

Travel travel_of(const Row& row, const Words& words) {
  const std::string_view opcode = words[0];
  const bool predicates = words.back() == ".pred";
  static constexpr std::pair<std::string_view, Travel> kPlain[] = {
      {"xor", Travel::bit_xor},       {"not", Travel::bit_xor},   {"lop3", Travel::lop3},
      {"shl", Travel::shift_left},    {"shf", Travel::funnel},    {"prmt", Travel::prmt},
      {"bfe", Travel::extract},       {"bfi", Travel::insert},    {"selp", Travel::select},
      {"st", Travel::store},          {"atom", Travel::atomic},   {"red", Travel::atomic},
      {"ld", Travel::load},           {"ldu", Travel::load},      {"tensormap", Travel::store},
      {"createpolicy", Travel::none}, {"prefetch", Travel::none}, {"prefetchu", Travel::none}};
  if (row.kind == Class::warp) return travel_of_warp(words);
  if (row.kind == Class::matrix) return travel_of_matrix(words);
  if (row.kind == Class::barrier || row.kind == Class::copy || row.kind == Class::control) {
    return opcode == "tensormap" ? Travel::store : Travel::none;
  }
  if (opcode == "mov") return travel_of_move(row.operands);
  if (opcode == "and") return predicates ? Travel::predicate_and : Travel::bit_and;
  if (opcode == "or") return predicates ? Travel::predicate_or : Travel::bit_or;
  if (opcode == "shr") return words.back()[1] == 's' ? Travel::shift_right_signed : Travel::shift_right;
  if (is_one_of(opcode, {"add", "sub", "mul", "mad", "fma", "min", "max", "neg", "abs"})) {
    const Travel travel = travel_of_sum(words);
    const bool carries = is_one_of(opcode, {"add", "sub", "mul", "mad", "neg"});
    return travel == Travel::upward && !carries ? Travel::strict : travel;
  }
  if (opcode == "cvt") {
    const std::size_t n = words.size();
    const bool pair = n >= 3 && is_one_of(words[n - 2], {".f16x2", ".bf16x2", ".e4m3x2", ".e5m2x2", ".ue8m0x2"});
    if (pair && words[n - 1] == ".f32" && row.operands == "d s s") return Travel::convert_pair;
    const bool integers = n >= 3 && is_integer(words[n - 1]) && is_integer(words[n - 2]);
    return integers && !has(words, ".sat") && !has(words, ".pack") ? Travel::convert : Travel::strict;
  }
  const auto* const plain =
      std::find_if(std::begin(kPlain), std::end(kPlain), [&](const auto& entry) { return entry.first == opcode; });
  const bool is_predicate_logic = predicates && (opcode == "xor" || opcode == "not");
  return plain == std::end(kPlain) || is_predicate_logic ? Travel::strict : plain->second;
}

/// Whether it matters, beyond the value of its destinations, that an instruction runs.
bool has_effect(const Row& row, std::string_view opcode) {
  switch (row.kind) {
    case Class::control:
    case Class::barrier:
    case Class::copy:
    case Class::matrix:
    case Class::warp:
      return opcode != "activemask" && opcode != "nanosleep" && opcode != "brkpt";
    case Class::memory:
      return is_one_of(opcode, {"st", "atom", "red", "tensormap", "discard"});
    default:
      return false;
  }
}

void sort_operands(const Instruction& instruction, Traits& traits) {
  const Slot* slot = instruction.operands;
  const auto put = [](std::vector<Slot>& to, Slot one) {
    if (one != kNoSlot) to.push_back(one);
  };
  for (const Code& code : parse_codes(instruction.row->operands)) {
    const std::size_t slots = code.slots();
    switch (code.kind) {
      case 'd':
        put(traits.results, slot[0]);
        if (code.pair) put(traits.result_predicates, slot[1]);
        break;
      case 'p':
        for (std::size_t i = 0; i < slots; ++i) put(traits.result_predicates, slot[i]);
        break;
      case 'q':
        put(traits.source_predicates, slot[0]);
        break;
      case 'D':
        for (std::size_t i = 0; i < slots; ++i) put(traits.results, slot[i]);
        break;
      case 'a':
      case 't':
        put(traits.addresses, slot[0]);
        for (std::size_t i = 2; i < slots; ++i) put(traits.sources, slot[i]);
        break;
      case 's':
      case 'S':
        for (std::size_t i = 0; i < slots; ++i) put(traits.sources, slot[i]);
        break;
      default:
        break;
    }
    slot += slots;
  }
}

}  // namespace

Traits traits_of(const Instruction& instruction) {
  Traits traits;
  if (instruction.row == nullptr) return traits;
  const Row& row = *instruction.row;
  Words words = words_of(instruction.text);
  if (words.empty()) words.emplace_back("exit");  // the end of a function
  read_order(words, traits);
  traits.fence = fence_of(words);
  if (traits.fence == Fence::thread && traits.order == MemoryOrder::weak) {
    traits.order = words[0] == "membar" ? MemoryOrder::sc : MemoryOrder::acq_rel;
  }
  traits.travel = travel_of(row, words);
  traits.has_effect = has_effect(row, words[0]);
  traits.needs_defined = row.kind == Class::barrier || row.kind == Class::copy || words[0] == "setmaxnreg" ||
                         words[0] == "tensormap" || words[0] == "brx";
  traits.parts = std::max<std::uint8_t>(row.access.count, 1);
  traits.left = has(words, ".l");
  traits.clamps = has(words, ".clamp");
  if (words[0] == "shfl" && words.size() > 2) traits.mode = words[2][1];
  if (words[0] == "prmt" && words.back() != ".b32") traits.travel = Travel::strict;
  if (traits.travel == Travel::convert_pair) traits.half_bits = words[words.size() - 2].ends_with("f16x2") ? 16 : 8;
  std::uint8_t widest = 0;
  for (auto word = words.rbegin(); word != words.rend() && word + 1 != words.rend(); ++word) {
    const std::uint8_t bits = type_bits(*word);
    if (bits == 0) continue;
    if (widest == 0) {
      traits.bits = bits;
      traits.is_signed = (*word)[1] == 's';
    }
    traits.result_bits = bits;
    widest = std::max(widest, bits);
  }
  if (widest != 0 && !is_one_of(words[0], {"cvt", "set", "setp", "slct"})) traits.bits = widest;
  sort_operands(instruction, traits);
  if (words[0] == "vabsdiff4" && !has(words, ".add")) traits.sources.pop_back();  // it counts for nothing
  return traits;
}

std::vector<std::string_view> words_of(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::vector<std::string_view> words;
  if (text.starts_with('@')) text.remove_prefix(std::min(text.find_first_of(kBlank), text.size()));
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
    if (text.empty() || (!words.empty() && text[0] != '.')) return words;
    std::size_t end = 1;
    while (end < text.size() && text[end] != '.' && text[end] != ';' &&
           kBlank.find(text[end]) == std::string_view::npos) {
      ++end;
    }
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
}

std::vector<Traits> traits_of(const Program& program) {
  std::vector<Traits> traits;
  traits.reserve(program.code.size());
  for (const Instruction& instruction : program.code) {
    traits.push_back(traits_of(instruction));
    if (instruction.row == nullptr || instruction.row->name != "call") continue;
    const Slot function = program.calls[instruction.target].address;
    if (function != kNoSlot) traits.back().addresses.push_back(function);
  }
  return traits;
}

}  // namespace moesaic::emulator
