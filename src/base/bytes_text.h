// Numbers of bytes as text for users.
#pragma once

#include <cstdint>
#include <string>

namespace sinter {

// Returns the number of bytes in decimal units, such as "1.2 GB".
std::string BytesText(uint64_t bytes);

}  // namespace sinter
