// Client of bench/peers/ort_graphs, a process that runs models on ONNX Runtime's CPU provider.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "interpret/interpreter.h"

namespace sinter::graphs {

class Peer {
 public:
  // Starts `command` in a shell.
  explicit Peer(std::string command);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // Runs a model and returns the outputs of the given names. Returns nothing if ONNX Runtime
  // refuses the model or dies of it, and sets `refusal` to its message. A process that died is
  // started again.
  interpret::HostTensors Run(const std::string& model, const interpret::HostTensors& inputs,
                             const std::vector<std::string>& outputs, std::string* refusal);

 private:
  void Start();
  void Stop();
  void Write(const void* data, size_t bytes);
  void Read(void* data, size_t bytes);
  void WriteText(const std::string& text);
  std::string ReadText();

  std::string command_;
  int to_ = -1, from_ = -1, pid_ = -1;
};

}  // namespace sinter::graphs
