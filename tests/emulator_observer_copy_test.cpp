// Asynchronous copies, proxies and the groups and barriers by which copies complete.

#include "observer_bench.hpp"

namespace moesaic::emulator {
namespace {

constexpr auto kRace = Finding::Kind::race;
constexpr auto kProxyRace = Finding::Kind::proxy_race;

const std::string kTile =
    ".shared .align 128 .b32 s[256];\n.shared .align 8 .b64 full[2];\n.shared .align 8 .b64 empty[2];\n";

Trial block_of(std::uint32_t threads) {
  std::vector<std::uint32_t> words(1024);
  for (std::uint32_t i = 0; i < words.size(); ++i) words[i] = i;
  return Trial{.block = {threads}, .buffers = {words, std::vector<std::uint32_t>(1024)}};
}

const std::string kOpen =
    "mov.u32 %r3, s;\nmov.u32 %r4, full;\nmov.u32 %r5, empty;\nsetp.ne.u32 %p0, %r0, 0;\n@%p0 bra OPENED;\n"
    "mbarrier.init.shared.b64 [%r4], 1;\nmbarrier.init.shared.b64 [%r5], "
    "1;\nfence.mbarrier_init.release.cluster;\nOPENED:\n"
    "bar.sync 0;\n";
const std::string kLoad =
    "mbarrier.arrive.expect_tx.shared.b64 %rd9, [%r4], 128;\n"
    "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%r3], [%rd0], 128, [%r4];\n";
const std::string kWait = "WAIT:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r4], 0;\n@!%p1 bra WAIT;\n";
const std::string kReadMine =
    "shl.b32 %r6, %r2, 2;\nadd.u32 %r6, %r3, %r6;\nld.shared.u32 %r7, [%r6];\nmul.wide.u32 %rd8, %r0, 4;\n"
    "add.u64 %rd8, %rd1, %rd8;\nst.global.u32 [%rd8], %r7;\n";
const std::string kWriteMine = "shl.b32 %r6, %r2, 2;\nadd.u32 %r6, %r3, %r6;\nst.shared.u32 [%r6], %r2;\n";

TEST(Copies, AWaitForThePhaseOrdersWhatACopyWrote) {
  const auto text = [](const std::string& body) {
    return kernel_text(kOpen + "@%p0 bra LOADED;\n" + kLoad + "LOADED:\n" + body, 2, kTile);
  };
  expect_silence(text(kWait + kReadMine), block_of(64));
  expect_finding(text(kReadMine + kWait), block_of(64), kRace, "ld.shared");
}

TEST(Copies, AMbarrierMustBeKnownBeforeItIsUsed) {
  std::string open = kOpen;
  open.erase(open.find("fence.mbarrier_init"), std::string("fence.mbarrier_init.release.cluster;\n").size());
  expect_finding(kernel_text(open + "@%p0 bra LOADED;\n" + kLoad + "LOADED:\n" + kWait + kReadMine, 2, kTile),
                 block_of(64), kProxyRace, "cp.async.bulk");
  open = kOpen;
  open.erase(open.find("bar.sync 0;"), 11);
  Trial trial = block_of(32);
  trial.block = {1};
  expect_silence(kernel_text(open + kLoad + kWait + kReadMine, 2, kTile), trial);
}

/// A stage is read, freed and loaded again.
std::string ring(const std::string& before_free) {
  return kernel_text(kOpen +
                         "setp.lt.u32 %p2, %r0, 32;\n@%p2 bra CONSUMER;\nsetp.ne.u32 %p3, %r2, 0;\n@%p3 bra END;\n" +
                         kLoad + "FREE:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r5], 0;\n@!%p1 bra FREE;\n" +
                         kLoad + "bra END;\nCONSUMER:\n" + kWait + kReadMine + before_free +
                         "setp.eq.u32 %p4, %r2, 0;\n@%p4 mbarrier.arrive.shared.b64 %rd10, [%r5];\n"
                         "AGAIN:\nmbarrier.try_wait.parity.shared.b64 %p1, [%r4], 1;\n@!%p1 bra AGAIN;\nEND:\n",
                     2, kTile);
}

TEST(Copies, OneLaneFreesAStageOnlyAfterAllHaveReadIt) {
  expect_silence(ring("bar.warp.sync 0xffffffff;\n"), block_of(64));
  expect_finding(ring(""), block_of(64), kRace, "cp.async.bulk");
}

TEST(Copies, AStoreNeedsTheProxyFence) {
  const auto text = [](const std::string& fence, const std::string& late_fence) {
    return kernel_text("mov.u32 %r3, s;\nsetp.ne.u32 %p0, %r0, 0;\n" + kWriteMine + fence + "bar.sync 0;\n" +
                           late_fence +
                           "@%p0 bra END;\ncp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r3], 128;\n"
                           "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:\n",
                       2, kTile);
  };
  expect_silence(text("fence.proxy.async;\n", ""), block_of(32));
  expect_silence(text("fence.proxy.async.shared::cta;\n", ""), block_of(32));
  expect_silence(text("", "fence.proxy.async;\n"), block_of(32));
  expect_finding(text("", ""), block_of(32), kProxyRace, "cp.async.bulk.global");
  expect_finding(text("fence.proxy.async.global;\n", ""), block_of(32), kProxyRace, "cp.async.bulk.global");
}

TEST(Copies, TheSourceOfAStoreIsHeldUntilItHasBeenRead) {
  const auto text = [](const std::string& wait) {
    return kernel_text(
        "mov.u32 %r3, s;\nsetp.ne.u32 %p0, %r0, 0;\n" + kWriteMine +
            "fence.proxy.async;\nbar.sync 0;\n@%p0 bra STORED;\n"
            "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r3], 128;\ncp.async.bulk.commit_group;\n" +
            wait + "STORED:\nbar.sync 0;\n" + kWriteMine + "@%p0 bra END;\ncp.async.bulk.wait_group 0;\nEND:\n",
        2, kTile);
  };
  expect_silence(text("cp.async.bulk.wait_group.read 0;\n"), block_of(32));
  expect_silence(text("cp.async.bulk.wait_group 0;\n"), block_of(32));
  expect_finding(text(""), block_of(32), kRace, "st.shared");
  expect_finding(text("cp.async.bulk.wait_group.read 1;\n"), block_of(32), kRace, "st.shared");
}

TEST(Copies, LanesMayAllStoreOneTile) {
  // `which` of the lane's number chooses the half of the tile that it stores.
  const auto text = [](const std::string& which) {
    return kernel_text(
        "mov.u32 %r3, s;\nshl.b32 %r6, %r0, 2;\nadd.u32 %r6, %r3, %r6;\nst.shared.u32 [%r6], %r0;\n"
        "fence.proxy.async;\nbar.sync 0;\nsetp.ge.u32 %p0, %r0, 32;\n@%p0 bra END;\n"
        "and.b32 %r7, %r2, " +
            which +
            ";\nshl.b32 %r7, %r7, 7;\nadd.u32 %r7, %r3, %r7;\n"
            "cp.async.bulk.global.shared::cta.bulk_group [%rd1], [%r7], 128;\n"
            "cp.async.bulk.commit_group;\ncp.async.bulk.wait_group 0;\nEND:\n",
        2, kTile);
  };
  expect_silence(text("0"), block_of(64));
  expect_finding(text("1"), block_of(64), kRace, "cp.async.bulk.global");
}

TEST(Copies, ThreadsWaitForTheirOwnCopies) {
  const auto text = [](const std::string& wait) {
    return kernel_text(
        "mov.u32 %r3, s;\nshl.b32 %r6, %r0, 4;\nadd.u32 %r6, %r3, %r6;\nmul.wide.u32 %rd8, %r0, 16;\n"
        "add.u64 %rd8, %rd0, %rd8;\ncp.async.ca.shared.global [%r6], [%rd8], 16;\n" +
            wait + "shl.b32 %r8, %r0, 4;\nxor.b32 %r8, %r8, 16;\nadd.u32 %r8, %r3, %r8;\nld.shared.u32 %r7, [%r8];\n",
        2, kTile);
  };
  expect_silence(text("cp.async.commit_group;\ncp.async.wait_group 0;\nbar.sync 0;\n"), block_of(32));
  expect_silence(text("cp.async.wait_all;\nbar.sync 0;\n"), block_of(32));
  expect_finding(text("cp.async.commit_group;\nbar.sync 0;\n"), block_of(32), kRace, "ld.shared");
  expect_finding(text("cp.async.commit_group;\ncp.async.wait_group 1;\nbar.sync 0;\n"), block_of(32), kRace,
                 "ld.shared");
}

}  // namespace
}  // namespace moesaic::emulator
