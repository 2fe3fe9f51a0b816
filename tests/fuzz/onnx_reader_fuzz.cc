// Fuzz target: any bytes as model.onnx must give an Error("onnx") or a graph. A graph must allow
// Verify, Print and Write without a crash, and reading and writing it again must change nothing.
//
// seeds/control_flow.onnx, made with onnx.helper, is a model that the reader accepts. It has an If
// whose branches read outer values, constants in raw, typed and attribute form, and two operator
// sets.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>

#include "base/error.h"
#include "graph/text.h"
#include "graph/verify.h"
#include "onnx/reader.h"
#include "onnx/writer.h"

namespace {

void Require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

std::unique_ptr<sinter::graph::Graph> Read(const std::string& bytes) {
  return sinter::onnx::ReadModelBytes(std::as_bytes(std::span(bytes)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::unique_ptr<sinter::graph::Graph> graph;
  try {
    graph = sinter::onnx::ReadModelBytes(std::as_bytes(std::span(data, size)));
  } catch (const sinter::Error& e) {
    Require(e.area() == "onnx", e.what());
    return 0;
  }
  try {
    sinter::graph::Verify(*graph);
  } catch (const sinter::Error&) {
    // Verify may refuse unknown operators and wrong shapes, which the reader accepts.
  }
  // The comparison starts after the first round trip, because that sorts the nodes.
  const auto first = Read(sinter::onnx::WriteModelBytes(*graph));
  const std::string bytes = sinter::onnx::WriteModelBytes(*first);
  const auto second = Read(bytes);
  Require(sinter::graph::Print(*first) == sinter::graph::Print(*second),
          "the text changed in a round trip");
  Require(sinter::onnx::WriteModelBytes(*second) == bytes, "the bytes changed in a round trip");
  return 0;
}
