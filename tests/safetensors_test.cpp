#include "checkpoint/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <ctime>

#include "checkpoint/file_reader.hpp"
#include "mentions.hpp"
#include "spec/error.hpp"
#include "temporary_directory.hpp"

namespace moesaic::checkpoint {
namespace {

/// A file with this header and so many bytes of data; the header's length is the true one unless `length` is given.
std::string file_of(const std::string& header, std::size_t data_bytes, std::uint64_t length = ~std::uint64_t{0}) {
  if (length == ~std::uint64_t{0}) length = header.size();
  std::string content(sizeof length, '\0');
  std::memcpy(content.data(), &length, sizeof length);
  return content + header + std::string(data_bytes, '\x01');
}

/// What reading the header of such a file complains about; empty when it does not.
std::string complaint(const std::string& content) {
  const TemporaryDirectory directory;
  write_file(directory / "x.safetensors", content);
  try {
    read_header(directory / "x.safetensors");
  } catch (const Error& e) {
    EXPECT_TRUE(mentions(e.what(), {"x.safetensors"}));
    return e.what();
  }
  return "";
}

std::string tensor(const std::string& name, const std::string& dtype, const std::string& shape,
                   const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

/// A file whose header lists these entries.
std::string file_with(const std::vector<std::string>& entries, std::size_t data_bytes) {
  return file_of(fmt::format("{{{}}}", fmt::join(entries, ",")), data_bytes);
}

TEST(Safetensors, ReadsWhatItIsGiven) {
  EXPECT_EQ(complaint(file_of("{}", 0)), "");
  EXPECT_EQ(complaint(file_of("{}   ", 0)), "") << "padded";
  EXPECT_EQ(complaint(file_of(R"({"__metadata__":{"format":"pt"}})", 0)), "");
  EXPECT_EQ(complaint(file_with({tensor("a", "F32", "[2,3]", "[0,24]")}, 24)), "");
  EXPECT_EQ(complaint(file_with({tensor("a", "F32", "[]", "[0,4]")}, 4)), "") << "a scalar";
  EXPECT_EQ(complaint(file_with({tensor("a", "U8", "[0]", "[0,0]"), tensor("b", "U8", "[1]", "[0,1]"),
                                 tensor("c", "U8", "[5,0]", "[1,1]")},
                                1)),
            "")
      << "empty tensors";
  EXPECT_EQ(complaint(file_with({tensor("a", "F4", "[4]", "[0,2]")}, 2)), "") << "two to a byte";
}

TEST(Safetensors, LengthOfTheHeaderIsChecked) {
  EXPECT_TRUE(mentions(complaint("abc"), {"at least 8"}));
  EXPECT_TRUE(mentions(complaint(file_of("{}", 0, 3)), {"only 2 follow"}));
  EXPECT_TRUE(mentions(complaint(file_of("{}", 0, 100'000'001)), {"at most 100000000"}));
  EXPECT_TRUE(mentions(complaint(file_of("{}", 0, ~std::uint64_t{0} - 1)), {"at most 100000000"}));
}

TEST(Safetensors, SyntaxOfTheHeaderIsChecked) {
  EXPECT_TRUE(mentions(complaint(file_of("{\"a\":", 0)), {"not valid JSON"}));
  EXPECT_TRUE(mentions(complaint(file_of("[]", 0)), {"must be an object"}));
  EXPECT_TRUE(mentions(complaint(file_of("", 0)), {"not valid JSON"}));
  EXPECT_TRUE(mentions(complaint(file_of("{\"\xff\":1}", 0)), {"not valid JSON"}));
  EXPECT_TRUE(mentions(complaint(file_of("{\"a\":" + std::string(1'000'000, '['), 0)), {"nested deeper"}));
  EXPECT_TRUE(mentions(complaint(file_of(R"({"a":3})", 0)), {": a: ", "must be an object of"}));
  EXPECT_TRUE(mentions(complaint(file_of(R"({"a":{"dtype":"U8","shape":[0]}})", 0)), {"must be an object of"}));
}

TEST(Safetensors, NamesMayNotRepeat) {
  EXPECT_TRUE(mentions(complaint(file_with({tensor("a", "U8", "[1]", "[0,1]"), tensor("a", "U8", "[1]", "[1,2]")}, 2)),
                       {"\"a\"", "twice"}));
  EXPECT_TRUE(mentions(complaint(file_of(R"({"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}})", 1)),
                       {"\"dtype\"", "twice"}));
}

TEST(Safetensors, EntriesAreChecked) {
  const auto one = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return complaint(file_with({tensor("a", dtype, shape, offsets)}, 8));
  };
  EXPECT_TRUE(mentions(one("F7", "[8]", "[0,8]"), {"unknown dtype \"F7\""}));
  EXPECT_TRUE(mentions(one("F32", "[-2]", "[0,8]"), {"non-negative"}));
  EXPECT_TRUE(mentions(one("F32", "[2.0]", "[0,8]"), {"non-negative"}));
  EXPECT_TRUE(mentions(one("F32", "2", "[0,8]"), {"shape must be"}));
  EXPECT_TRUE(mentions(one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), {"at most 8"}));
  EXPECT_TRUE(mentions(one("F32", "[2]", "[8,0]"), {"begin <= end"}));
  EXPECT_TRUE(mentions(one("F32", "[2]", "[0,8,16]"), {"data_offsets must be"}));
  EXPECT_TRUE(mentions(one("F32", "[2]", "[-8,0]"), {"data_offsets must be"}));
  EXPECT_TRUE(mentions(one("F32", "[3]", "[0,8]"), {"span 8 bytes", "F32 [3] takes 12"}));
  EXPECT_TRUE(mentions(one("F4", "[3]", "[0,1]"), {"no whole number"}));
  // Products that come out as 8 when they wrap around 64 bits.
  EXPECT_TRUE(mentions(one("U8", "[4611686018427387904,4,8]", "[0,8]"), {"fits 64 bits"}));
  EXPECT_TRUE(mentions(one("F64", "[2305843009213693953]", "[0,8]"), {"fits 64 bits"}));
}

