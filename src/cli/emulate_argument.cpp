#include "cli/emulate_argument.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "spec/error.hpp"
#include "spec/split_mix.hpp"

namespace moesaic::cli {

const std::string_view kArgumentHelp =
    "Arguments (--arg, once for each, in order):\n"
    "  u32:5  s64:-1  f32:1.5  bf16:2    a value; integers may be written as 0x1f\n"
    "  in:FILE                           a buffer that holds the file's bytes\n"
    "  out:FILE:BYTES                    a buffer that nobody has written; its bytes go to the file\n"
    "  buffer:f32[1024]=uniform(7)       a buffer of values; after = stands one of\n"
    "      zeros  iota  uniform(SEED) in [-1, 1)  bits(SEED)  a NUMBER  poison (nobody has written it)\n"
    "  map:0:bf16[64,128]:[64,32]:128    a tensor map of buffer 0: its extents, those of the box (the contiguous\n"
    "                                    one first), and the swizzle in bytes (0 when left out)\n"
    "  struct:{u32:5;in:FILE;f32:1}      a struct, laid out as C lays it out\n"
    "  bytes:FILE                        a value of any size\n"
    "Buffers are counted from 0, in order, for map: and --print.\n";

namespace {

[[noreturn]] void refuse(const std::string& text, const std::string& what) {
  throw Error(fmt::format("--arg {}: {}", text, what));
}

std::uint64_t parse_count(std::string_view digits, const std::string& text, std::string_view what) {
  std::uint64_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (error != std::errc{} || end != digits.data() + digits.size()) {
    refuse(text, fmt::format("{} is no {}", digits, what));
  }
  return count;
}

std::vector<std::byte> read_bytes(const std::string& file, const std::string& text) {
  std::error_code failed;
  const std::uint64_t size = std::filesystem::file_size(file, failed);
  if (failed) refuse(text, fmt::format("{} cannot be read: {}", file, failed.message()));
  std::vector<std::byte> bytes(size);
  std::ifstream stream(file, std::ios::binary);
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (!stream) refuse(text, fmt::format("{} cannot be read", file));
  return bytes;
}

/// The bits of value `index` of a buffer.
using Generator = std::uint64_t (*)(const ValueType& type, std::uint64_t index, SplitMix64& random);

std::uint64_t make_uniform(const ValueType& type, std::uint64_t, SplitMix64& random) {
  const std::uint64_t bits = random.next();
  if (type.kind != ValueType::Kind::floating) return bits;
  return encode_value(type, static_cast<double>(static_cast<std::int64_t>(bits) >> 11) * 0x1p-52);
}
std::uint64_t make_iota(const ValueType& type, std::uint64_t index, SplitMix64&) {
  return type.kind == ValueType::Kind::floating ? encode_value(type, static_cast<double>(index)) : index;
}
std::uint64_t make_bits(const ValueType&, std::uint64_t, SplitMix64& random) {
  return random.next();
}

void generate(Argument& buffer, std::uint64_t count, Generator make, std::uint64_t seed) {
  SplitMix64 random(seed);
  buffer.bytes.resize(buffer.size_bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t bits = make(*buffer.type, i, random);
    std::memcpy(buffer.bytes.data() + i * buffer.type->bytes, &bits, buffer.type->bytes);
  }
  buffer.filled = true;
}

void fill(Argument& buffer, std::uint64_t count, const std::string& how) {
  if (how == "poison") return;
  const std::size_t open = how.find('(');
  if (how == "iota") return generate(buffer, count, make_iota, 0);
  if (open != std::string::npos && how.ends_with(')')) {
    const std::string name = how.substr(0, open);
    const std::uint64_t seed = parse_count(how.substr(open + 1, how.size() - open - 2), buffer.text, "seed");
    if (name == "uniform") return generate(buffer, count, make_uniform, seed);
    if (name == "bits") return generate(buffer, count, make_bits, seed);
    refuse(buffer.text, fmt::format("no generator {}; known are zeros, iota, uniform(SEED), bits(SEED), poison", name));
  }
  const std::uint64_t bits = how == "zeros" ? 0 : parse_value(*buffer.type, how, fmt::format("--arg {}", buffer.text));
  buffer.bytes.resize(buffer.size_bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    std::memcpy(buffer.bytes.data() + i * buffer.type->bytes, &bits, buffer.type->bytes);
  }
  buffer.filled = true;
}

/// "TYPE[a,b,...]rest": the type, the numbers; the rest is left in `rest`.
const ValueType& parse_extents(std::string_view& rest, std::vector<std::uint64_t>& extents, const std::string& text) {
  const std::size_t open = rest.find('[');
  const std::size_t close = rest.find(']');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    refuse(text, "a TYPE[COUNT] is wanted, as in f32[1024]");
  }
  const ValueType& type = find_value_type(rest.substr(0, open), fmt::format("--arg {}", text));
  std::string_view numbers = rest.substr(open + 1, close - open - 1);
  for (;;) {
    const std::size_t comma = std::min(numbers.find(','), numbers.size());
    extents.push_back(parse_count(numbers.substr(0, comma), text, "number of values"));
    if (comma == numbers.size()) break;
    numbers.remove_prefix(comma + 1);
  }
  rest.remove_prefix(close + 1);
  return type;
}

Argument parse_buffer(std::string_view rest, Argument buffer) {
  std::vector<std::uint64_t> extents;
  buffer.type = &parse_extents(rest, extents, buffer.text);
  constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
  std::uint64_t count = 1;
  for (const std::uint64_t extent : extents) {
    count = extent <= kMost && count <= kMost ? count * extent : kMost + 1;
    if (count > kMost) refuse(buffer.text, "more values than a card could hold");
  }
  buffer.size_bytes = count * buffer.type->bytes;
  if (!rest.empty() && !rest.starts_with('=')) refuse(buffer.text, fmt::format("{} stands where = is wanted", rest));
  fill(buffer, count, rest.empty() ? "poison" : std::string(rest.substr(1)));
  return buffer;
}

emulator::TensorType tensor_type(const ValueType& type, const std::string& text) {
  using emulator::TensorType;
  if (type.name == "f16") return TensorType::kF16;
  if (type.name == "bf16") return TensorType::kBf16;
  if (type.name == "f32") return TensorType::kF32;
  if (type.name == "f64") return TensorType::kF64;
  if (type.name == "s32") return TensorType::kS32;
  if (type.name == "s64") return TensorType::kS64;
  if (type.name == "s8" || type.name == "s16") refuse(text, "a tensor map has no such type; u8 and u16 do the same");
  switch (type.bytes) {
    case 1:
      return TensorType::kU8;
    case 2:
      return TensorType::kU16;
    case 4:
      return TensorType::kU32;
    default:
      return TensorType::kU64;
  }
}

emulator::Swizzle parse_swizzle(std::string_view name, const std::string& text) {
  if (name.empty() || name == "0") return emulator::Swizzle::kNone;
  if (name == "32") return emulator::Swizzle::k32;
  if (name == "64") return emulator::Swizzle::k64;
  if (name == "128") return emulator::Swizzle::k128;
  refuse(text, fmt::format("no swizzle of {} bytes; there are 32, 64 and 128", name));
}

Argument parse_map(std::string_view rest, Argument argument) {
  const std::size_t colon = rest.find(':');
  if (colon == std::string_view::npos) refuse(argument.text, "a map is written map:BUFFER:TYPE[EXTENTS]:[BOX]:SWIZZLE");
  argument.kind = Argument::Kind::map;
  argument.alignment = 64;
  argument.buffer = parse_count(rest.substr(0, colon), argument.text, "number of a buffer");
  rest.remove_prefix(colon + 1);
  std::vector<std::uint64_t> extents;
  const ValueType& type = parse_extents(rest, extents, argument.text);
  std::vector<std::uint64_t> box;
  std::string box_text = std::string(type.name) + std::string(rest.substr(rest.starts_with(':') ? 1 : 0));
  std::string_view box_rest = box_text;
  static_cast<void>(parse_extents(box_rest, box, argument.text));
  if (box.size() != extents.size() || extents.size() > emulator::kMaxTensorRank) {
    refuse(argument.text, fmt::format("{} extents and {} of the box; as many of each, 1 to {}, are wanted",
                                      extents.size(), box.size(), emulator::kMaxTensorRank));
  }
  emulator::TensorMap& map = argument.map;
  map.type = tensor_type(type, argument.text);
  map.rank = static_cast<int>(extents.size());
  std::uint64_t stride = type.bytes;
  for (std::size_t d = 0; d < extents.size(); ++d) {
    map.dims[d] = extents[d];
    map.strides_bytes[d] = stride;
    map.box[d] = static_cast<std::uint32_t>(box[d]);
    map.element_strides[d] = 1;
    stride *= extents[d];
  }
  map.swizzle = parse_swizzle(box_rest.substr(box_rest.starts_with(':') ? 1 : 0), argument.text);
  return argument;
}

/// The parts of "{a;b;{c;d}}" between the outer braces.
std::vector<std::string> split_members(std::string_view rest, const std::string& text) {
  if (!rest.starts_with('{') || !rest.ends_with('}') || rest.size() < 3) {
    refuse(text, "a struct is written struct:{MEMBER;MEMBER}");
  }
  std::vector<std::string> members(1);
  int depth = 0;
  for (const char letter : rest.substr(1, rest.size() - 2)) {
    depth += letter == '{' ? 1 : letter == '}' ? -1 : 0;
    if (letter == ';' && depth == 0) {
      members.emplace_back();
    } else {
      members.back() += letter;
    }
  }
  if (depth != 0) refuse(text, "its braces do not match");
  return members;
}

Argument parse_struct(std::string_view rest, Argument argument) {
  argument.kind = Argument::Kind::structure;
  for (const std::string& member : split_members(rest, argument.text)) {
    argument.members.push_back(parse_argument(member));
    argument.alignment = std::max(argument.alignment, argument.members.back().alignment);
  }
  return argument;
}

}  // namespace

