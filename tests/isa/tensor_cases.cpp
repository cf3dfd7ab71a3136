#include <algorithm>
#include <numeric>

#include "isa/async_script.hpp"

/// Copies, stores and reductions through tensor maps, and tensormap.replace, as capability 9.0 has them.
namespace moesaic::isa {
namespace {

struct Type {
  CUtensorMapDataType type;
  unsigned bytes;
  const char* name;
};
constexpr Type kTypes[] = {{CU_TENSOR_MAP_DATA_TYPE_UINT8, 1, "u8"},
                           {CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, "u16"},
                           {CU_TENSOR_MAP_DATA_TYPE_UINT32, 4, "u32"},
                           {CU_TENSOR_MAP_DATA_TYPE_INT32, 4, "s32"},
                           {CU_TENSOR_MAP_DATA_TYPE_UINT64, 8, "u64"},
                           {CU_TENSOR_MAP_DATA_TYPE_INT64, 8, "s64"},
                           {CU_TENSOR_MAP_DATA_TYPE_FLOAT16, 2, "f16"},
                           {CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 4, "f32"},
                           {CU_TENSOR_MAP_DATA_TYPE_FLOAT64, 8, "f64"},
                           {CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 2, "bf16"},
                           {CU_TENSOR_MAP_DATA_TYPE_FLOAT32_FTZ, 4, "f32ftz"},
                           {CU_TENSOR_MAP_DATA_TYPE_TFLOAT32, 4, "tf32"},
                           {CU_TENSOR_MAP_DATA_TYPE_TFLOAT32_FTZ, 4, "tf32ftz"}};

constexpr CUtensorMapSwizzle kSwizzles[] = {CU_TENSOR_MAP_SWIZZLE_NONE, CU_TENSOR_MAP_SWIZZLE_32B,
                                            CU_TENSOR_MAP_SWIZZLE_64B, CU_TENSOR_MAP_SWIZZLE_128B};
constexpr unsigned kRowBytes[] = {48, 32, 64, 128};  // of the box, by swizzle

/// A tensor of `rank` dimensions whose rows are one and a half boxes long, with gaps between rows, planes and so on.
MapCase make_map(const Type& type, std::size_t rank, std::size_t swizzle) {
  constexpr std::uint64_t kDims[] = {0, 5, 3, 2, 2};
  constexpr std::uint32_t kBox[] = {0, 4, 2, 2, 1};
  MapCase map;
  map.type = type.type;
  map.swizzle = kSwizzles[swizzle];
  std::uint64_t stride = 0;
  for (std::size_t d = 0; d < rank; ++d) {
    const unsigned row = kRowBytes[swizzle];
    map.dims.push_back(d == 0 ? (row + row / 2) / type.bytes : kDims[d]);
    map.box.push_back(d == 0 ? row / type.bytes : kBox[d]);
    map.element_strides.push_back(1);
    if (d == 0) stride = (row + row / 2 + 31) / 16 * 16;
    if (d > 0) {
      map.strides_bytes.push_back(stride);
      stride = stride * kDims[d] + 16;
    }
  }
  map.offset_bytes = kDataBytes;
  return map;
}

std::size_t box_bytes(const MapCase& map, const Type& type) {
  std::size_t bytes = type.bytes;
  for (std::size_t d = 0; d < map.box.size(); ++d) {
    const std::uint32_t step = d == 0 ? 1 : map.element_strides[d];
    bytes *= (map.box[d] + step - 1) / step;
  }
  return bytes;
}

/// "{0, 1, 2}": the first coordinate in steps of 16 bytes.
std::string coordinates(const std::vector<int>& steps, const Type& type) {
  std::string text = "{";
  for (std::size_t d = 0; d < steps.size(); ++d) {
    const int value = d == 0 ? steps[0] * 16 / static_cast<int>(type.bytes) : steps[d];
    text += (d == 0 ? "" : ", ") + std::to_string(value);
  }
  return text + "}";
}

/// A box that begins before the tensor, one that lies inside and one that ends behind it.
std::vector<std::vector<int>> three_starts(std::size_t rank, std::size_t swizzle) {
  const std::vector<int> before{-1, -1, 0, 0, 0};
  const std::vector<int> inside{swizzle == 0 ? 1 : 0, 1, 1, 0, 1};
  const std::vector<int> behind{static_cast<int>(kRowBytes[swizzle] / 32), 3, 2, 1, 0};
  std::vector<std::vector<int>> starts;
  for (const std::vector<int>& start : {before, inside, behind}) {
    starts.emplace_back(start.begin(), start.begin() + static_cast<std::ptrdiff_t>(rank));
  }
  return starts;
}

/// Where the i-th box lies in the tile: not all bases are multiples of the swizzle's pattern.
std::string tile_place(std::size_t i) {
  constexpr std::size_t kPlaces[] = {0, 2048 + 128, 5120};
  return "[%tile+" + std::to_string(kPlaces[i]) + "]";
}

std::string dimensions(std::size_t rank) {
  return std::to_string(rank) + "d";
}

Case finish(const AsyncScript& script, const std::string& name, std::uint64_t seed, const MapCase& map) {
  Case one = script.finish(name, seed);
  one.maps = {map};
  return one;
}

/// Three loads by one thread; `variant` is the destination, or a multicast to the own block.
Case load_case(const std::string& name, const Type& type, const MapCase& map, std::size_t swizzle, bool multicast) {
  const std::size_t rank = map.dims.size();
  AsyncScript s;
  s << ".reg .b16 %mask"
    << "mov.b16 %mask, 1"
    << "mov.b64 %d3, map0"
    << "cvta.param.u64 %d3, %d3";
  s.init(0, 1).expect(0, 3 * box_bytes(map, type));
  const auto starts = three_starts(rank, swizzle);
  s.by_one("prefetch.tensormap [%d3]");
  s.by_one("cp.async.bulk.prefetch.tensor." + dimensions(rank) + ".L2.global.tile [%d3, " +
           coordinates(starts[1], type) + "]");
  for (std::size_t i = 0; i < starts.size(); ++i) {
    s.by_one("cp.async.bulk.tensor." + dimensions(rank) + (multicast ? ".shared::cluster" : ".shared::cta") +
             ".global.tile.mbarrier::complete_tx::bytes" + (multicast ? ".multicast::cluster " : " ") + tile_place(i) +
             ", [%d3, " + coordinates(starts[i], type) + "], " + AsyncScript::barrier(0) +
             (multicast ? ", %mask" : ""));
  }
  Case one = finish(s.wait(0, 0).dump_tile(), name, 100 + rank, map);
  one.cluster = multicast;
  return one;
}

/// Three stores, or reductions with `operation`, over an output that holds random words.
Case store_case(const std::string& name, const Type& type, MapCase map, std::size_t swizzle,
                const std::string& operation) {
  const std::size_t rank = map.dims.size();
  map.over_output = true;
  map.offset_bytes = 256;
  AsyncScript s;
  s.fill_output(4096);
  s << "mov.b64 %d3, map0"
    << "cvta.param.u64 %d3, %d3";
  auto starts = three_starts(rank, swizzle);
  // A card stops with an illegal instruction at a store that begins before the tensor.
  for (int& step : starts.front()) step = std::max(step, 0);
  for (std::size_t i = 0; i < starts.size(); ++i) {
    const std::string where = " [%d3, " + coordinates(starts[i], type) + "], " + tile_place(i);
    if (operation.empty()) {
      s.by_one("cp.async.bulk.tensor." + dimensions(rank) + ".global.shared::cta.tile.bulk_group" + where);
    } else {
      s.by_one("cp.reduce.async.bulk.tensor." + dimensions(rank) + ".global.shared::cta." + operation +
               ".tile.bulk_group" + where);
    }
    s.by_one("cp.async.bulk.commit_group");
    s.by_one("cp.async.bulk.wait_group 0");  // boxes overlap
  }
  return finish(s, name, 200 + rank, map);
}

void add_loads_and_stores(std::vector<Case>& cases) {
  std::size_t number = 0;
  for (std::size_t rank = 1; rank <= 5; ++rank) {
    for (std::size_t swizzle = 0; swizzle < std::size(kSwizzles); ++swizzle) {
      const Type& type = kTypes[number++ % 10];
      const MapCase map = make_map(type, rank, swizzle);
      const std::string name = dimensions(rank) + "_" + std::to_string(kRowBytes[swizzle]) + "_" + type.name;
      cases.push_back(load_case("tensor_load_" + name, type, map, swizzle, false));
      cases.push_back(store_case("tensor_store_" + name, type, map, swizzle, ""));
    }
    cases.push_back(
        load_case("tensor_multicast_" + dimensions(rank), kTypes[0], make_map(kTypes[0], rank, 3), 3, true));
  }
}

void add_types(std::vector<Case>& cases) {
  for (const Type& type : kTypes) {
    MapCase map = make_map(type, 2, 2);
    cases.push_back(load_case(std::string("tensor_type_") + type.name, type, map, 2, false));
    if (type.type < CU_TENSOR_MAP_DATA_TYPE_FLOAT16) continue;
    map.fill = CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA;
    cases.push_back(load_case(std::string("tensor_nan_") + type.name, type, map, 2, false));
  }
  MapCase strided = make_map(kTypes[1], 3, 1);
  strided.element_strides = {1, 2, 2};
  strided.box = {16, 5, 2};
  cases.push_back(load_case("tensor_strided_load", kTypes[1], strided, 1, false));
  cases.push_back(store_case("tensor_strided_store", kTypes[1], strided, 1, ""));
}

void add_reductions(std::vector<Case>& cases) {
  struct Reduction {
    const char* operation;
    std::vector<std::size_t> types;  ///< indices of kTypes
  };
  const Reduction reductions[] = {{"add", {2, 3, 4, 6, 7, 9}},
                                  {"min", {2, 3, 4, 5, 6, 9}},
                                  {"max", {2, 3, 4, 5, 6, 9}},
                                  {"inc", {2}},
                                  {"dec", {2}},
                                  {"and", {2, 4}},
                                  {"or", {2, 4}},
                                  {"xor", {2, 4}}};
  for (const Reduction& reduction : reductions) {
    for (std::size_t i = 0; i < reduction.types.size(); ++i) {
      const Type& type = kTypes[reduction.types[i]];
      cases.push_back(store_case(std::string("tensor_") + reduction.operation + "_" + type.name, type,
                                 make_map(type, 2, 2), 2, reduction.operation));
    }
    for (const std::size_t rank : {1U, 3U, 4U, 5U}) {
      cases.push_back(store_case(std::string("tensor_") + reduction.operation + "_" + dimensions(rank), kTypes[2],
                                 make_map(kTypes[2], rank, rank % 4), rank % 4, reduction.operation));
    }
  }
}

/// A map is changed field by field, in shared memory and copied by cp_fenceproxy, or in global memory; then a box is
/// loaded through it. `fields`: "field type ordinal,value" as tensormap.replace takes them.
struct Change {
  const char* field;
  const char* type;
  const char* operands;
};
Case replace_case(const std::string& name, const std::vector<Change>& changes, std::size_t rank, std::size_t bytes,
                  const std::string& space) {
  MapCase map = make_map(kTypes[1], 3, 3);
  AsyncScript s;
  s << ".shared .align 128 .b8 copy[128]"
    << "mov.u32 %r1, copy"
    << "mov.b64 %d4, map0"
    << "mov.b64 %d5, changed"
    << "cvta.global.u64 %d6, %d5"
    << "mov.b64 %d7, %data"
    << "cvta.global.u64 %d7, %d7"
    << "shl.b32 %w0, %t, 2"
    << "cvt.u64.u32 %d0, %w0"
    << "add.u64 %d1, %d4, %d0"
    << "ld.param.b32 %w1, [%d1]"
    << "add.u32 %w2, %r1, %w0"
    << "st.shared.b32 [%w2], %w1"
    << "add.u64 %d1, %d5, %d0"
    << "st.global.b32 [%d1], %w1"
    << "bar.sync 0";
  const bool shared = space == ".shared::cta";
  const std::string at = shared ? "[%r1]" : space.empty() ? "[%d6]" : "[%d5]";
  for (const Change& change : changes) {
    s.by_one("tensormap.replace.tile." + std::string(change.field) + space + ".b1024." + change.type + " " + at + ", " +
             change.operands);
  }
  s << "bar.sync 0";
  if (shared) {
    s << "tensormap.cp_fenceproxy.global.shared::cta.tensormap::generic.release.gpu.sync.aligned [%d5], [%r1], 128";
  } else {
    s << "fence.proxy.tensormap::generic.release.gpu"
      << "bar.sync 0";
  }
  s << "fence.proxy.tensormap::generic.acquire.gpu [%d6], 128";
  s.init(0, 1).expect(0, bytes);
  s.by_one("cp.async.bulk.tensor." + dimensions(rank) +
           ".shared::cta.global.tile.mbarrier::complete_tx::bytes [%tile], [%d6, " +
           coordinates(std::vector<int>(rank, 0), kTypes[1]) + "], " + AsyncScript::barrier(0));
  Case one = finish(s.wait(0, 0).dump_tile(), name, 300, map);
  one.declarations = ".global .align 128 .b8 changed[128];\n";
  return one;
}

void add_replacements(std::vector<Case>& cases) {
  const std::pair<const char*, const char*> spaces[] = {
      {"shared", ".shared::cta"}, {"global", ".global"}, {"generic", ""}};
  for (const auto& [name, space] : spaces) {
    const std::string prefix = std::string("replace_") + name;
    // The plain box: 128 bytes of 4 rows of 2 planes.
    cases.push_back(replace_case(prefix + "_address", {{"global_address", "b64", "%d7"}}, 3, 1024, space));
    cases.push_back(replace_case(prefix + "_extents",
                                 {{"global_dim", "b32", "0, 40"},
                                  {"global_dim", "b32", "1, 2"},
                                  {"global_stride", "b64", "0, 160"},
                                  {"global_stride", "b64", "1, 800"}},
                                 3, 1024, space));
    cases.push_back(replace_case(
        prefix + "_box", {{"box_dim", "b32", "0, 32"}, {"box_dim", "b32", "1, 3"}, {"element_stride", "b32", "1, 2"}},
        3, 64 * 2 * 2, space));
    cases.push_back(replace_case(prefix + "_rank", {{"rank", "b32", "1"}}, 2, 512, space));
    cases.push_back(replace_case(prefix + "_modes",
                                 {{"elemtype", "b32", "10"},
                                  {"fill_mode", "b32", "1"},
                                  {"swizzle_mode", "b32", "0"},
                                  {"interleave_layout", "b32", "0"},
                                  {"global_dim", "b32", "0, 40"}},
                                 3, 1024, space));
    cases.push_back(replace_case(prefix + "_wide",
                                 {{"elemtype", "b32", "7"},
                                  {"box_dim", "b32", "0, 32"},
                                  {"global_dim", "b32", "0, 20"},
                                  {"fill_mode", "b32", "1"}},
                                 3, 1024, space));
  }
}

}  // namespace

std::vector<Case> tensor_cases() {
  std::vector<Case> cases;
  add_loads_and_stores(cases);
  add_types(cases);
  add_reductions(cases);
  add_replacements(cases);
  return cases;
}

}  // namespace moesaic::isa
