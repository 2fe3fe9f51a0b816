#include "text/post_processor.h"

#include "base/error.h"
#include "base/file.h"

namespace sinter::text {

PostProcessor PostProcessor::FromJson(const Json* json, int32_t id_limit) {
  PostProcessor post_processor;
  if (json != nullptr) post_processor.Append(*json, id_limit, 0);
  return post_processor;
}

void PostProcessor::Append(const Json& json, int32_t id_limit, int depth) {
  const std::string type = ComponentType(json, "post_processor", depth);
  const std::string component = "post_processor " + type;
  if (type == "Sequence") {
    for (const Json& part : RequireArray(json, "processors", component))
      Append(part, id_limit, depth + 1);
    return;
  }
  if (type == "ByteLevel") return;
  if (type != "TemplateProcessing") {
    throw Error("tokenizer",
                "post_processor: got type \"{}\", want TemplateProcessing, ByteLevel or Sequence",
                Excerpt(type));
  }
  const Json* special_tokens = FindField(json, "special_tokens", component);
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  int texts = 0;
  for (const Json& item : RequireArray(json, "single", component)) {
    if (FindField(item, "Sequence", component) != nullptr) {
      ++texts;
      continue;
    }
    const std::string name =
        RequireString(RequireField(item, "SpecialToken", component), "id", component);
    const Json* special =
        special_tokens == nullptr ? nullptr : FindField(*special_tokens, name, component);
    if (special == nullptr) {
      throw Error("tokenizer", "{}: got \"{}\" in the template, want it among special_tokens",
                  component, Excerpt(name));
    }
    for (const Json& id : RequireArray(*special, "ids", component)) {
      (texts == 0 ? before : after)
          .push_back(static_cast<int32_t>(
              IntIn(id, component, "id of " + name, 0, int64_t{id_limit} - 1)));
    }
  }
  if (texts != 1) {
    throw Error("tokenizer", "{}: got {} sequences in the template for a single text, want 1",
                component, texts);
  }
  // Each processor of a Sequence wraps the result of the previous ones.
  before_.insert(before_.begin(), before.begin(), before.end());
  after_.insert(after_.end(), after.begin(), after.end());
}

}  // namespace sinter::text
