// Main memory that this process may still take.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace sinter {

// Returns the bytes of main memory that can be taken without swapping: what the kernel calls
// available, or less if a control group (a container's, say) has a lower limit. Page cache that can
// be dropped counts as free. Returns nullopt if the kernel does not tell. `root` is the folder that
// holds proc/ and sys/.
std::optional<uint64_t> SystemMemoryLeft(const std::filesystem::path& root = "/");

// Returns the bytes of address space left under `ulimit -v`, or nullopt without a limit.
std::optional<uint64_t> AddressSpaceLeft();

}  // namespace sinter
