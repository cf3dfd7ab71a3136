#include "emulator/reduction.hpp"

#include <atomic>
#include <cstring>
#include <type_traits>

#include "emulator/lanewise.hpp"
#include "emulator/memory_operation.hpp"
#include "emulator/small_floats.hpp"

/// PTX ISA, "cp.reduce.async.bulk", "cp.reduce.async.bulk.tensor" and "red.async".
namespace moesaic::emulator {
namespace {

template <typename T>
T add(T old, T b) {
  if constexpr (std::is_same_v<T, double>) {
    return old + b;
  } else {
    return add_integer(old, b);
  }
}
/// Subnormal numbers are kept, which red.global.add.f32 does not do: an H200.
float add_float(float old, float b) {
  return canonical(old + b);
}

template <typename T, T (*kFunction)(T, T)>
void combine(std::byte* to, const std::byte* from) {
  using Bits = std::conditional_t<sizeof(T) == 2, std::uint16_t,
                                  std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>>;
  Bits operand;
  std::memcpy(&operand, from, sizeof operand);
  const std::atomic_ref<Bits> cell(*reinterpret_cast<Bits*>(to));
  Bits old = cell.load();
  Bits next = 0;
  do next = static_cast<Bits>(to_bits<T>(kFunction(from_bits<T>(old), from_bits<T>(operand))));
  while (!cell.compare_exchange_weak(old, next));
}

template <typename T, T (*kFunction)(T, T)>
constexpr Reduction reduction(std::string_view operation, std::string_view type) {
  return {operation, type, sizeof(T), combine<T, kFunction>};
}

using u16 = std::uint16_t;
using u32 = std::uint32_t;
using s32 = std::int32_t;
using u64 = std::uint64_t;
using s64 = std::int64_t;

constexpr Reduction kReductions[] = {
    reduction<u32, add<u32>>("add", "u32"),
    reduction<s32, add<s32>>("add", "s32"),
    reduction<u64, add<u64>>("add", "u64"),
    reduction<s64, add<s64>>("add", "s64"),
    reduction<float, add_float>("add", "f32"),
    reduction<double, add<double>>("add", "f64"),
    reduction<u16, add_half<F16>>("add", "f16"),
    reduction<u16, add_half<Bf16>>("add", "bf16"),
    reduction<u32, minimum<u32>>("min", "u32"),
    reduction<s32, minimum<s32>>("min", "s32"),
    reduction<u64, minimum<u64>>("min", "u64"),
    reduction<s64, minimum<s64>>("min", "s64"),
    reduction<u16, extreme_half<F16, false>>("min", "f16"),
    reduction<u16, extreme_half<Bf16, false>>("min", "bf16"),
    reduction<u32, maximum<u32>>("max", "u32"),
    reduction<s32, maximum<s32>>("max", "s32"),
    reduction<u64, maximum<u64>>("max", "u64"),
    reduction<s64, maximum<s64>>("max", "s64"),
    reduction<u16, extreme_half<F16, true>>("max", "f16"),
    reduction<u16, extreme_half<Bf16, true>>("max", "bf16"),
    reduction<u32, increment>("inc", "u32"),
    reduction<u32, decrement>("dec", "u32"),
    reduction<u32, bit_and<u32>>("and", "b32"),
    reduction<u64, bit_and<u64>>("and", "b64"),
    reduction<u32, bit_or<u32>>("or", "b32"),
    reduction<u64, bit_or<u64>>("or", "b64"),
    reduction<u32, bit_xor<u32>>("xor", "b32"),
    reduction<u64, bit_xor<u64>>("xor", "b64"),
};

}  // namespace

const Reduction* find_reduction(std::string_view operation, std::string_view type) {
  const auto* found = std::find_if(std::begin(kReductions), std::end(kReductions), [&](const Reduction& reduction) {
    return reduction.operation == operation && reduction.type == type;
  });
  return found == std::end(kReductions) ? nullptr : found;
}

}  // namespace moesaic::emulator
