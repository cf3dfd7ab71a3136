#include "checkpoint/npy.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "mentions.hpp"
#include "spec/error.hpp"
#include "spec/formats.hpp"
#include "temporary_directory.hpp"

namespace moesaic::checkpoint {
namespace {

std::string npy(const std::string& header, const std::string& data, char version = 1) {
  std::string content = std::string("\x93NUMPY") + version + '\0';
  const auto length = static_cast<std::uint32_t>(header.size());
  content.append(reinterpret_cast<const char*>(&length), version == 1 ? 2 : 4);
  return content + header + data;
}

std::string header_of(const std::string& descr, const std::string& order, const std::string& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }          \n";
}

template <class T>
std::string bytes_of(std::initializer_list<T> values) {
  return {reinterpret_cast<const char*>(values.begin()), values.size() * sizeof(T)};
}

class Npy : public ::testing::Test {
 protected:
  Matrix read(const std::string& content) {
    write_file(file_, content);
    return read_npy(file_);
  }
  Tokens tokens(const std::string& content) {
    write_file(file_, content);
    return read_tokens(file_);
  }
  std::string complaint(const std::string& content) {
    write_file(file_, content);
    try {
      read_tokens(file_);
    } catch (const Error& e) {
      EXPECT_TRUE(mentions(e.what(), {"x.npy"}));
      return e.what();
    }
    return "";
  }

  TemporaryDirectory directory_;
  std::filesystem::path file_ = directory_ / "x.npy";
};

TEST_F(Npy, WrittenIsRead) {
  const std::vector<float> values{1, -2, 0.1F, 1e-40F, 3e38F, -0.0F};
  write_npy(file_, 2, 3, values);
  const Matrix matrix = read_npy(file_);
  EXPECT_EQ(matrix.rows, 2);
  EXPECT_EQ(matrix.cols, 3);
  EXPECT_EQ(std::memcmp(matrix.values.data(), values.data(), sizeof(float) * values.size()), 0);
  EXPECT_EQ(std::filesystem::file_size(file_), 128 + 24U) << "values begin at a multiple of 64";
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 1) << "nothing else is left";
  write_npy(file_, 0, 3, {});
  EXPECT_EQ(read_npy(file_).rows, 0);
  EXPECT_THROW(write_npy(file_, 2, 2, values), Error);
  EXPECT_THROW(write_npy(directory_ / "absent/x.npy", 2, 3, values), Error);
  std::filesystem::create_directory(directory_ / "taken.npy");
  EXPECT_THROW(write_npy(directory_ / "taken.npy", 2, 3, values), Error);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory_.path()), {}), 2) << "x.npy and taken.npy";
}

TEST_F(Npy, Float32AndFloat16OfEveryVersion) {
  const std::string data = bytes_of({1.5F, -2.0F});
  for (const char version : {'\1', '\2', '\3'}) {
    EXPECT_EQ(read(npy(header_of("<f4", "False", "(1, 2)"), data, version)).values, (std::vector<float>{1.5F, -2.0F}));
  }
  const std::string halves = bytes_of<std::uint16_t>({0x3e00, 0xc000});
  EXPECT_EQ(read(npy(header_of("<f2", "False", "(2, 1)"), halves)).values, (std::vector<float>{1.5F, -2.0F}));
}

TEST_F(Npy, TokensAreRoundedToBf16) {
  const Tokens read = tokens(npy(header_of("<f4", "False", "(1, 2)"), bytes_of({1.00390625F, 1.01171875F})));
  EXPECT_EQ(read.count, 1);
  EXPECT_EQ(read.hidden, 2);
  EXPECT_EQ(read.values, (std::vector<std::uint16_t>{0x3f80, 0x3f82})) << "both halfway: to even";
}

TEST_F(Npy, HiddenStatesMustBeFinite) {
  const auto one = [&](float value) {
    return complaint(npy(header_of("<f4", "False", "(1, 2)"), bytes_of({0.0F, value})));
  };
  EXPECT_EQ(one(3.3e38F), "");
  EXPECT_TRUE(mentions(one(NAN), {"token 0, channel 1"}));
  EXPECT_TRUE(mentions(one(-INFINITY), {"must be finite"}));
  EXPECT_TRUE(mentions(one(3.4028235e38F), {"must be finite"})) << "infinite in bf16 only";
}

TEST_F(Npy, OtherArraysAreRefused) {
  const std::string data = bytes_of({1.0F, 2.0F});
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f8", "False", "(1, 1)"), data)), {"holds '<f8'"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of(">f4", "False", "(1, 2)"), data)), {"holds '>f4'"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "True", "(1, 2)"), data)), {"Fortran order"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "False", "(2,)"), data)), {"1 dimensions"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "False", "(1, 1, 2)"), data)), {"3 dimensions"}));
}

TEST_F(Npy, HostileFilesAreRefused) {
  const std::string data = bytes_of({1.0F, 2.0F});
  const std::string good = header_of("<f4", "False", "(1, 2)");
  EXPECT_EQ(complaint(npy(good, data)), "");
  EXPECT_TRUE(mentions(complaint(npy(good, data + "x")), {"9 bytes of values"}));
  EXPECT_TRUE(mentions(complaint(npy(good, data.substr(1))), {"7 bytes of values"}));
  EXPECT_TRUE(
      mentions(complaint(npy(header_of("<f4", "False", "(2147483647, 2147483647)"), data)), {"8 bytes of values"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "False", "(4294967296, 4294967296)"), "")), {"too large"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "False", "(-1, 2)"), data)), {"non-negative"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "False", "(99999999999999999999, 2)"), data)), {"malformed"}));
  EXPECT_TRUE(mentions(complaint(npy(header_of("<f4", "Maybe", "(1, 2)"), data)), {"malformed"}));
  EXPECT_TRUE(mentions(complaint(npy("{'descr': '<f4', 'descr': '<f4', 'shape': (1, 2), }", data)), {"once each"}));
  EXPECT_TRUE(mentions(complaint(npy("{'descr': '<f4', 'shape': (1, 2), }", data)), {"fortran_order"}));
  EXPECT_TRUE(mentions(complaint(npy(good + "x", data)), {"nothing else"}));
  EXPECT_TRUE(mentions(complaint(npy(good, data, 4)), {"version 4"}));
  EXPECT_TRUE(mentions(complaint("not numpy"), {"not a .npy file"}));
  EXPECT_TRUE(mentions(complaint(""), {"not a .npy file"}));
  for (std::size_t length = 0; length < npy(good, data).size(); ++length) {
    EXPECT_NE(complaint(npy(good, data).substr(0, length)), "") << length;
  }
}

TEST_F(Npy, ReadsWhatNumPyWrote) {
  const std::filesystem::path fixture =
      std::filesystem::path(MOESAIC_SOURCE_DIR) / "tests/fixtures/checkpoints/qwen3-fp8-dynamic";
  const Tokens hidden = read_tokens(fixture / "hidden.npy");
  EXPECT_EQ(hidden.count, 12);
  EXPECT_EQ(hidden.hidden, 64);
  const Matrix exact = read_npy(fixture / "hidden.npy");
  for (std::size_t i = 0; i < exact.values.size(); ++i) EXPECT_EQ(decode_bf16(hidden.values[i]), exact.values[i]);
}

}  // namespace
}  // namespace moesaic::checkpoint
