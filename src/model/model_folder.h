// A model folder, read and checked: configuration, graph, weights. Needs no GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "graph/graph.h"
#include "model/genai_config.h"

namespace sinter::model {

// What is read from the files, without a GPU.
struct ModelFolder {
  std::filesystem::path path;
  GenaiConfig config;
  // As in the file, checked: every operator, attribute and type is one that Sinter knows, and every
  // operator, those of subgraphs too, has a GPU kernel or can be folded before the graph runs.
  std::unique_ptr<graph::Graph> graph;

  // Throws Error: no such folder, a missing or broken file, an operator that Sinter
  // does not have.
  static ModelFolder Read(const std::filesystem::path& path);

  // Bytes of all constants as they are in the files.
  uint64_t weight_bytes() const;
};

}  // namespace sinter::model
