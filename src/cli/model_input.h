// Says what to do with what users give in place of a model folder or a checkpoint.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace sinter::cli {

// Returns if `path` is a folder with a genai_config.json. Otherwise throws Error("model") that says
// what is there and what to do next: convert a Hugging Face checkpoint, download a repository that
// is named as on the hub, unpack an archive, name the folder instead of a file in it, or one of the
// model folders in it. A path that does not exist is compared with its neighbours.
void CheckModelInput(const std::filesystem::path& path);

// Returns if `path` is a folder with config.json and weights in safetensors files. Otherwise throws
// Error("convert") as above. A model folder is one that needs no conversion.
void CheckCheckpointInput(const std::filesystem::path& path);

// Returns if `path` is a folder; whether it has a tokenizer.json is not checked. Otherwise throws
// Error("tokenizer") as above.
void CheckTokenizerInput(const std::filesystem::path& path);

// Throws Error("model") that names the first file, among those that a model or a checkpoint is made
// of, that is no file of it: a pointer that Git LFS has left, or the answer of a server.
void CheckDownload(const std::filesystem::path& folder);

}  // namespace sinter::cli
