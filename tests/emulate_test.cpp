// moesaic emulate, as a user runs it.

#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>

#include "mentions.hpp"
#include "temporary_directory.hpp"

namespace moesaic {
namespace {

using Json = nlohmann::json;

// y[i] = a * x[i] + y[i]; a block of 32 threads, no look at how many there are.
constexpr const char* kKernels = R"(
.version 9.0
.target sm_120f
.address_size 64
.visible .entry saxpy(.param .f32 a, .param .u64 x, .param .u64 y)
{
  .reg .b32 %i<4>;
  .reg .f32 %f<4>;
  .reg .b64 %at<4>;
  ld.param.f32 %f0, [a];
  ld.param.u64 %at0, [x];
  ld.param.u64 %at1, [y];
  mov.u32 %i0, %tid.x;
  mov.u32 %i1, %ctaid.x;
  mov.u32 %i2, %ntid.x;
  mad.lo.u32 %i0, %i1, %i2, %i0;
  mad.wide.u32 %at0, %i0, 4, %at0;
  mad.wide.u32 %at1, %i0, 4, %at1;
  ld.global.f32 %f1, [%at0];
  ld.global.f32 %f2, [%at1];
  fma.rn.f32 %f3, %f0, %f1, %f2;
  st.global.f32 [%at1], %f3;
  ret;
}
.visible .entry all_write_one(.param .u64 to)
{
  .reg .b32 %i;
  .reg .b64 %at;
  ld.param.u64 %at, [to];
  mov.u32 %i, %tid.x;
  st.global.u32 [%at], %i;
  ret;
}
.visible .entry from_struct(.param .align 8 .b8 all[24], .param .u64 to)
{
  .reg .b32 %v<4>;
  .reg .b64 %at<3>;
  ld.param.u8 %v0, [all];
  ld.param.u64 %at0, [all+8];
  ld.param.s32 %v1, [all+16];
  ld.param.u64 %at1, [to];
  ld.global.u32 %v2, [%at0+4];
  st.global.u32 [%at1], %v0;
  st.global.u32 [%at1+4], %v1;
  st.global.u32 [%at1+8], %v2;
  ret;
}
.visible .entry needs_shared()
{
  .shared .align 16 .b8 room[40000];
  ret;
}
)";

struct Result {
  int exit_code = -1;
  std::string out;
  std::string error;
};

class Emulate : public ::testing::Test {
 protected:
  Emulate() { write_file(directory_ / "kernels.ptx", kKernels); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  /// Runs `moesaic emulate kernels.ptx ARGUMENTS`.
  Result emulate(const std::string& arguments) { return moesaic("emulate " + path("kernels.ptx") + " " + arguments); }

  Result moesaic(const std::string& arguments) {
    const std::string out = path("stdout");
    const std::string error = path("stderr");
    const int status =
        std::system((std::string(MOESAIC_PROGRAM) + " " + arguments + " >" + out + " 2>" + error).c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(error)};
  }

  TemporaryDirectory directory_;
};

constexpr const char* kSaxpy =
    "--kernel saxpy --grid 2 --arg f32:2 --arg buffer:f32[64]=iota --arg buffer:f32[64]=0.5 --print 1:f32[3] ";

TEST_F(Emulate, RunsAKernelAndPrintsABuffer) {
  const Result run = emulate(kSaxpy);
  EXPECT_EQ(run.exit_code, 0) << run.error;
  EXPECT_TRUE(mentions(run.out, {"kernel     saxpy of ", "grid 2x1x1, block 32x1x1", "gb10 (NVIDIA GB10), emulated",
                                 "nothing found (checks: all)", "buffer 1   f32[64]: 0.5 2.5 4.5 ..."}));
}

TEST_F(Emulate, JsonIsOneObject) {
  const Result run = emulate(std::string(kSaxpy) + "--json --seed 5 --gpu h200 --check none");
  ASSERT_EQ(run.exit_code, 2) << "sm_120f code does not run on an H200";
  const Result right = emulate(std::string(kSaxpy) + "--json --seed 5 --seeds 3 --gpu rtx5090");
  ASSERT_EQ(right.exit_code, 0) << right.error;
  const Json json = Json::parse(right.out);
  EXPECT_EQ(json["kernel"], "saxpy");
  EXPECT_EQ(json["runs"], 3);
  EXPECT_EQ(json["seed"], 7);
  EXPECT_EQ(json["clean"], true);
  EXPECT_EQ(json["statistics"]["lane_instructions"]["floating"], 64);
  EXPECT_EQ(json["buffers"][0]["values"], Json({"0.5", "2.5", "4.5"}));
}

TEST_F(Emulate, FilesGoInAndOut) {
  write_file(path("in.bin"), std::string(1, 7) + std::string(1, 0) + std::string(2, 0) + std::string("\x09\0\0\0", 4));
  const Result run = emulate("--kernel from_struct --block 1 --arg 'struct:{u8:200;in:" + path("in.bin") +
                             ";s32:-2}' --arg out:" + path("out.bin") + ":12 --print 1:s32");
  ASSERT_EQ(run.exit_code, 0) << run.error;
  EXPECT_TRUE(mentions(run.out, {"s32[3]: 200 -2 9\n", "written    " + path("out.bin")}));
  EXPECT_EQ(read_file(path("out.bin")), std::string("\xc8\0\0\0\xfe\xff\xff\xff\x09\0\0\0", 12));
}

TEST_F(Emulate, WhatAKernelMustNotDoHasAnExitCode) {
  const Result bounds = emulate("--kernel saxpy --grid 3 --arg f32:2 --arg buffer:f32[64]=iota --arg buffer:f32[64]=1");
  EXPECT_EQ(bounds.exit_code, 4);
  EXPECT_TRUE(mentions(bounds.out, {"the kernel failed (out_of_bounds)", "PTX line 19 `ld.global.f32 %f1, [%at0]`",
                                    "again      --seed 1 --host-threads 1"}));
  const Result undefined = emulate("--kernel saxpy --arg f32:2 --arg buffer:f32[32] --arg buffer:f32[32]=1 --json");
  EXPECT_EQ(undefined.exit_code, 4);
  EXPECT_EQ(Json::parse(undefined.out)["findings"][0]["kind"], "undefined");
}

TEST_F(Emulate, ChecksCanBeChosen) {
  const std::string race = "--kernel all_write_one --arg buffer:u32[1] ";
  const Result found = emulate(race + "--check races --json");
  EXPECT_EQ(found.exit_code, 4);
  const Json finding = Json::parse(found.out)["findings"][0];
  EXPECT_EQ(finding["kind"], "race");
  EXPECT_EQ(finding["where"]["instruction"], "st.global.u32 [%at], %i");
  EXPECT_EQ(emulate(race + "--check none").exit_code, 0);
  EXPECT_EQ(emulate(race + "--check undefined,proxies").exit_code, 0);
  EXPECT_EQ(emulate(race + "--check rices").exit_code, 2);
}

TEST_F(Emulate, WhatIsWrittenWrongIsExplained) {
  const auto wrong = [&](const std::string& arguments, std::initializer_list<std::string_view> parts) {
    const Result result = emulate(arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments;
    EXPECT_TRUE(mentions(result.error, parts)) << arguments;
  };
  wrong("", {"4 kernels", "saxpy, all_write_one"});
  wrong("--kernel saxpi", {"no such kernel", "did you mean saxpy?"});
  wrong("--kernel saxpy --arg f32:2", {"takes 3 arguments: of 4, 8, 8 bytes; 1 are given"});
  wrong("--kernel all_write_one --arg u32:2", {"these are 4 bytes", "takes 8"});
  wrong("--kernel all_write_one --arg f31:2", {"no type f31", "did you mean f32?"});
  wrong("--kernel all_write_one --arg u8:256", {"256 is no value of u8"});
  wrong("--kernel all_write_one --arg s8:-129", {"-129 is no value of s8"});
  wrong("--kernel all_write_one --arg buffer:u32[4]=uniform", {"uniform is no value of u32"});
  wrong("--kernel all_write_one --arg 'buffer:u32[4]=gauss(1)'", {"no generator gauss"});
  wrong("--kernel all_write_one --arg in:nowhere", {"nowhere cannot be read"});
  wrong("--kernel all_write_one --arg map:3:f32[32,8]:[32,8]", {"there is no buffer 3"});
  wrong("--kernel all_write_one --arg buffer:u32[1] --grid 1,2,3,4", {"one to three numbers"});
  wrong("--kernel all_write_one --arg buffer:u32[1] --print 1", {"there are 1 buffers"});
  wrong("--kernal saxpy", {"did you mean --kernel?"});
  write_file(path("kernels.ptx"), ".version 9.0\n.target sm_120f\n.address_size 64\n.entry broken( {}\n");
  wrong("--kernel broken", {"PTX line 4, column"});
}

TEST_F(Emulate, ACardMayComeFromAFile) {
  const auto card = [&](const std::string& json, const std::string& kernel) {
    write_file(path("card.json"), json);
    return emulate(kernel + " --gpu " + path("card.json"));
  };
  const Result small = card(R"({"based_on": "gb10", "name": "small", "full_name": "A small card",
                                "smem_per_block_bytes": 32768})",
                            "--kernel needs_shared");
  EXPECT_EQ(small.exit_code, 3);
  EXPECT_TRUE(mentions(small.error, {"40000", "32768"}));
  const Result large = card(R"({"based_on": "gb10", "full_name": "A large card"})", "--kernel needs_shared");
  EXPECT_EQ(large.exit_code, 0) << large.error;
  EXPECT_TRUE(mentions(large.out, {"A large card"}));
  EXPECT_TRUE(mentions(card(R"({"based_on": "gb10", "smz": 3})", "").error, {"smz", "did you mean sms?"}));
  EXPECT_TRUE(mentions(card(R"({"based_on": "gb10", "sms": -3})", "").error, {"sms must be a whole number"}));
  EXPECT_TRUE(mentions(card(R"({"name": "mine", "full_name": "Mine"})", "").error, {"major is missing"}));
  EXPECT_TRUE(mentions(emulate("--gpu gb11").error, {"no card of that name", "did you mean gb10?"}));
}

TEST_F(Emulate, ListsKernelsAndInstructions) {
  EXPECT_TRUE(
      mentions(emulate("--list").out, {"saxpy: arguments of [4, 8, 8] bytes", "needs_shared: arguments of []"}));
  const Json kernels = Json::parse(emulate("--list --json").out)["kernels"];
  EXPECT_EQ(kernels[0]["name"], "saxpy");
  EXPECT_EQ(kernels[0]["argument_bytes"], (std::vector<int>{4, 8, 8}));
  const Result isa = moesaic("emulate --isa mbarrier");
  EXPECT_EQ(isa.exit_code, 0);
  EXPECT_TRUE(mentions(isa.out, {"rows", "mbarrier.init"}));
  EXPECT_EQ(isa.out.find("\nfma."), std::string::npos);
  const Json rows = Json::parse(moesaic("emulate --isa --json").out)["rows"];
  EXPECT_GT(rows.size(), 1000U);
  EXPECT_TRUE(mentions(emulate("--check race").error, {"--check race: there is no check", "did you mean races?"}));
  EXPECT_TRUE(mentions(moesaic("emulate --check race -- true").error, {"--check race: ", "did you mean races?"}));
  EXPECT_TRUE(mentions(moesaic("emulate --isa mbarier").error, {"did you mean mbarrier?"}));
}

}  // namespace
}  // namespace moesaic
