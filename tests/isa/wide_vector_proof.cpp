#include "device/place.hpp"
#include "isa/cell_cases.hpp"
#include "isa/isa_case.hpp"
#include "isa/row_proof.hpp"

namespace moesaic::isa {
namespace {

/// 32 bytes of each thread through registers, from the input to the output: `load` reads them, `store` writes them.
std::string copies(const std::string& load, const std::string& store, int count) {
  Case one;
  one.name = "copy";
  Random random(23);
  for (int i = 0; i < 32 * 8; ++i) one.input.push_back(random.word());
  one.body = ".reg .b64 %at, %from, %to;\n.reg " + std::string(count == 4 ? ".b64" : ".b32") +
             " %d<8>;\nmul.wide.u32 %at, %thread, 32;\nadd.u64 %from, %in, %at;\nadd.u64 %to, %out, %at;\n" + load +
             std::string(" ") + operand("%d", count) + ", [%from];\n" + store + " [%to], " + operand("%d", count) +
             ";\n";
  one.parts.push_back(Part{load, {load, store}, one.input.size(), {}});
  device::Place place = device::parse_place("emulated:gb10");
  place.sms = 1;
  const std::vector<Answer> answers = run_cases(device::open_driver(place), "sm_120f", {one});
  if (!answers[0].error.empty()) return answers[0].error;
  return answers[0].words == one.input ? "" : load + " and " + store + " do not copy 32 bytes";
}

}  // namespace

std::vector<RowProof> wide_vector_proofs() {
  std::vector<RowProof> proofs;
  for (const std::string space : {"", ".global"}) {
    for (const std::string type : {"b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"}) {
      const int count = type.ends_with("64") ? 4 : 8;
      const std::string suffix = space + ".v" + std::to_string(count) + "." + type;
      const std::string load = "ld" + suffix;
      const std::string store = "st" + suffix;
      proofs.push_back({{load, store}, [=] { return copies(load, store, count); }});
    }
  }
  return proofs;
}

}  // namespace moesaic::isa
