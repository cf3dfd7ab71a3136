#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// Models of cards, as data: what a kernel may use, what a driver reports, and how fast they are thought to be.
namespace moesaic {

/// A card's limits. Sources: CUDA C++ Programming Guide, "Compute Capabilities", and the vendor's pages. The rates at
/// the end are for predictions alone: no driver reports them, and nothing that is computed depends on them.
struct Device {
  std::string_view name;       ///< what the user writes: "gb10"
  std::string_view full_name;  ///< what the driver reports
  int major = 0;               ///< compute capability
  int minor = 0;
  int sms = 0;
  int smem_per_block_bytes = 0;  ///< the opt-in limit of one block
  int smem_per_sm_bytes = 0;
  int smem_reserved_bytes = 0;  ///< taken by the system from each resident block's share of the SM
  int registers_per_sm = 0;
  int registers_per_block = 0;
  int threads_per_sm = 0;
  int blocks_per_sm = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t memory_bytes = 0;
  int clock_mhz = 0;
  double memory_gb_per_s = 0;  ///< nominal
  bool integrated = false;     ///< shares its memory with the host

  double read_gb_per_s = 0;         ///< what a kernel that only reads memory reaches
  double l2_bytes_per_clock = 0;    ///< from L2 to one SM while all SMs read
  double fast_flop_per_clock = 0;   ///< of one SM in Multiply::fast, a product and its addition being two
  double plain_flop_per_clock = 0;  ///< likewise in Multiply::plain; 0 where there is no such instruction

  constexpr int capability() const { return 10 * major + minor; }
};

namespace detail {

/// Assumed for every card and measured on none: half of the 64 bytes that an SM's port takes.
inline constexpr double kAssumedL2BytesPerClock = 32;

/// What all cards of compute capability 12.x share.
constexpr Device blackwell(Device card) {
  card.major = 12;
  card.smem_per_block_bytes = 101376;
  card.smem_per_sm_bytes = 102400;
  card.smem_reserved_bytes = 1024;
  card.registers_per_sm = 65536;
  card.registers_per_block = 65536;
  card.threads_per_sm = 1536;
  card.blocks_per_sm = 24;
  card.l2_bytes_per_clock = kAssumedL2BytesPerClock;
  card.fast_flop_per_clock = 2048;  // block-scaled FP8: issue rates published for an RTX 5090 and a GB10 give as much
  return card;
}

}  // namespace detail

inline constexpr std::array kDevices{
    detail::blackwell({.name = "gb10",
                       .full_name = "NVIDIA GB10",
                       .minor = 1,
                       .sms = 48,
                       .l2_bytes = std::int64_t{24} << 20,
                       .memory_bytes = std::int64_t{128} << 30,
                       .clock_mhz = 2418,
                       .memory_gb_per_s = 273,
                       .integrated = true,
                       .read_gb_per_s = 235,            // published: 231 to 238
                       .plain_flop_per_clock = 2048}),  // inferred from FP8 GEMMs that were published
    detail::blackwell({.name = "rtx5090",
                       .full_name = "NVIDIA GeForce RTX 5090",
                       .sms = 170,
                       .l2_bytes = std::int64_t{96} << 20,
                       .memory_bytes = std::int64_t{32} << 30,
                       .clock_mhz = 2407,
                       .memory_gb_per_s = 1792,
                       .read_gb_per_s = 1577,           // inferred: the RTX PRO 6000's share of as fast a memory
                       .plain_flop_per_clock = 1024}),  // published: GeForce adds in f32 at half rate
    detail::blackwell({.name = "rtxpro6000",
                       .full_name = "NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
                       .sms = 188,
                       .l2_bytes = std::int64_t{128} << 20,
                       .memory_bytes = std::int64_t{96} << 30,
                       .clock_mhz = 2617,
                       .memory_gb_per_s = 1792,
                       .read_gb_per_s = 1577,           // published: 88 % of the nominal rate
                       .plain_flop_per_clock = 2048}),  // inferred from a grouped FP8 GEMM that was published
    Device{.name = "h200",
           .full_name = "NVIDIA H200",
           .major = 9,
           .minor = 0,
           .sms = 132,
           .smem_per_block_bytes = 232448,
           .smem_per_sm_bytes = 233472,
           .smem_reserved_bytes = 1024,
           .registers_per_sm = 65536,
           .registers_per_block = 65536,
           .threads_per_sm = 2048,
           .blocks_per_sm = 32,
           .l2_bytes = std::int64_t{60} << 20,
           .memory_bytes = std::int64_t{141} << 30,
           .clock_mhz = 1980,
           .memory_gb_per_s = 4800,
           .read_gb_per_s = 4570,  // measured
           .l2_bytes_per_clock = detail::kAssumedL2BytesPerClock,
           .fast_flop_per_clock = 2220},  // measured: 580 TFLOPS through operands widened to f16
};

/// The card of that name, or null.
constexpr const Device* find_device(std::string_view name) {
  for (const Device& device : kDevices) {
    if (device.name == name) return &device;
  }
  return nullptr;
}

/// The known card whose rates tell most of another one's: of the same full name, else the first of its capability; null
/// when there is none.
constexpr const Device* kin_of(const Device& device) {
  for (const Device& known : kDevices) {
    if (known.full_name == device.full_name) return &known;
  }
  for (const Device& known : kDevices) {
    if (known.major == device.major && known.minor == device.minor) return &known;
  }
  return nullptr;
}

/// The device with those rates that it lacks taken from its kin, memory in proportion to the SMs where the kin is
/// another model. Without kin the rates stay 0, and nothing is predicted.
constexpr Device with_rates(Device device) {
  const Device* kin = kin_of(device);
  if (kin == nullptr) return device;
  const double size = kin->full_name == device.full_name ? 1.0 : static_cast<double>(device.sms) / kin->sms;
  if (device.clock_mhz == 0) device.clock_mhz = kin->clock_mhz;
  if (device.memory_gb_per_s == 0) device.memory_gb_per_s = size * kin->memory_gb_per_s;
  if (device.read_gb_per_s == 0) {
    device.read_gb_per_s = device.memory_gb_per_s * (kin->read_gb_per_s / kin->memory_gb_per_s);
  }
  if (device.l2_bytes_per_clock == 0) device.l2_bytes_per_clock = kin->l2_bytes_per_clock;
  if (device.fast_flop_per_clock == 0) device.fast_flop_per_clock = kin->fast_flop_per_clock;
  if (device.plain_flop_per_clock == 0) device.plain_flop_per_clock = kin->plain_flop_per_clock;
  return device;
}

}  // namespace moesaic