Argument parse_argument(const std::string& text) {
  Argument argument;
  argument.text = text;
  const std::size_t colon = text.find(':');
  if (colon == std::string::npos)
    refuse(text, "an argument is written TYPE:VALUE, in:FILE, buffer:TYPE[COUNT]=..., ...");
  const std::string what = text.substr(0, colon);
  const std::string rest = text.substr(colon + 1);
  if (what == "map") return parse_map(rest, std::move(argument));
  if (what == "struct") return parse_struct(rest, std::move(argument));
  if (what == "bytes") {
    argument.bytes = read_bytes(rest, text);
    return argument;
  }
  if (what == "in" || what == "out" || what == "buffer") {
    argument.kind = Argument::Kind::buffer;
    argument.alignment = 8;
    argument.type = &find_value_type("u8", "");
    if (what == "buffer") return parse_buffer(rest, std::move(argument));
    if (what == "in") {
      argument.bytes = read_bytes(rest, text);
      argument.size_bytes = argument.bytes.size();
      argument.filled = true;
      return argument;
    }
    const std::size_t last = rest.rfind(':');
    if (last == std::string::npos || last == 0) refuse(text, "a buffer for a file is written out:FILE:BYTES");
    argument.out = rest.substr(0, last);
    argument.size_bytes = parse_count(rest.substr(last + 1), text, "number of bytes");
    return argument;
  }
  const ValueType& type = find_value_type(what, fmt::format("--arg {}", text));
  const std::uint64_t bits = parse_value(type, rest, fmt::format("--arg {}", text));
  argument.bytes.resize(type.bytes);
  argument.alignment = type.bytes;
  std::memcpy(argument.bytes.data(), &bits, type.bytes);
  return argument;
}

