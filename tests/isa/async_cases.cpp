#include "isa/async_script.hpp"

/// mbarriers, cp.async, bulk copies and reductions, asynchronous stores, groups and fences as capability 9.0 has them.
/// Copies through tensor maps: tensor_cases.cpp.
namespace moesaic::isa {
namespace {

/// Phases, states and parities of one mbarrier, by thread 0; `space` empty for generic addresses.
Case mbarrier_case(const std::string& name, const std::string& space) {
  AsyncScript s;
  s << "cvt.u64.u32 %d7, %bar"
    << "cvta.shared.u64 %d7, %d7"
    << "mov.u32 %r7, %bar"
    << "mov.b32 %r6, 0";
  const std::string at = space.empty() ? "[%d7]" : "[%r7]";
  const auto op = [&](const std::string& form, const std::string& result, const std::string& more = "") {
    s.by_one("mbarrier." + form + space + ".b64 " + (result.empty() ? "" : result + ", ") + at +
             (more.empty() ? "" : ", " + more));
  };
  const auto test = [&](const std::string& form, const std::string& operand) {
    s << "setp.ne.u32 %p1, %t, %t";
    op(form, "%p1", operand);
    s.show_predicate("%p1");
  };
  const auto count = [&](const std::string& state) {
    s << "mov.b32 %r5, 0";
    s.by_one("mbarrier.pending_count.b64 %r5, " + state);
    s.show("%r5");
  };
  for (const char* state : {"%d1", "%d2", "%d3", "%d4", "%d5"}) s << std::string("mov.b64 ") + state + ", 0";
  op("init", "", "5");
  op("arrive", "%d1");
  count("%d1");
  test("test_wait", "%d1");
  test("test_wait.parity", "0");
  test("test_wait.parity", "1");
  op("arrive.noComplete", "%d2", "2");
  count("%d2");
  op("arrive", "%d3", "2");
  count("%d3");
  test("test_wait", "%d1");
  test("test_wait.parity", "0");
  test("try_wait.parity", "1, 100");
  op("arrive_drop", "%d4");  // 4 from the next phase on
  count("%d4");
  test("test_wait", "%d4");
  op("arrive_drop.noComplete", "%d4", "1");  // 3
  count("%d4");
  op("arrive", "%d5", "3");
  test("try_wait", "%d4");
  op("arrive.expect_tx", "%d5", "96");
  count("%d5");
  op("arrive", "%d5", "2");
  test("test_wait", "%d5");
  op("expect_tx", "", "32");
  op("complete_tx", "", "100");
  test("test_wait.parity", "0");
  op("complete_tx", "", "28");
  test("test_wait.parity", "0");
  op("arrive_drop.expect_tx", "%d5", "16");  // 2
  op("complete_tx", "", "16");
  op("arrive", "%d5", "2");
  test("try_wait", "%d5, 100");
  op("arrive", "%d5");
  count("%d5");
  op("inval", "");
  op("init", "", "1");
  test("test_wait.parity", "0");
  op("arrive", "%d5");
  test("test_wait.parity", "0");
  return s.finish(name, 1);
}

/// Arrivals of all lanes, and forms with order and scope, on several mbarriers.
Case mbarrier_lanes_case() {
  AsyncScript s;
  s.init(0, 32).init(1, 64).init(2, 1);
  s << "mbarrier.arrive.release.cta.shared::cta.b64 _, " + AsyncScript::barrier(0)
    << "mbarrier.arrive.relaxed.cluster.shared::cluster.b64 _, " + AsyncScript::barrier(1) + ", 2";
  s.wait(0, 0).wait(1, 0).show_predicate("%p0");
  s.by_one("mbarrier.arrive.expect_tx.release.cluster.shared::cluster.b64 _, " + AsyncScript::barrier(2) + ", 8");
  s.by_one("mbarrier.complete_tx.relaxed.cluster.shared::cluster.b64 " + AsyncScript::barrier(2) + ", 8");
  s << "mbarrier.test_wait.parity.relaxed.cta.shared::cta.b64 %p2, " + AsyncScript::barrier(2) + ", 1";
  s.show_predicate("%p2").wait(2, 0);
  return s.finish("mbarrier_lanes", 2);
}

/// A card stops with an illegal instruction at what addresses a cluster's memory unless the kernel was launched in
/// clusters.
Case in_cluster(Case one) {
  one.cluster = true;
  return one;
}

Case cp_async_case() {
  AsyncScript s;
  s.init(0, 32).init(1, 1).init(2, 32).init(3, 1);
  s << "shl.b32 %r0, %t, 5"
    << "add.u32 %r1, %r0, %tile"
    << "cvt.u64.u32 %d3, %r0"
    << "add.u64 %d3, %d3, %data"
    << "and.b32 %r2, %t, 15"
    << "and.b32 %r3, %t, 3"
    << "and.b32 %r4, %t, 7"
    << "setp.gt.u32 %p1, %t, 20"
    << "cp.async.ca.shared.global [%r1], [%d3], 4"
    << "cp.async.ca.shared.global [%r1+8], [%d3+8], 8"
    << "cp.async.cg.shared::cta.global.L2::128B [%r1+16], [%d3+16], 16"
    << "cp.async.commit_group"
    << "cp.async.ca.shared.global [%r1+1024], [%d3+1024], 4, %r3"
    << "cp.async.ca.shared.global [%r1+1032], [%d3+1032], 8, %r4"
    << "cp.async.cg.shared.global [%r1+1040], [%d3+1040], 16, %r2"
    << "cp.async.commit_group"
    << "cp.async.wait_group 1"
    << "ld.shared.b32 %r5, [%r1]";
  s.show("%r5");
  s << "cp.async.ca.shared.global [%r1+2048], [%d3+2048], 16, %p1"
    << "cp.async.ca.shared.global [%r1+2064], [%d3+2064], 4, %p1"
    << "cp.async.ca.shared.global [%r1+2072], [%d3+2072], 8"
    << "cp.async.wait_all"
    << "cp.async.cg.shared.global [%r1+3072], [%d3+3072], 16, 12"
    << "cp.async.mbarrier.arrive.noinc.shared::cta.b64 " + AsyncScript::barrier(0);
  s.wait(0, 0);
  s << "cvt.u64.u32 %d5, %bar"
    << "cvta.shared.u64 %d5, %d5"
    << "add.u64 %d5, %d5, 8"
    << "cp.async.ca.shared.global [%r1+4096], [%d3+4096], 16"
    << "cp.async.mbarrier.arrive.b64 [%d5]"
    << "bar.sync 0";
  s.by_one("mbarrier.arrive.shared::cta.b64 _, " + AsyncScript::barrier(1));
  s.wait(1, 0);
  s << "add.u64 %d5, %d5, 8"
    << "cp.async.ca.shared.global [%r1+5120], [%d3+5120], 16"
    << "cp.async.mbarrier.arrive.noinc.b64 [%d5]"
    << "cp.async.mbarrier.arrive.shared::cta.b64 " + AsyncScript::barrier(3) << "bar.sync 0";
  s.by_one("mbarrier.arrive.shared::cta.b64 _, " + AsyncScript::barrier(3));
  return s.wait(2, 0).wait(3, 0).dump_tile().finish("cp_async", 3);
}

/// Loads with and without multicast, copies within shared memory, prefetches.
Case bulk_case() {
  AsyncScript s;
  s.init(0, 1).expect(0, 16 + 1024 + 48 + 256 + 512);
  const std::string end = ", " + AsyncScript::barrier(0);
  s << "add.u32 %r0, %tile, 4096"
    << "mov.b32 %r1, 256"
    << "createpolicy.fractional.L2::evict_first.b64 %d4, 1.0"
    << ".reg .b16 %mask"
    << "mov.b16 %mask, 1";
  s.by_one("cp.async.bulk.prefetch.L2.global [%data], 1024");
  s.by_one("cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes [%tile], [%data+16], 16" + end);
  s.by_one(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint [%tile+1024], [%data], "
      "1024" +
      end + ", %d4");
  s.by_one(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%tile+32], "
      "[%data+2048], 48" +
      end + ", %mask");
  s.by_one("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%r0], [%tile+6144], %r1" + end);
  s.by_one(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster.L2::cache_hint "
      "[%tile+5120], [%data+4096], 512" +
      end + ", %mask, %d4");
  return in_cluster(s.wait(0, 0).dump_tile().finish("bulk", 4));
}

Case bulk_store_case() {
  AsyncScript s;
  s.fill_output(4096);
  s << "createpolicy.fractional.L2::evict_first.b64 %d4, 1.0";
  s.by_one("cp.async.bulk.global.shared::cta.bulk_group [%out+16], [%tile+256], 1024");
  s.by_one("cp.async.bulk.commit_group");
  s.by_one("cp.async.bulk.global.shared::cta.bulk_group.L2::cache_hint [%out+8192], [%tile], 48, %d4");
  s.by_one("cp.async.bulk.commit_group");
  s.by_one("cp.async.bulk.wait_group.read 0");
  s << "bar.sync 0"
    << "shl.b32 %r0, %t, 3"
    << "add.u32 %r0, %r0, %tile"
    << "st.shared.b32 [%r0], %t";
  s.meet();
  s.by_one("cp.async.bulk.global.shared::cta.bulk_group [%out+12288], [%tile], 256");
  s.by_one("cp.async.bulk.commit_group");
  s.by_one("cp.async.bulk.wait_group 1");
  s.by_one("cp.async.bulk.wait_group 0");
  return s.finish("bulk_store", 5);
}

struct Reduced {
  const char* name;
  const char* suffix;
  bool to_shared;
};
constexpr Reduced kReductions[] = {{"and_b32", ".and.b32", true},          {"or_b32", ".or.b32", true},
                                   {"xor_b32", ".xor.b32", true},          {"add_u32", ".add.u32", true},
                                   {"add_s32", ".add.s32", true},          {"add_u64", ".add.u64", true},
                                   {"inc_u32", ".inc.u32", true},          {"dec_u32", ".dec.u32", true},
                                   {"min_u32", ".min.u32", true},          {"min_s32", ".min.s32", true},
                                   {"max_u32", ".max.u32", true},          {"max_s32", ".max.s32", true},
                                   {"and_b64", ".and.b64", false},         {"or_b64", ".or.b64", false},
                                   {"xor_b64", ".xor.b64", false},         {"min_u64", ".min.u64", false},
                                   {"min_s64", ".min.s64", false},         {"max_u64", ".max.u64", false},
                                   {"max_s64", ".max.s64", false},         {"add_f32", ".add.f32", false},
                                   {"add_f64", ".add.f64", false},         {"add_f16", ".add.noftz.f16", false},
                                   {"add_bf16", ".add.noftz.bf16", false}, {"min_f16", ".min.f16", false},
                                   {"max_f16", ".max.f16", false},         {"min_bf16", ".min.bf16", false},
                                   {"max_bf16", ".max.bf16", false}};

/// 8 KB of elements of any bits onto as many.
Case reduce_to_global_case(const Reduced& reduced) {
  AsyncScript s;
  s << "add.u64 %d6, %in, 8192"
    << "mov.b64 %d5, %in"
    << "mov.b64 %in, %d6";
  s.fill_output(2048);
  s.by_one(std::string("cp.reduce.async.bulk.global.shared::cta.bulk_group") + reduced.suffix +
           " [%out], [%tile], 8192");
  s.by_one("cp.async.bulk.commit_group");
  s.by_one("cp.async.bulk.wait_group 0");
  return s.finish(std::string("reduce_global_") + reduced.name, 6);
}

/// A bulk reduction, and one of each thread's registers.
Case reduce_to_shared_case(const Reduced& reduced) {
  AsyncScript s;
  const bool wide = std::string(reduced.suffix).ends_with("64");
  const std::string end = ", " + AsyncScript::barrier(0);
  s.init(0, 1).expect(0, 2048 + 32 * (wide ? 8 : 4)).meet();
  s.by_one(std::string("cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes") +
           reduced.suffix + " [%tile], [%tile+4096], 2048" + end);
  s << "shl.b32 %r0, %t, 4"
    << "add.u32 %r0, %r0, %tile"
    << "ld.shared.b32 %r1, [%r0+6144]"
    << "ld.shared.b64 %d1, [%r0+6144]";
  s << std::string("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes") + reduced.suffix +
           " [%r0+2048], " + (wide ? "%d1" : "%r1") + end;
  return in_cluster(s.wait(0, 0).dump_tile().finish(std::string("reduce_shared_") + reduced.name, 7));
}

/// Registers of each thread to 16 bytes of its own: single ones, or vectors.
Case store_async_case(const std::string& name, const std::vector<std::string>& forms) {
  AsyncScript s;
  const std::string end = ", " + AsyncScript::barrier(0);
  const auto bytes = [](const std::string& form) {
    return (form.ends_with("64") ? 8U : 4U) * (form.starts_with(".v4") ? 4U : form.starts_with(".v2") ? 2U : 1U);
  };
  std::size_t all = 0;
  for (const std::string& form : forms) all += 32 * bytes(form);
  s.init(0, 1).expect(0, all).meet();
  s << "shl.b32 %r0, %t, 4"
    << "add.u32 %r0, %r0, %tile"
    << "ld.shared.v4.b32 {%r1, %r2, %r3, %r4}, [%r0+7168]"
    << "ld.shared.v2.b64 {%d1, %d2}, [%r0+7168]";
  int at = 0;
  for (const std::string& form : forms) {
    const bool wide = form.ends_with("64");
    const char* values = wide ? "{%d1, %d2}" : form.starts_with(".v4") ? "{%r1, %r2, %r3, %r4}" : "{%r3, %r2}";
    const char* value = wide ? "%d1" : "%r1";
    s << "st.async.shared::cluster.mbarrier::complete_tx::bytes" + form + " [%r0+" + std::to_string(at) + "], " +
             (form.starts_with(".v") ? values : value) + end;
    at += 512;
  }
  return in_cluster(s.wait(0, 0).dump_tile().finish(name, 8));
}

/// Instructions without a result that one could see: they must run.
Case fences_case() {
  AsyncScript s;
  for (const char* fence : {"fence.proxy.alias",
                            "fence.proxy.async",
                            "fence.proxy.async.global",
                            "fence.proxy.async.shared::cta",
                            "fence.proxy.async.shared::cluster",
                            "fence.mbarrier_init.release.cluster",
                            "fence.acquire.sync_restrict::shared::cluster.cluster",
                            "fence.release.sync_restrict::shared::cta.cluster",
                            "fence.proxy.async::generic.acquire.sync_restrict::shared::cluster.cluster",
                            "fence.proxy.async::generic.release.sync_restrict::shared::cta.cluster",
                            "fence.proxy.tensormap::generic.release.gpu",
                            "fence.acq_rel.gpu",
                            "fence.sc.sys",
                            "fence.acquire.gpu",
                            "fence.release.cta",
                            "membar.gl",
                            "membar.cta",
                            "membar.sys",
                            "prefetch.global.L1 [%data]",
                            "prefetch.L2 [%data]",
                            "prefetch.global.L2::evict_last [%data]",
                            "prefetchu.L1 [%data]",
                            "applypriority.global.L2::evict_normal [%data], 128",
                            "applypriority.L2::evict_normal [%data], 128",
                            "cp.async.bulk.commit_group",
                            "cp.async.bulk.wait_group 0",
                            "cp.async.wait_all"}) {
    s << fence;
  }
  return s.show("%t").finish("fences", 9);
}

}  // namespace

std::vector<Case> async_cases() {
  std::vector<Case> cases{
      mbarrier_case("mbarrier_generic", ""),
      mbarrier_case("mbarrier_shared", ".shared::cta"),
      mbarrier_lanes_case(),
      cp_async_case(),
      bulk_case(),
      bulk_store_case(),
      store_async_case("store_async", {".b32", ".u32", ".s32", ".f32", ".b64", ".u64", ".s64", ".f64"}),
      store_async_case("store_async_vectors", {".v2.b32", ".v2.u32", ".v2.s32", ".v2.f32", ".v4.b32", ".v4.u32",
                                               ".v4.s32", ".v4.f32", ".v2.b64", ".v2.u64", ".v2.s64", ".v2.f64"}),
      fences_case()};
  for (const Reduced& reduced : kReductions) {
    cases.push_back(reduce_to_global_case(reduced));
    if (reduced.to_shared) cases.push_back(reduce_to_shared_case(reduced));
  }
  return cases;
}

}  // namespace moesaic::isa
