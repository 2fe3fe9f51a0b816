// Fuzz target: any bytes as a graph's text must give an Error("graph"), or a graph whose own text
// is read and written without a change.
//
// Seeds: seeds/*.graph_text.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "fuzz/require.h"
#include "graph/text.h"
#include "graph/verify.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace sinter;  // NOLINT: a program of one screen
  std::unique_ptr<graph::Graph> parsed;
  try {
    parsed = graph::Parse({reinterpret_cast<const char*>(data), size});
  } catch (const Error& error) {
    Require(error.area() == "graph", error.what());
    return 0;
  }
  const std::string text = graph::Print(*parsed);
  Require(graph::Print(*graph::Parse(text)) == text, "the text changed in a round trip");
  try {
    graph::Verify(*parsed);
  } catch (const Error&) {
    // Parse accepts graphs that Verify refuses.
  }
  return 0;
}