void PlacedArguments::place(const std::vector<Argument>& arguments, emulator::Machine& machine) {
  for (const Argument& argument : arguments) {
    place(argument.members, machine);
    if (argument.kind != Argument::Kind::buffer) continue;
    const std::uint64_t address = machine.memory().allocate(argument.size_bytes);
    if (argument.filled) machine.memory().write(address, argument.bytes.data(), argument.bytes.size());
    buffers_.push_back({&argument, address});
  }
}

std::vector<std::byte> PlacedArguments::bytes_of(const Argument& argument) {
  std::vector<std::byte> bytes = argument.bytes;
  if (argument.kind == Argument::Kind::buffer) {
    const std::uint64_t address = buffers_[next_buffer_++].address;
    bytes.resize(sizeof address);
    std::memcpy(bytes.data(), &address, sizeof address);
  } else if (argument.kind == Argument::Kind::map) {
    if (argument.buffer >= buffers_.size()) {
      refuse(argument.text, fmt::format("there is no buffer {}: {} are given", argument.buffer, buffers_.size()));
    }
    emulator::TensorMap map = argument.map;
    map.address = buffers_[argument.buffer].address;
    try {
      emulator::check_encodable(map);
    } catch (const Error& e) {
      refuse(argument.text, e.what());
    }
    const emulator::TensorMapBytes packed = emulator::pack(map);
    bytes.assign(packed.begin(), packed.end());
  } else if (argument.kind == Argument::Kind::structure) {
    const auto align = [&](std::size_t alignment) {
      bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
    };
    for (const Argument& member : argument.members) {
      align(member.alignment);
      const std::vector<std::byte> more = bytes_of(member);
      bytes.insert(bytes.end(), more.begin(), more.end());
    }
    align(argument.alignment);
  }
  return bytes;
}

PlacedArguments::PlacedArguments(const std::vector<Argument>& arguments, const emulator::Kernel& kernel,
                                 emulator::Machine& machine) {
  if (arguments.size() != kernel.parameters.size()) {
    std::string sizes;
    for (const emulator::Parameter& parameter : kernel.parameters) {
      sizes += fmt::format("{}{}", sizes.empty() ? ": of " : ", ", parameter.bytes);
    }
    throw Error(fmt::format("kernel {} takes {} arguments{}{}; {} are given with --arg", kernel.name,
                            kernel.parameters.size(), sizes, sizes.empty() ? "" : " bytes", arguments.size()));
  }
  place(arguments, machine);
  parameters_.resize(kernel.parameter_bytes);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const emulator::Parameter& parameter = kernel.parameters[i];
    const std::vector<std::byte> bytes = bytes_of(arguments[i]);
    if (bytes.size() != parameter.bytes) {
      refuse(arguments[i].text, fmt::format("these are {} bytes, and kernel {} takes {} there", bytes.size(),
                                            kernel.name, parameter.bytes));
    }
    std::copy(bytes.begin(), bytes.end(), parameters_.begin() + parameter.offset);
  }
}

}  // namespace moesaic::cli
