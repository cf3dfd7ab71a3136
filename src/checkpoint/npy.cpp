#include "checkpoint/npy.hpp"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "checkpoint/json.hpp"
#include "checkpoint/staging.hpp"
#include "spec/error.hpp"
#include "spec/formats.hpp"

namespace moesaic::checkpoint {
namespace {

static_assert(std::endian::native == std::endian::little, ".npy files are read and written as little-endian memory");

constexpr std::string_view kMagic("\x93NUMPY", 6);
constexpr std::size_t kMaxHeaderBytes = 65536;
constexpr std::string_view kSupported = "a 2-D array [tokens, hidden] of float32 ('<f4') or float16 ('<f2') in C order";

struct Header {
  std::string descr;
  bool fortran_order = false;
  std::vector<std::int64_t> shape;
};

/// Reads the header, a Python dict of three entries such as
/// {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }. Any syntax but NumPy's own throws std::string_view:
/// what was expected.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  Header parse() {
    Header header;
    unsigned seen = 0;
    expect("{");
    while (!accept("}")) {
      const std::string key = string();
      expect(":");
      const unsigned bit = key == "descr" ? 1U : key == "fortran_order" ? 2U : key == "shape" ? 4U : 0U;
      if (bit == 0 || (seen & bit) != 0) throw std::string_view("descr, fortran_order and shape, once each");
      seen |= bit;
      if (bit == 1) header.descr = string();
      if (bit == 2) header.fortran_order = boolean();
      if (bit == 4) header.shape = tuple();
      if (!accept(",")) {
        expect("}");
        break;
      }
    }
    skip_space();
    if (seen != 7 || !rest_.empty()) throw std::string_view("descr, fortran_order and shape, and nothing else");
    return header;
  }

 private:
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\n')) rest_.remove_prefix(1);
  }

  bool accept(std::string_view token) {
    skip_space();
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) throw token;
  }

  std::string string() {
    expect("'");
    const std::size_t length = rest_.find('\'');
    if (length == std::string_view::npos) throw std::string_view("'");
    std::string value(rest_.substr(0, length));
    rest_.remove_prefix(length + 1);
    return value;
  }

  bool boolean() {
    if (accept("True")) return true;
    expect("False");
    return false;
  }

  std::vector<std::int64_t> tuple() {
    std::vector<std::int64_t> values;
    expect("(");
    while (!accept(")")) {
      skip_space();
      std::int64_t value = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
      if (error != std::errc() || value < 0) throw std::string_view("a non-negative integer");
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      values.push_back(value);
      if (!accept(",")) {
        expect(")");
        break;
      }
    }
    return values;
  }

  std::string_view rest_;
};

/// Reads magic, version and header; leaves the stream at the first value.
Header read_header(std::ifstream& stream, const std::string& where) {
  std::array<char, 8> start{};  // magic, major and minor version
  stream.read(start.data(), start.size());
  if (!stream || std::string_view(start.data(), kMagic.size()) != kMagic) {
    throw Error(fmt::format("{}: not a .npy file; wanted {}", where, kSupported));
  }
  const int version = static_cast<unsigned char>(start[6]);
  if (version < 1 || version > 3) throw Error(fmt::format("{}: .npy version {}; 1 to 3 are known", where, version));
  std::uint32_t length = 0;
  stream.read(reinterpret_cast<char*>(&length), version == 1 ? 2 : 4);
  if (!stream || length > kMaxHeaderBytes) {
    throw Error(fmt::format("{}: .npy header missing or longer than {} bytes", where, kMaxHeaderBytes));
  }
  std::string text(length, '\0');
  if (!stream.read(text.data(), length)) throw Error(fmt::format("{}: ends within its .npy header", where));
  try {
    return HeaderParser(text).parse();
  } catch (std::string_view expected) {
    throw Error(fmt::format("{}: malformed .npy header: expected {}", where, expected));
  }
}

}  // namespace

