# Toolchain: 64-bit Arm Linux programs, built on a Debian machine of another kind and run there by qemu-user.
# scripts/arm64.sh installs what it needs.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)

# Debian keeps the libraries of several machines beside each other; of packages without a suffix for the machine (CLI11,
# nlohmann-json, GoogleTest's sources) there is one for all.
set(CMAKE_LIBRARY_ARCHITECTURE aarch64-linux-gnu)
set(CMAKE_SYSTEM_LIBRARY_PATH /usr/lib/aarch64-linux-gnu)
set(CMAKE_SYSTEM_INCLUDE_PATH /usr/include/aarch64-linux-gnu)
set(CMAKE_IGNORE_PATH /usr/lib/x86_64-linux-gnu /usr/include/x86_64-linux-gnu /usr/lib/x86_64-linux-gnu/cmake)
