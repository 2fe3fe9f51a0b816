#include "model/reference.h"

#include <fmt/format.h>

#include <bit>

#include "base/error.h"
#include "base/json.h"
#include "base/mapped_file.h"

namespace sinter::model {
namespace {

static_assert(std::endian::native == std::endian::little, "files of logits are little-endian");

// Reads the fields of one file.
class ReferenceParser {
 public:
  explicit ReferenceParser(std::string_view file) : file_(file) {}

  Reference Parse(const nlohmann::json& root) const {
    Reference reference;
    const nlohmann::json& name = Field(root, "logits_file");
    if (!name.is_string() || !StaysInFolder(name.get_ref<const std::string&>())) {
      Fail("logits_file", JsonExcerpt(name), "the name of a file in the same folder");
    }
    reference.logits_file = name.get<std::string>();
    const std::vector<int64_t> shape = Ints(root, "logits_shape", kMaxSize);
    if (shape.size() != 3 || shape[0] == 0 || shape[1] == 0 || shape[2] == 0) {
      Fail("logits_shape", JsonExcerpt(root["logits_shape"]),
           "the numbers of cases, steps and vocabulary, none of them 0");
    }
    reference.steps = static_cast<size_t>(shape[1]);
    reference.vocab = static_cast<size_t>(shape[2]);
    const nlohmann::json& cases = Field(root, "cases");
    if (!cases.is_array() || cases.size() != static_cast<size_t>(shape[0])) {
      Fail("cases", cases.is_array() ? std::to_string(cases.size()) : JsonExcerpt(cases),
           fmt::format("a list of {} (logits_shape)", shape[0]));
    }
    for (const nlohmann::json& entry : cases) {
      ReferenceCase one = {Tokens(entry, "prompt", shape[2]), Tokens(entry, "tokens", shape[2])};
      if (one.prompt.empty() || one.tokens.size() + 1 < reference.steps) {
        Fail("cases",
             fmt::format("one of {} prompt tokens and {} tokens", one.prompt.size(),
                         one.tokens.size()),
             fmt::format("a prompt and {} tokens", reference.steps - 1));
      }
      reference.cases.push_back(std::move(one));
    }
    return reference;
  }

 private:
  // Upper bound on each dimension of the logits.
  static constexpr int64_t kMaxSize = INT32_MAX;

  [[noreturn]] void Fail(std::string_view field, std::string_view got,
                         std::string_view want) const {
    throw Error("verify", "{}: {}: got {}, want {}", file_, field, got, want);
  }
  const nlohmann::json& Field(const nlohmann::json& object, const char* name) const {
    if (!object.is_object()) Fail(name, JsonExcerpt(object), "an object with this field");
    const auto found = object.find(name);
    if (found == object.end()) Fail(name, "nothing", "this field");
    return *found;
  }
  // Returns a list of integers from 0 to `most`.
  std::vector<int64_t> Ints(const nlohmann::json& object, const char* name, int64_t most) const {
    const nlohmann::json& list = Field(object, name);
    if (!list.is_array()) Fail(name, JsonExcerpt(list), "a list of integers");
    std::vector<int64_t> numbers;
    for (const nlohmann::json& entry : list) {
      const std::optional<int64_t> number = JsonInt(entry, 0, most);
      if (!number) Fail(name, JsonExcerpt(entry), fmt::format("integers from 0 to {}", most));
      numbers.push_back(*number);
    }
    return numbers;
  }
  std::vector<int32_t> Tokens(const nlohmann::json& object, const char* name, int64_t vocab) const {
    const std::vector<int64_t> numbers = Ints(object, name, vocab - 1);
    return {numbers.begin(), numbers.end()};
  }

  std::string_view file_;
};

}  // namespace

Reference ParseReference(std::string_view json, std::string_view file) {
  return ReferenceParser(file).Parse(ParseJson(json, "verify", file));
}

ReferenceLogits ReadReference(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "reference.json";
  ReferenceLogits result;
  result.reference = ParseReference(ReadSmallFile(file, "verify", "a folder with reference logits"),
                                    file.string());
  const auto& [cases, steps, vocab, logits_file] = result.reference;
  const std::shared_ptr<const MappedFile> data = MappedFile::Open(folder / logits_file);
  const std::span<const std::byte> bytes = data->bytes();
  // The product of the three sizes may overflow, so the file's size is divided instead.
  const size_t rows = bytes.size() / sizeof(float) / vocab;
  if (rows / steps != cases.size() || rows % steps != 0 ||
      bytes.size() != rows * vocab * sizeof(float)) {
    throw Error("verify", "{}: got {} bytes, want [{}, {}, {}] numbers of 4 bytes (logits_shape)",
                (folder / logits_file).string(), bytes.size(), cases.size(), steps, vocab);
  }
  // A mapping begins at a page, so its floats are aligned.
  result.logits = {reinterpret_cast<const float*>(bytes.data()), bytes.size() / sizeof(float)};
  result.owner = data;
  return result;
}

}  // namespace sinter::model
