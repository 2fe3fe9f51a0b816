// Provides helpers for the tests of the rewrites: graphs as text before and after. Included by
// *_test.cc only.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "graph/text.h"
#include "graph/verify.h"
#include "passes/pass.h"

namespace sinter::passes {

// Returns a verified graph with operator sets ai.onnx 23, com.microsoft 1 and sinter 1.
inline std::unique_ptr<graph::Graph> ParseBody(const std::string& body) {
  auto graph =
      graph::Parse("graph { opset ai.onnx 23 opset com.microsoft 1 opset sinter 1 " + body + "}");
  graph::Verify(*graph);
  return graph;
}

// Runs `pass` on `before` and expects `after` (both are bodies of graphs) and the number of
// changes.
inline void ExpectRewrite(decltype(Pass::run) pass, const PassOptions& options,
                          const std::string& before, const std::string& after, int changes) {
  const auto graph = ParseBody(before);
  EXPECT_EQ(pass(*graph, options), changes);
  graph::Verify(*graph);
  EXPECT_EQ(graph::Print(*graph), graph::Print(*ParseBody(after)));
}

// Expects that `pass` does not change the graph.
inline void ExpectUnchanged(decltype(Pass::run) pass, const PassOptions& options,
                            const std::string& body) {
  ExpectRewrite(pass, options, body, body, 0);
}

}  // namespace sinter::passes
