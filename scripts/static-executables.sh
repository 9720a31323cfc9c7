# Sourced by what compiles static executables: the compiler, with musl where the machine has it, and its options.
compiler=${CC:-$(command -v musl-gcc || command -v cc)}
warnings=(-Wall -Wextra -Wpedantic -Werror -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wvla
  -Wformat=2 -Wcast-qual -Wcast-align -Wwrite-strings -Wnull-dereference -Wswitch-enum)
hardening=(-fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 -fno-pie -no-pie
  -Wl,-z,relro,-z,now,-z,noexecstack)
size=(-Os -ffunction-sections -fdata-sections -fno-asynchronous-unwind-tables -Wl,--gc-sections,--build-id=none -s)
