// Models of the C library: files, tokens and templates.

#include "api/call.h"
#include "api/callback_files.h"
#include "api/handles.h"
#include "base/json.h"
#include "generate/messages.h"

namespace sinter::api {
namespace {

// Copies a text and its NUL to the caller's memory if there is room. Returns whether there is.
sinter_status WriteText(const std::string& from, char* text, size_t capacity, size_t* bytes) {
  Required(bytes, "bytes");
  if (capacity > 0) Required(text, "text");
  *bytes = from.size();
  if (capacity <= from.size()) return SINTER_TOO_SMALL;
  std::memcpy(text, from.c_str(), from.size() + 1);
  return SINTER_OK;
}

}  // namespace

ReadModel::ReadModel(const std::filesystem::path& folder, std::shared_ptr<const FileSource> files)
    : path_(folder),
      in_folder_(files == nullptr),
      files_(in_folder_ ? std::make_shared<FolderFiles>(folder) : std::move(files)),
      // Its errors come before those of the tokenizer.
      first_(Read()),
      config_(first_->config),
      weight_bytes_(first_->weight_bytes()),
      tokenizer_(text::Tokenizer::FromFiles(*files_)),
      template_(text::ChatTemplate::FromFiles(*files_)) {}

model::ModelFolder ReadModel::Read() const {
  return in_folder_ ? model::ModelFolder::Read(path_) : model::ModelFolder::Read(files_, path_);
}

model::ModelFolder ReadModel::Take() {
  {
    std::lock_guard lock(mutex_);
    if (first_) {
      model::ModelFolder folder = std::move(*first_);
      first_.reset();
      return folder;
    }
  }
  return Read();
}

generate::Messages ReadConversation(const sinter_conversation& given,
                                    text::ChatTemplateOptions& options) {
  const auto conversation =
      ReadOptions(&given, sinter_conversation SINTER_CONVERSATION_INIT, "conversation");
  if ((conversation.message_count > 0) == (conversation.messages_json != nullptr))
    throw InvalidArgument("api", "conversation: got {}, want either messages or messages_json",
                          conversation.messages_json == nullptr ? "none" : "both");
  if (conversation.tools_json != nullptr) {
    const auto tools = ParseOrderedJson(conversation.tools_json, "api", "tools_json");
    if (!tools.is_array())
      throw Error("api", "tools_json: got {}, want an array of tools", tools.type_name());
    options.tools_json = conversation.tools_json;
  }
  if (conversation.arguments_json != nullptr) {
    const auto arguments = ParseOrderedJson(conversation.arguments_json, "api", "arguments_json");
    if (!arguments.is_object()) {
      throw Error("api", "arguments_json: got {}, want an object of variables",
                  arguments.type_name());
    }
    for (const auto& [name, value] : arguments.items()) options.arguments[name] = value.dump();
  }
  if (conversation.messages_json != nullptr)
    return generate::MessagesFromJson(conversation.messages_json, "messages_json");
  generate::Messages messages;
  const sinter_message& first = Required(conversation.messages, "conversation.messages");
  for (size_t i = 0; i < conversation.message_count; ++i) {
    const sinter_message& message = (&first)[i];
    messages.push_back(generate::MakeMessage(&Required(message.role, "role"),
                                             &Required(message.content, "content")));
  }
  return messages;
}

}  // namespace sinter::api

using namespace sinter;       // NOLINT(google-build-using-namespace): the functions are C's
using namespace sinter::api;  // NOLINT(google-build-using-namespace)

sinter_status sinter_model_open(const char* folder, const sinter_model_options* options,
                                sinter_model** model, sinter_error** error) {
  return Guard(error, [&] {
    Required(model, "model");
    const auto given =
        ReadOptions(options, sinter_model_options SINTER_MODEL_OPTIONS_INIT, "options");
    std::shared_ptr<const FileSource> files;
    if (given.files == nullptr) {
      Required(folder, "folder");
    } else {
      files = std::make_shared<CallbackFiles>(*given.files, folder == nullptr ? "" : folder);
    }
    *model = new sinter_model{
        std::make_shared<ReadModel>(folder == nullptr ? "" : folder, std::move(files))};
  });
}

void sinter_model_free(sinter_model* model) { delete model; }

sinter_status sinter_model_get_info(const sinter_model* model, sinter_model_info* info,
                                    sinter_error** error) {
  return Guard(error, [&] {
    const ReadModel& read = *Required(model, "model").model;
    WriteInfo(info,
              sinter_model_info{.size = sizeof(sinter_model_info),
                                .type = read.config().type.c_str(),
                                .context_length = read.config().context_length,
                                .vocabulary = read.config().vocab_size,
                                .weight_bytes = read.weight_bytes(),
                                .has_template = read.chat_template() ? 1 : 0},
              "info");
  });
}

sinter_status sinter_model_tokenize(const sinter_model* model, const char* text, size_t text_bytes,
                                    int32_t add_special, int32_t* tokens, size_t capacity,
                                    size_t* count, sinter_error** error) {
  return Guard(error, [&] {
    const ReadModel& read = *Required(model, "model").model;
    Required(count, "count");
    if (text_bytes > 0) Required(text, "text");
    if (capacity > 0) Required(tokens, "tokens");
    const std::vector<int32_t> all = read.tokenizer().Encode({text, text_bytes}, add_special != 0);
    std::copy_n(all.begin(), std::min(capacity, all.size()), tokens);
    *count = all.size();
    return static_cast<sinter_status>(all.size() > capacity ? SINTER_TOO_SMALL : SINTER_OK);
  });
}

sinter_status sinter_model_detokenize(const sinter_model* model, const int32_t* tokens,
                                      size_t count, int32_t skip_special, char* text,
                                      size_t capacity, size_t* bytes, sinter_error** error) {
  return Guard(error, [&] {
    const ReadModel& read = *Required(model, "model").model;
    if (count > 0) Required(tokens, "tokens");
    return WriteText(read.tokenizer().Decode({tokens, count}, skip_special != 0), text, capacity,
                     bytes);
  });
}

sinter_status sinter_model_apply_template(const sinter_model* model,
                                          const sinter_conversation* conversation, char* text,
                                          size_t capacity, size_t* bytes, sinter_error** error) {
  return Guard(error, [&] {
    const ReadModel& read = *Required(model, "model").model;
    text::ChatTemplateOptions options;
    const generate::Messages messages =
        ReadConversation(Required(conversation, "conversation"), options);
    if (!read.chat_template())
      throw Error("api", "messages: got a model without a chat template, want one that has it");
    return WriteText(
        generate::RenderMessages(
            *read.chat_template(),
            generate::WithReadableContent(*read.chat_template(), messages, options), options),
        text, capacity, bytes);
  });
}