TEST(Safetensors, TensorsTileTheFile) {
  const auto two = [](const std::string& first, const std::string& second, std::size_t data_bytes) {
    return complaint(file_with({tensor("a", "U8", "[4]", first), tensor("b", "U8", "[4]", second)}, data_bytes));
  };
  EXPECT_EQ(two("[0,4]", "[4,8]", 8), "");
  EXPECT_EQ(two("[4,8]", "[0,4]", 8), "") << "any order";
  EXPECT_TRUE(mentions(two("[0,4]", "[2,6]", 8), {"b overlaps a"}));
  EXPECT_TRUE(mentions(two("[0,4]", "[0,4]", 4), {"overlaps"}));
  EXPECT_TRUE(mentions(two("[0,4]", "[5,9]", 9), {"b begins at 5, must begin at 4"}));
  EXPECT_TRUE(mentions(two("[1,5]", "[5,9]", 9), {"a begins at 1, must begin at 0"}));
  EXPECT_TRUE(mentions(two("[0,4]", "[4,8]", 7), {": b: ", "end at 8", "7 bytes of data"}));
  EXPECT_TRUE(mentions(two("[0,4]", "[4,8]", 9), {"belongs to none"}));
  EXPECT_TRUE(
      mentions(two("[18446744073709551600,18446744073709551604]", "[0,4]", 8), {"end at 18446744073709551604"}));
}

TEST(Safetensors, OnlyRegularFiles) {
  const TemporaryDirectory directory;
  EXPECT_THROW(read_header(directory.path()), Error);
  EXPECT_THROW(read_header(directory / "absent"), Error);
}

TEST(Safetensors, WrittenIsRead) {
  const TemporaryDirectory directory;
  const auto file = directory / "x.safetensors";
  const std::array<std::byte, 6> first{std::byte{1}, std::byte{2}, std::byte{3},
                                       std::byte{4}, std::byte{5}, std::byte{6}};
  const std::array<std::byte, 4> second{std::byte{7}, std::byte{8}, std::byte{9}, std::byte{10}};
  SafetensorsWriter writer(file, {{"z", "U8", {2, 3}}, {"a", "BF16", {2}}});
  writer.append("z", first);
  EXPECT_THROW(writer.finish(), Error) << "a is missing";
  EXPECT_THROW(writer.append("z", first), Error) << "not its turn";
  EXPECT_THROW(writer.append("a", first), Error) << "not its size";
  SafetensorsWriter again(file, {{"z", "U8", {2, 3}}, {"a", "BF16", {2}}});
  again.append("z", first);
  again.append("a", second);
  again.finish();

  const std::vector<Tensor> tensors = read_header(file);
  ASSERT_EQ(tensors.size(), 2U);
  EXPECT_EQ(tensors[0].name, "z");
  EXPECT_EQ(tensors[0].shape, (std::vector<std::uint64_t>{2, 3}));
  EXPECT_EQ(tensors[0].begin % 8, 0U) << "the data begin aligned";
  EXPECT_EQ(describe(tensors[1].dtype, tensors[1].shape), "BF16 [2]");
  std::array<std::byte, 4> bytes{};
  FileReader().read(file, tensors[1].begin, bytes, "a");
  EXPECT_EQ(bytes, second);
}

