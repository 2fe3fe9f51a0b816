// Fuzz target: any bytes as a safetensors file must give tensors that cover its data exactly, or an
// Error("convert").
//
// Seeds: seeds/*.safetensors, tensors of several types and shapes.
#include <cstddef>
#include <cstdint>
#include <span>

#include "convert/safetensors.h"
#include "fuzz/require.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  const std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
  try {
    size_t total = 0;
    for (const auto& [name, tensor] : convert::ReadSafetensorsBytes(bytes)) {
      const std::byte* begin = tensor.bytes.data();
      Require(tensor.bytes.empty() || (begin >= bytes.data() &&
                                       begin + tensor.bytes.size() <= bytes.data() + bytes.size()),
              "a tensor is outside of the file");
      total += tensor.bytes.size();
    }
    Require(total <= size, "tensors overlap");
  } catch (const Error& error) {
    RequireErrorOf(error, "convert");
  }
  return 0;
}
