#include "cli/model_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <functional>

#include "base/error.h"

namespace sinter::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

// A temporary folder that is the current one, so that paths are short.
class ModelInputTest : public testing::Test {
 protected:
  ModelInputTest() : before_(fs::current_path()) {
    std::string name = (fs::temp_directory_path() / "sinter-input-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) std::abort();
    fs::current_path(name);
    folder_ = name;
    // No models of whoever runs the tests.
    setenv("HOME", name.c_str(), 1);
    for (const char* variable :
         {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "SINTER_CONFIG", "SINTER_MODELS"}) {
      unsetenv(variable);
    }
  }
  ~ModelInputTest() override {
    fs::current_path(before_);
    fs::remove_all(folder_);
  }

  static void Write(const fs::path& file, std::string_view text = "{}") {
    if (file.has_parent_path()) fs::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
  }
  static std::string Caught(const std::function<void(const fs::path&)>& check,
                            const fs::path& path) {
    try {
      check(path);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  static std::string Model(const fs::path& path) { return Caught(CheckModelInput, path); }
  static std::string Checkpoint(const fs::path& path) { return Caught(CheckCheckpointInput, path); }

  fs::path before_, folder_;
};

TEST_F(ModelInputTest, RightInput) {
  Write("model/genai_config.json");
  Write("hf/config.json");
  Write("hf/model.safetensors");
  EXPECT_EQ(Model("model"), "");
  EXPECT_EQ(Model("model/"), "");
  EXPECT_EQ(Checkpoint("hf"), "");
  EXPECT_EQ(Checkpoint("model"),
            "[convert] 'model': got a model folder, which needs no conversion, want a Hugging Face "
            "checkpoint (config.json, safetensors, tokenizer.json); run it: sinter chat model");
}

TEST_F(ModelInputTest, Checkpoints) {
  Write("My Model/config.json");
  Write("My Model/model-00001-of-00002.safetensors");
  EXPECT_THAT(Model("My Model"),
              EndsWith("got a Hugging Face checkpoint, want a model folder "
                       "(genai_config.json, model.onnx, tokenizer.json) or a name; convert it "
                       "first: sinter convert 'My Model'"));
  EXPECT_THAT(Model("My Model/config.json"), HasSubstr("a file of a Hugging Face checkpoint"));
  const fs::path snapshot = "hub/models--org--Tiny-1B/snapshots/abc";
  Write(snapshot / "config.json");
  Write(snapshot / "model.safetensors");
  EXPECT_THAT(Model("hub/models--org--Tiny-1B"),
              EndsWith("convert it: sinter convert hub/models--org--Tiny-1B/snapshots/abc"));
  EXPECT_THAT(Checkpoint("hub"), EndsWith("name that one: hub/models--org--Tiny-1B/snapshots/abc"));
  Write("torch/config.json");
  EXPECT_THAT(Checkpoint("torch"), HasSubstr("config.json without weights"));
  Write("torch/pytorch_model.bin");
  EXPECT_THAT(Checkpoint("torch"), HasSubstr("save_pretrained()"));
  EXPECT_THAT(Model("torch"), HasSubstr("PyTorch's own format"));
  Write("lora/adapter_config.json");
  EXPECT_THAT(Model("lora"), HasSubstr("got a LoRA adapter"));
  Write("web/config.json");
  Write("web/onnx/model.onnx");
  EXPECT_THAT(Model("web"), HasSubstr("ONNX files without genai_config.json"));
}

TEST_F(ModelInputTest, Gguf) {
  Write("gguf/model.gguf", "GGUF\x03");
  Write("renamed.bin", "GGUF\x03");
  Write("many/notes.txt");
  Write("many/b.gguf");
  EXPECT_THAT(Model("many"), HasSubstr("'many/b.gguf': got a GGUF file"));
  for (const char* path : {"gguf/model.gguf", "gguf", "renamed.bin", "nowhere/absent.gguf"}) {
    EXPECT_THAT(Model(path), HasSubstr("got a GGUF file, which Sinter does not read")) << path;
    EXPECT_THAT(Checkpoint(path), HasSubstr("sinter convert CHECKPOINT [OUT]")) << path;
  }
}

TEST_F(ModelInputTest, PathsThatDoNotExist) {
  Write("models/demo/genai_config.json");
  EXPECT_THAT(Model("models/dmeo"),
              EndsWith("got nothing there, want a model folder (genai_config.json, "
                       "model.onnx, tokenizer.json) or a name; did you mean 'models/demo'?"));
  EXPECT_THAT(Model("modles"), EndsWith("did you mean 'models'?"));
  Write(".local/share/sinter/models/tiny-1b/genai_config.json");
  EXPECT_THAT(Model("tiny1b"),
              AllOf(HasSubstr("got no model of that name"), EndsWith("did you mean 'tiny-1b'?")));
  EXPECT_THAT(Model("What is this"), EndsWith("; the model comes before the prompt"));
  for (const char* name :
       {"Qwen/Qwen3-0.6B", "https://huggingface.co/Qwen/Qwen3-0.6B",
        "https://huggingface.co/Qwen/Qwen3-0.6B/tree/main", "hf.co/Qwen/Qwen3-0.6B"}) {
    EXPECT_THAT(Model(name),
                EndsWith("download it (hf download Qwen/Qwen3-0.6B --local-dir Qwen3-0.6B) "
                         "and convert it (sinter convert Qwen3-0.6B)"))
        << name;
  }
  for (const char* name : {"/no/such/folder", "a/b/c", "../x/y", "./a/b"}) {
    EXPECT_THAT(Model(name), Not(HasSubstr("Hugging Face"))) << name;
  }
}

TEST_F(ModelInputTest, FilesAndFoldersAroundAModel) {
  Write("all/a/genai_config.json");
  Write("all/b/cpu/genai_config.json");
  EXPECT_THAT(Model("all"),
              EndsWith("contains model folders but is none itself; choose one: all/a, all/b/cpu"));
  EXPECT_THAT(Model("all/b"),
              EndsWith("contains a model folder but is none itself; name that one: all/b/cpu"));
  EXPECT_THAT(Model("all/a/genai_config.json"), EndsWith("; name its folder: all/a"));
  Write("alone/model.onnx", "\x08\x07");
  EXPECT_THAT(Model("alone/model.onnx"),
              HasSubstr("an ONNX file without genai_config.json beside it"));
  Write("alone/x.safetensors");
  EXPECT_THAT(Model("alone/x.safetensors"), HasSubstr("without config.json beside it"));
  fs::create_directory("empty");
  EXPECT_THAT(Model("empty"), HasSubstr("got an empty folder"));
  Write("other/readme.txt");
  EXPECT_THAT(Model("other"), HasSubstr("got a folder of other files"));
  EXPECT_THAT(Model("/dev/null"), HasSubstr("got a special file"));
  fs::create_symlink("loop", "loop");
  EXPECT_THAT(Model("loop"), HasSubstr("ymbolic links"));
}

TEST_F(ModelInputTest, Archives) {
  Write("a.zip", "PK\x03\x04...");
  EXPECT_THAT(Model("a.zip"), HasSubstr("got an archive, want a model folder"));
  EXPECT_THAT(Model("a.zip"), EndsWith("unpack it first: unzip a.zip"));
  Write("b", "\x1f\x8b\x08");
  EXPECT_THAT(Model("b"), EndsWith("tar xzf b"));
  Write("c", std::string(257, '\0') + "ustar" + std::string(250, '\0'));
  EXPECT_THAT(Model("c"), EndsWith("tar xf c"));
  Write("d", "text");
  EXPECT_THAT(Model("d"), HasSubstr("got a file, want"));
}

TEST_F(ModelInputTest, LfsPointers) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1234567890\n";
  Write("model/genai_config.json");
  Write("model/README.png", pointer);
  EXPECT_EQ(Caught(CheckDownload, "model"), "") << "no part of the model";
  for (const char* name : {"model.onnx", "model.onnx.data", "model.onnx_data", "tokenizer.json",
                           "model.safetensors"}) {
    const fs::path file = fs::path("model") / name;
    Write(file, pointer);
    EXPECT_EQ(Caught(CheckDownload, "model"),
              "[model] '" + file.string() +
                  "': got a Git LFS pointer, want the file itself; fetch it: "
                  "git -C model lfs pull (needs git-lfs)");
    EXPECT_THAT(Model(file), HasSubstr("git -C model lfs pull"));
    Write(file, "x");
  }
}

TEST_F(ModelInputTest, AnswersOfAServer) {
  Write(
      "gated/config.json",
      "Access to model meta-llama/Llama-3.2-1B is restricted. You must be authenticated to access "
      "it.\n");
  EXPECT_THAT(Caught(CheckDownload, "gated"),
              AllOf(HasSubstr("config.json': got the server's answer 'Access to model meta-llama/"),
                    HasSubstr("log in (hf auth login)")));
}

}  // namespace
}  // namespace sinter::cli