TEST(Safetensors, AFileThatShrinksIsAnError) {
  const TemporaryDirectory directory;
  const auto file = directory / "x.safetensors";
  write_file(file, file_with({tensor("a", "U8", "[8]", "[0,8]")}, 8));
  const std::vector<Tensor> tensors = read_header(file);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  std::array<std::byte, 8> bytes{};
  try {
    FileReader().read(file, tensors[0].begin, bytes, "a");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_TRUE(mentions(e.what(), {file.string(), "a: could not be read", "has become shorter"}));
  }
}

/// How much of a file the page cache holds, from 0 to 1.
double cached(const std::filesystem::path& file) {
  const std::size_t bytes = std::filesystem::file_size(file);
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  void* const map = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
  EXPECT_NE(map, MAP_FAILED);
  std::vector<unsigned char> pages((bytes + page - 1) / page);
  EXPECT_EQ(::mincore(map, bytes, pages.data()), 0);
  ::munmap(map, bytes);
  ::close(descriptor);
  const auto held = std::ranges::count_if(pages, [](unsigned char state) { return (state & 1U) != 0; });
  return static_cast<double>(held) / static_cast<double>(pages.size());
}

TEST(Safetensors, PagesAreGivenBackWhereTheyAreNotWanted) {
  const TemporaryDirectory directory;
  struct statfs system {};
  ASSERT_EQ(::statfs(directory.path().c_str(), &system), 0);
  if (system.f_type == TMPFS_MAGIC) GTEST_SKIP() << "the page cache is all that this file system has";
  const auto file = directory / "x";
  std::vector<std::byte> bytes(std::size_t{4} << 20);
  write_file(file, std::string(bytes.size(), 'a'));
  const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(::fsync(descriptor), 0);  // what is not on the disk yet cannot be given back
  ::close(descriptor);
  FileReader().read(file, 0, bytes, "a");
  EXPECT_GT(cached(file), 0.9);
  FileReader(PageCache::given_back).read(file, 0, bytes, "a");
  EXPECT_LT(cached(file), 0.1);
}

TEST(Safetensors, OnlyRegularFilesAreRead) {
  const TemporaryDirectory directory;
  ASSERT_EQ(::mkfifo((directory / "pipe").c_str(), 0600), 0);
  std::array<std::byte, 1> bytes{};
  EXPECT_THROW(FileReader().read(directory / "pipe", 0, bytes, "a"), Error) << "and does not wait for a writer";
  EXPECT_THROW(FileReader().read(directory.path(), 0, bytes, "a"), Error);
  EXPECT_THROW(FileReader().read(directory / "absent", 0, bytes, "a"), Error);
}

/// Processor time of reading a header of that many tensors.
double seconds_to_read(const std::filesystem::path& file, int tensors) {
  std::vector<std::string> entries;
  entries.reserve(static_cast<std::size_t>(tensors));
  for (int i = 0; i < tensors; ++i) entries.push_back(tensor("t" + std::to_string(i), "U8", "[0]", "[0,0]"));
  write_file(file, file_with(entries, 0));
  const std::clock_t start = std::clock();
  EXPECT_EQ(read_header(file).size(), static_cast<std::size_t>(tensors));
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

/// Models of today have a hundred thousand tensors. Eight times as many would take 64 times as long or more if each
/// were compared with all others.
TEST(Safetensors, AHeaderIsReadInTimeThatGrowsWithItsLengthAlone) {
  const TemporaryDirectory directory;
  const auto file = directory / "x.safetensors";
  const double small = seconds_to_read(file, 2000);
  EXPECT_LT(seconds_to_read(file, 16000), 30 * small + 0.05);
}

TEST(Safetensors, NamesThatAreNoTextAreRefused) {
  const TemporaryDirectory directory;
  const auto file = directory / "x.safetensors";
  for (const std::string name : {"\\u001b", "\\u007f", "\\u009b", "\\u2028", "\\u202e", "\\u2066"}) {
    write_file(file, file_with({tensor("a" + name + "[2J", "U8", "[8]", "[0,8]")}, 8));
    try {
      read_header(file);
      ADD_FAILURE() << name;
    } catch (const Error& e) {
      EXPECT_TRUE(mentions(e.what(), {"control characters", name}));
    }
  }
  write_file(file, file_with({tensor("a\\u00e9\\u4e2d", "U8", "[8]", "[0,8]")}, 8));
  EXPECT_NO_THROW(read_header(file));
}

}  // namespace
}  // namespace moesaic::checkpoint
