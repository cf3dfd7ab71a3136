#include "isa/isa_fixture.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "spec/error.hpp"

namespace moesaic::isa {
namespace {

constexpr std::string_view kMagic = "isa records 1\n";

/// Mixes words, in order, into 64 bits (the finisher of SplitMix64 after each).
class Hash {
 public:
  void add(std::uint64_t word) { state_ = SplitMix64(state_ ^ word).next() + std::rotl(word, 29); }
  void add(std::string_view text) {
    for (const char c : text) add(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
    add(text.size());
  }
  std::uint64_t value() const { return SplitMix64(state_).next(); }

 private:
  std::uint64_t state_ = 0;
};

class Writer {
 public:
  template <typename T>
  void put(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i) bytes_.push_back(static_cast<char>(value >> (8 * i) & 0xffU));
  }
  void put(const std::string& text) {
    put(static_cast<std::uint16_t>(text.size()));
    bytes_ += text;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_{kMagic};
};

class Reader {
 public:
  explicit Reader(std::string bytes) : bytes_(std::move(bytes)) {}

  template <typename T>
  T get() {
    T value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(T{byte()} << (8 * i));
    return value;
  }
  std::string text() {
    std::string text(get<std::uint16_t>(), ' ');
    for (char& c : text) c = static_cast<char>(byte());
    return text;
  }
  bool done() const { return at_ == bytes_.size(); }

 private:
  unsigned char byte() {
    if (at_ == bytes_.size()) throw Error("the file of records ends early");
    return static_cast<unsigned char>(bytes_[at_++]);
  }

  std::string bytes_;
  std::size_t at_ = kMagic.size();
};

}  // namespace

std::uint64_t fingerprint(const Case& one, const Part& part) {
  Hash hash;
  hash.add(part.statements.empty() ? one.body : part.statements);
  hash.add(one.declarations);
  if (one.cluster) hash.add(std::string("cluster"));
  for (const std::uint32_t word : one.input) hash.add(word);
  for (const std::uint32_t word : one.data) hash.add(word);
  hash.add(one.blocks);
  hash.add(one.threads);
  hash.add(one.shared_bytes);
  for (const MapCase& map : one.maps) {
    hash.add(map.type);
    for (const auto dim : map.dims) hash.add(dim);
    for (const auto stride : map.strides_bytes) hash.add(stride);
    for (const auto extent : map.box) hash.add(extent);
    for (const auto stride : map.element_strides) hash.add(stride);
    hash.add(map.interleave);
    hash.add(map.swizzle);
    hash.add(map.fill);
    hash.add(std::uint64_t{map.over_output});
    hash.add(map.offset_bytes);
  }
  return hash.value();
}

std::vector<std::uint64_t> hashes_of(const std::uint32_t* words, std::size_t count) {
  std::vector<std::uint64_t> hashes;
  for (std::size_t i = 0; i < count; i += kWordsOfHash) {
    Hash hash;
    for (std::size_t j = i; j < std::min(count, i + kWordsOfHash); ++j) hash.add(words[j]);
    hashes.push_back(hash.value());
  }
  return hashes;
}

Records records_of(const std::vector<Answer>& answers) {
  Records records;
  for (const Answer& answer : answers) {
    if (!answer.error.empty()) continue;
    const std::uint32_t* words = answer.words.data();
    for (const Part& part : answer.of->parts) {
      records[part.name] = Record{fingerprint(*answer.of, part), part.rows, hashes_of(words, part.words)};
      words += part.words;
    }
  }
  return records;
}

void write_records(const std::filesystem::path& path, const Records& records) {
  Writer out;
  for (const auto& [name, record] : records) {
    out.put(name);
    out.put(record.fingerprint);
    // Most parts prove the row whose name they bear.
    const bool plain = record.rows == std::vector{name};
    out.put(static_cast<std::uint16_t>(plain ? 0 : record.rows.size()));
    for (const std::string& row : plain ? std::vector<std::string>{} : record.rows) out.put(row);
    out.put(static_cast<std::uint32_t>(record.hashes.size()));
    for (const std::uint64_t hash : record.hashes) out.put(hash);
  }
  std::ofstream file(path, std::ios::binary);
  file.write(out.bytes().data(), static_cast<std::streamsize>(out.bytes().size()));
  file.close();
  if (!file) throw Error("cannot write " + path.string());
}

Records read_records(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (!bytes.starts_with(kMagic)) throw Error(path.string() + " is missing or not a file of records");
  Reader in(std::move(bytes));
  Records records;
  while (!in.done()) {
    const std::string name = in.text();
    Record& record = records[name];
    record.fingerprint = in.get<std::uint64_t>();
    record.rows.resize(in.get<std::uint16_t>());
    for (std::string& row : record.rows) row = in.text();
    if (record.rows.empty()) record.rows = {name};
    record.hashes.resize(in.get<std::uint32_t>());
    for (std::uint64_t& hash : record.hashes) hash = in.get<std::uint64_t>();
  }
  return records;
}

}  // namespace moesaic::isa
