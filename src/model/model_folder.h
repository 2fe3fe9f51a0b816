// Reads and checks a model folder: configuration, graph and weights. Needs no GPU.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "base/file_source.h"
#include "graph/graph.h"
#include "model/genai_config.h"
#include "model/rewrite.h"

namespace sinter::model {

// Contents of a model folder.
struct ModelFolder {
  std::filesystem::path path;
  GenaiConfig config;
  // Graph as stored in the file, after checks: Sinter knows every operator, attribute and type.
  // Every operator, including those in subgraphs, has a GPU kernel or can be folded before the
  // graph runs.
  std::unique_ptr<graph::Graph> graph;
  // How the graph's programs run, so that neither padding nor the cache's capacity shows.
  RunForm run_form;

  // Reads the folder. Throws Error if the folder does not exist, a file is missing or broken, or
  // the graph has an operator, a type or a shape that Sinter does not support, an input that the
  // configuration does not name, a cache that is not updated in place, or results that Sinter's
  // programs cannot give.
  static ModelFolder Read(const std::filesystem::path& path);
  // Does the same with the files that a folder would have. `path` names them in messages.
  static ModelFolder Read(const std::shared_ptr<const FileSource>& files,
                          std::filesystem::path path);

  // Returns the bytes of all constants as stored in the files.
  uint64_t weight_bytes() const;
};

}  // namespace sinter::model
