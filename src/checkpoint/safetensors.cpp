#include "checkpoint/safetensors.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <optional>

#include "checkpoint/json.hpp"
#include "spec/error.hpp"

namespace moesaic::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are read and written as little-endian memory");

struct Dtype {
  std::string_view name;
  unsigned bits;
};

constexpr std::array kDtypes{
    Dtype{"BOOL", 8}, Dtype{"U8", 8},   Dtype{"I8", 8},   Dtype{"F8_E4M3", 8}, Dtype{"F8_E5M2", 8}, Dtype{"F8_E8M0", 8},
    Dtype{"F4", 4},   Dtype{"I16", 16}, Dtype{"U16", 16}, Dtype{"F16", 16},    Dtype{"BF16", 16},   Dtype{"I32", 32},
    Dtype{"U32", 32}, Dtype{"F32", 32}, Dtype{"I64", 64}, Dtype{"U64", 64},    Dtype{"F64", 64},    Dtype{"C64", 64},
};

constexpr std::size_t kMaxRank = 8;
constexpr std::size_t kLengthBytes = 8;

const Dtype* find_dtype(std::string_view name) {
  const auto* found = std::ranges::find(kDtypes, name, &Dtype::name);
  return found == kDtypes.end() ? nullptr : found;
}

/// Bytes of a dense tensor; nothing when the number does not fit or is not whole.
std::optional<std::uint64_t> dense_bytes(const Dtype& dtype, std::span<const std::uint64_t> shape) {
  std::uint64_t bits = dtype.bits;
  for (const std::uint64_t extent : shape) {
    if (extent != 0 && bits > std::numeric_limits<std::uint64_t>::max() / extent) return std::nullopt;
    bits *= extent;
  }
  if (bits % 8 != 0) return std::nullopt;
  return bits / 8;
}

/// The non-negative integers of a JSON array, or nothing when it is something else.
std::optional<std::vector<std::uint64_t>> unsigned_list(const Json& value, std::size_t max_count) {
  if (!value.is_array() || value.size() > max_count) return std::nullopt;
  std::vector<std::uint64_t> list;
  for (const Json& item : value) {
    if (!item.is_number_unsigned()) return std::nullopt;
    list.push_back(item.get<std::uint64_t>());
  }
  return list;
}

/// One entry of the header; offsets are still relative to the end of the header.
Tensor parse_entry(const std::string& where, const std::string& name, const Json& entry) {
  const auto fail = [&](const std::string& what) { return Error(fmt::format("{}: {}: {}", where, name, what)); };
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    throw fail("must be an object of dtype, shape and data_offsets");
  }
  const Json& dtype_name = entry["dtype"];
  const Dtype* dtype = dtype_name.is_string() ? find_dtype(dtype_name.get_ref<const std::string&>()) : nullptr;
  if (dtype == nullptr) throw fail(fmt::format("unknown dtype {}", shown(dtype_name)));
  auto shape = unsigned_list(entry["shape"], kMaxRank);
  if (!shape) throw fail(fmt::format("shape must be a list of at most {} non-negative integers", kMaxRank));
  const auto offsets = unsigned_list(entry["data_offsets"], 2);
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    throw fail("data_offsets must be [begin, end] with begin <= end");
  }
  Tensor tensor{name, dtype->name, std::move(*shape), (*offsets)[0], (*offsets)[1]};
  const auto bytes = dense_bytes(*dtype, tensor.shape);
  if (!bytes || *bytes != tensor.end - tensor.begin) {
    throw fail(fmt::format("data_offsets [{}, {}] span {} bytes, but {} takes {}", tensor.begin, tensor.end,
                           tensor.end - tensor.begin, describe(tensor.dtype, tensor.shape),
                           bytes ? std::to_string(*bytes) : "no whole number that fits 64 bits"));
  }
  return tensor;
}

/// Tensors sorted by offset must lie back to back and end with the data.
void check_tiling(const std::string& where, std::span<const Tensor> tensors, std::uint64_t data_bytes) {
  std::uint64_t position = 0;
  const Tensor* previous = nullptr;
  for (const Tensor& tensor : tensors) {
    if (tensor.end > data_bytes) {
      throw Error(fmt::format("{}: {}: data_offsets end at {}, but the file holds {} bytes of data (truncated?)", where,
                              tensor.name, tensor.end, data_bytes));
    }
    if (tensor.begin < position) {
      throw Error(fmt::format("{}: {} overlaps {}: it begins at {}, the other ends at {}", where, tensor.name,
                              previous->name, tensor.begin, position));
    }
    if (tensor.begin > position) {
      throw Error(fmt::format("{}: {} begins at {}, must begin at {}: no bytes may lie unused between tensors", where,
                              tensor.name, tensor.begin, position));
    }
    position = tensor.end;
    previous = &tensor;
  }
  if (position != data_bytes) {
    throw Error(fmt::format("{}: the tensors end at {}, but the file holds {} bytes of data; the rest belongs to none",
                            where, position, data_bytes));
  }
}

