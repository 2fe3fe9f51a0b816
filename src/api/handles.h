// Defines the C library's opaque handles.
#pragma once

#include <sinter/sinter.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file_source.h"
#include "engine/model.h"
#include "generate/text_engine.h"
#include "gpu/device.h"
#include "model/genai_config.h"
#include "model/model_folder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace sinter::api {

// A model that was read. Engines share it with the handle.
class ReadModel {
 public:
  // Reads the files of `folder`, or, if it is not null, `files`. Throws Error if one is missing or
  // damaged.
  ReadModel(const std::filesystem::path& folder, std::shared_ptr<const FileSource> files);

  // Returns the folder's contents for one engine: those read first, or else reads them again.
  model::ModelFolder Take();
  // Reads them again.
  model::ModelFolder Read() const;

  const model::GenaiConfig& config() const { return config_; }
  uint64_t weight_bytes() const { return weight_bytes_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }
  const std::optional<text::ChatTemplate>& chat_template() const { return template_; }

 private:
  const std::filesystem::path path_;
  const bool in_folder_;
  const std::shared_ptr<const FileSource> files_;
  std::optional<model::ModelFolder> first_;
  model::GenaiConfig config_;
  uint64_t weight_bytes_;
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::mutex mutex_;  // for first_, after construction
};

// The model that an engine has loaded, anew after each loss of its device.
struct LoadedModel {
  std::mutex mutex;
  std::weak_ptr<engine::Model> model;
};

// Reads a conversation's messages and the options of the template.
generate::Messages ReadConversation(const sinter_conversation& given,
                                    text::ChatTemplateOptions& options);

}  // namespace sinter::api

struct sinter_device {
  std::shared_ptr<sinter::gpu::Device> device;
};

struct sinter_model {
  std::shared_ptr<sinter::api::ReadModel> model;
};

struct sinter_engine {
  std::shared_ptr<sinter::api::LoadedModel> loaded;
  std::unique_ptr<sinter::generate::TextEngine> engine;
};

struct sinter_request {
  std::unique_ptr<sinter::generate::AnswerStream> answer;
  // Memory that the last event points to.
  sinter::generate::TextEvent event;
  std::vector<std::vector<sinter_log_prob>> likeliest;
  std::vector<sinter_token> tokens;
};

struct sinter_tensor {
  std::shared_ptr<sinter::gpu::Device> device;
  sinter::gpu::Buffer buffer;
  uint64_t bytes = 0;
};
