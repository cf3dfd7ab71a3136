#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>

#include "spec/device.hpp"

/// The numbers of a Device by name, for those who read or write one as text.
namespace moesaic {

/// A field and the member of Device that it fills.
struct DeviceField {
  std::string_view name;
  std::variant<int Device::*, std::int64_t Device::*, double Device::*, bool Device::*> member;
};

/// All but the two names.
inline constexpr std::array kDeviceFields{
    DeviceField{"major", &Device::major},
    DeviceField{"minor", &Device::minor},
    DeviceField{"sms", &Device::sms},
    DeviceField{"smem_per_block_bytes", &Device::smem_per_block_bytes},
    DeviceField{"smem_per_sm_bytes", &Device::smem_per_sm_bytes},
    DeviceField{"smem_reserved_bytes", &Device::smem_reserved_bytes},
    DeviceField{"registers_per_sm", &Device::registers_per_sm},
    DeviceField{"registers_per_block", &Device::registers_per_block},
    DeviceField{"threads_per_sm", &Device::threads_per_sm},
    DeviceField{"blocks_per_sm", &Device::blocks_per_sm},
    DeviceField{"l2_bytes", &Device::l2_bytes},
    DeviceField{"memory_bytes", &Device::memory_bytes},
    DeviceField{"clock_mhz", &Device::clock_mhz},
    DeviceField{"memory_gb_per_s", &Device::memory_gb_per_s},
    DeviceField{"integrated", &Device::integrated},
    DeviceField{"read_gb_per_s", &Device::read_gb_per_s},
    DeviceField{"l2_bytes_per_clock", &Device::l2_bytes_per_clock},
    DeviceField{"fast_flop_per_clock", &Device::fast_flop_per_clock},
    DeviceField{"plain_flop_per_clock", &Device::plain_flop_per_clock},
};

}  // namespace moesaic
