// layer_probe PLACE: runs every layer case there and prints a JSON object of digests of all intermediate values. On an
// H200 its output is the fixture tests/fixtures/silicon/layers.json, which emulated:h200 has to reproduce.

#include <fmt/core.h>

#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "engine/gpu.hpp"
#include "layer_cases.hpp"

int main(int argc, char** argv) {
  using namespace moesaic;  // NOLINT
  if (argc != 2) {
    fmt::print(stderr, "usage: layer_probe PLACE, for instance layer_probe gpu:0\n");
    return 2;
  }
  try {
    nlohmann::json cases;
    std::string place;
    for (const test::LayerCase& c : test::layer_cases()) {
      const test::LayerInput input = test::make_input(c);
      const auto engine = engine::make_gpu_engine(input.layer, device::parse_place(argv[1]));
      place = engine->place();
      for (const auto& [field, digest] : test::digests(engine->run(input.tokens, engine::Keep::trace))) {
        cases[c.name][field] = fmt::format("{:016x}", digest);
      }
    }
    fmt::print("{}\n", nlohmann::json{{"place", place}, {"cases", cases}}.dump(1));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "layer_probe: {}\n", error.what());
    return 1;
  }
}