Matrix read_npy(const std::filesystem::path& file) {
  const std::string where = file.string();
  const std::uint64_t file_bytes = regular_file_bytes(file);
  std::ifstream stream(file, std::ios::binary);
  const Header header = read_header(stream, where);
  const bool half = header.descr == "<f2";
  if (!half && header.descr != "<f4") {
    throw Error(fmt::format("{}: holds '{}'; wanted {}", where, header.descr, kSupported));
  }
  if (header.fortran_order) throw Error(fmt::format("{}: is in Fortran order; wanted {}", where, kSupported));
  if (header.shape.size() != 2) {
    throw Error(fmt::format("{}: has {} dimensions; wanted {}", where, header.shape.size(), kSupported));
  }
  const std::int64_t rows = header.shape[0];
  const std::int64_t cols = header.shape[1];
  constexpr std::int64_t kMaxExtent = std::numeric_limits<int>::max();
  if (rows > kMaxExtent || cols > kMaxExtent) {
    throw Error(fmt::format("{}: [{}, {}] is too large; at most {} in each dimension", where, rows, cols, kMaxExtent));
  }
  const auto count = static_cast<std::uint64_t>(rows) * static_cast<std::uint64_t>(cols);
  const auto data_bytes = file_bytes - static_cast<std::uint64_t>(stream.tellg());
  if (data_bytes / (half ? 2 : 4) != count || data_bytes % (half ? 2 : 4) != 0) {
    throw Error(fmt::format("{}: holds {} bytes of values; [{}, {}] of '{}' takes {}", where, data_bytes, rows, cols,
                            header.descr, count * (half ? 2 : 4)));
  }
  Matrix matrix{static_cast<int>(rows), static_cast<int>(cols), std::vector<float>(count)};
  std::vector<std::uint16_t> halves(half ? count : 0);
  char* out = half ? reinterpret_cast<char*>(halves.data()) : reinterpret_cast<char*>(matrix.values.data());
  if (!stream.read(out, static_cast<std::streamsize>(data_bytes))) {
    throw Error(fmt::format("{}: could not be read", where));
  }
  for (std::size_t i = 0; i < halves.size(); ++i) matrix.values[i] = decode_f16(halves[i]);
  return matrix;
}

Tokens read_tokens(const std::filesystem::path& file) {
  const Matrix matrix = read_npy(file);
  Tokens tokens{matrix.rows, matrix.cols, {}};
  tokens.values.reserve(matrix.values.size());
  for (const float value : matrix.values) {
    const std::uint16_t rounded = encode_bf16(value);
    if (!std::isfinite(decode_bf16(rounded))) {
      const std::size_t at = tokens.values.size();
      const auto cols = static_cast<std::size_t>(matrix.cols);
      throw Error(fmt::format("{}: token {}, channel {} is {} (as bf16); hidden states must be finite", file.string(),
                              at / cols, at % cols, decode_bf16(rounded)));
    }
    tokens.values.push_back(rounded);
  }
  return tokens;
}

void write_npy(const std::filesystem::path& file, int rows, int cols, std::span<const float> values) {
  if (static_cast<std::size_t>(rows) * static_cast<std::size_t>(cols) != values.size()) {
    throw Error(fmt::format("{}: {} values do not make [{}, {}]", file.string(), values.size(), rows, cols));
  }
  std::string dict = fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr std::size_t kPrefix = 10;  // magic, version and the header's length; values begin at a multiple of 64
  dict.append(63 - (kPrefix + dict.size()) % 64, ' ');
  dict.push_back('\n');
  const auto length = static_cast<std::uint16_t>(dict.size());

  std::optional<Staging> staging;
  if (const auto target = staged_target(file)) staging.emplace(*target);
  std::ofstream stream(staging ? staging->path() : file, std::ios::binary | std::ios::trunc);
  stream.write(kMagic.data(), kMagic.size());
  stream.write("\x01\x00", 2);
  stream.write(reinterpret_cast<const char*>(&length), sizeof length);
  stream.write(dict.data(), length);
  stream.write(reinterpret_cast<const char*>(values.data()), static_cast<std::streamsize>(values.size_bytes()));
  stream.close();
  if (!stream) throw Error(fmt::format("{}: could not be written", file.string()));
  if (staging) staging->commit();
}

}  // namespace moesaic::checkpoint
