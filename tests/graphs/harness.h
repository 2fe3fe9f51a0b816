// Runs random graphs everywhere and compares: the GPU with and without rewrites, the interpreter,
// and ONNX Runtime's CPU provider where there is one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "gpu/device.h"
#include "graphs/check_node.h"
#include "graphs/peer.h"
#include "graphs/random_graph.h"

namespace sinter::graphs {

// What went wrong with a graph.
struct Failure {
  // One or more lines: the stage, and what differs.
  std::string text;
  // The node that is wrong, if a single one is.
  std::optional<IsolatedNode> node;
};

struct Totals {
  int64_t graphs = 0, nodes = 0, faults = 0, rewritten = 0, compared_with_peer = 0;
  // Graphs or nodes that were not compared, by reason.
  std::map<std::string, int64_t> skipped;
  // Nodes that were compared, by operator.
  std::map<std::string, int64_t> operators;
};

class Harness {
 public:
  // `peer` may be null.
  explicit Harness(Peer* peer) : peer_(peer) {}

  // Sets the device on which graphs run from now on.
  void set_device(std::shared_ptr<gpu::Device> device) { device_ = std::move(device); }
  std::optional<Failure> Check(const RandomGraph& random);
  // Runs one node alone, as a failure holds it.
  std::optional<Failure> CheckAlone(const IsolatedNode& node);
  const Totals& totals() const { return totals_; }

 private:
  // Reads the graph from the bytes of a model file and lowers it, as loading a model does. Throws
  // Error if it is refused.
  static std::unique_ptr<graph::Graph> Load(const RandomGraph& random);
  interpret::HostTensors RunOnGpu(const graph::Graph& graph, const RandomGraph& random);
  std::optional<Failure> CheckValid(const RandomGraph& random, const graph::Graph& model);
  std::optional<Failure> CheckNodes(const std::string& stage, const graph::Graph& graph,
                                    const interpret::HostTensors& values, CheckOptions options);
  std::optional<Failure> CheckRewritten(const RandomGraph& random, const graph::Graph& model);
  std::optional<Failure> CheckPeer(const RandomGraph& random, const graph::Graph& model,
                                   const graph::Graph& program);

  std::shared_ptr<gpu::Device> device_;
  Peer* peer_;
  Totals totals_;
};

// Returns the elements of a tensor as text for a report: at most 64.
std::string ElementsText(const interpret::HostTensor& tensor);

}  // namespace sinter::graphs