std::string read_header_text(const std::filesystem::path& file, std::uint64_t file_bytes) {
  const std::string where = file.string();
  if (file_bytes < kLengthBytes) {
    throw Error(fmt::format("{}: {} bytes; a safetensors file has at least 8", where, file_bytes));
  }
  std::ifstream stream(file, std::ios::binary);
  std::array<char, kLengthBytes> prefix{};
  if (!stream.read(prefix.data(), prefix.size())) throw Error(fmt::format("{}: could not be read", where));
  const auto length = std::bit_cast<std::uint64_t>(prefix);
  if (length > kMaxHeaderBytes) {
    throw Error(fmt::format("{}: claims a header of {} bytes; at most {} are allowed (is it a safetensors file?)",
                            where, length, kMaxHeaderBytes));
  }
  if (length > file_bytes - kLengthBytes) {
    throw Error(fmt::format("{}: claims a header of {} bytes, but only {} follow (truncated?)", where, length,
                            file_bytes - kLengthBytes));
  }
  std::string text(length, '\0');
  if (!stream.read(text.data(), static_cast<std::streamsize>(length))) {
    throw Error(fmt::format("{}: could not be read", where));
  }
  return text;
}

}  // namespace

std::string describe(std::string_view dtype, std::span<const std::uint64_t> shape) {
  return fmt::format("{} [{}]", dtype, fmt::join(shape, ", "));
}

std::uint64_t stored_bytes(std::string_view dtype, std::span<const std::uint64_t> shape) {
  const Dtype* known = find_dtype(dtype);
  const auto bytes = known != nullptr ? dense_bytes(*known, shape) : std::nullopt;
  if (!bytes) throw Error(fmt::format("{} is not a tensor that safetensors can hold", describe(dtype, shape)));
  return *bytes;
}

std::vector<Tensor> read_header(const std::filesystem::path& file) {
  const std::string where = file.string();
  const std::uint64_t file_bytes = regular_file_bytes(file);
  const std::string text = read_header_text(file, file_bytes);
  const Json header = parse_object(text, where + ": header");
  const std::uint64_t data_begin = kLengthBytes + text.size();

  std::vector<Tensor> tensors;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") tensors.push_back(parse_entry(where, name, entry));
  }
  // Empty tensors share an offset with their successor: order by both ends.
  std::ranges::sort(
      tensors, [](const Tensor& a, const Tensor& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  check_tiling(where, tensors, file_bytes - data_begin);
  for (Tensor& tensor : tensors) {
    tensor.begin += data_begin;
    tensor.end += data_begin;
  }
  return tensors;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& file, const std::vector<Tensor>& tensors)
    : file_(file), stream_(file, std::ios::binary | std::ios::trunc) {
  Json header = Json::object();
  std::uint64_t position = 0;
  for (const Tensor& tensor : tensors) {
    const Dtype* dtype = find_dtype(tensor.dtype);
    const auto bytes = dtype != nullptr ? dense_bytes(*dtype, tensor.shape) : std::nullopt;
    if (!bytes || *bytes > std::numeric_limits<std::uint64_t>::max() - position || header.contains(tensor.name)) {
      throw Error(fmt::format("{}: {}: {} cannot be written", file_.string(), tensor.name,
                              describe(tensor.dtype, tensor.shape)));
    }
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {position, position + *bytes}}};
    if (*bytes != 0) unwritten_[tensor.name] = {position, *bytes};
    position += *bytes;
  }
  header["__metadata__"] = {{"format", "pt"}};
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the data begin aligned, as the format's own library does
  const std::uint64_t length = text.size();
  stream_.write(reinterpret_cast<const char*>(&length), sizeof length);
  stream_.write(text.data(), static_cast<std::streamsize>(text.size()));
  for (auto& [name, rest] : unwritten_) rest.position += sizeof length + text.size();
  if (!stream_) throw Error(fmt::format("{}: could not be written", file_.string()));
}

void SafetensorsWriter::append(std::string_view name, std::span<const std::byte> bytes) {
  const auto found = unwritten_.find(name);
  if (found == unwritten_.end()) {
    throw Error(fmt::format("{}: {} was not declared or is complete", file_.string(), name));
  }
  Rest& rest = found->second;
  if (bytes.size() > rest.bytes) {
    throw Error(fmt::format("{}: {}: {} bytes given, {} are missing", file_.string(), name, bytes.size(), rest.bytes));
  }
  stream_.seekp(static_cast<std::streamoff>(rest.position));
  stream_.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  if (!stream_) throw Error(fmt::format("{}: could not be written (disk full?)", file_.string()));
  rest.position += bytes.size();
  rest.bytes -= bytes.size();
  if (rest.bytes == 0) unwritten_.erase(found);
}

void SafetensorsWriter::finish() {
  if (!unwritten_.empty()) {
    throw Error(fmt::format("{}: tensor {} was declared but not written", file_.string(), unwritten_.begin()->first));
  }
  stream_.close();
  if (!stream_) throw Error(fmt::format("{}: could not be written (disk full?)", file_.string()));
}

}  // namespace moesaic::checkpoint
