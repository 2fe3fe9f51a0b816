// Sinter for C++17 and later: sinter.h with objects that free themselves, and exceptions.
//
// Header-only. What the functions do, and units, threads and errors, is said in sinter.h. A status
// other than SINTER_OK and SINTER_TIMEOUT becomes a sinter::Error.
#ifndef SINTER_SINTER_HPP_
#define SINTER_SINTER_HPP_

#include <sinter/sinter.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace sinter {
// Names of their own, so that they are not taken for those inside the library.
inline namespace abi1 {

// What a function of the library failed with. what() is its message.
class Error : public std::runtime_error {
 public:
  Error(sinter_status status, const std::string& message)
      : std::runtime_error(message), status_(status) {}
  sinter_status status() const { return status_; }

 private:
  sinter_status status_;
};

namespace detail {

struct Freer {
  void operator()(sinter_error* error) const { sinter_error_free(error); }
  void operator()(sinter_device* device) const { sinter_device_free(device); }
  void operator()(sinter_model* model) const { sinter_model_free(model); }
  void operator()(sinter_engine* engine) const { sinter_engine_free(engine); }
  void operator()(sinter_request* request) const { sinter_request_free(request); }
  void operator()(sinter_tensor* tensor) const { sinter_tensor_free(tensor); }
};
template <typename T>
using Handle = std::unique_ptr<T, Freer>;

// Throws the error of a call, unless its status is OK or `also`. The reference is read after the
// call that is the argument before it.
inline sinter_status Check(sinter_status status, sinter_error* const& error,
                           sinter_status also = SINTER_OK) {
  const Handle<sinter_error> owner(error);
  if (status == SINTER_OK || status == also) return status;
  const char* message = sinter_error_message(error);
  throw Error(status, *message != '\0' ? message : sinter_status_name(status));
}

// Calls a function that writes a text of unknown length.
template <typename Call>
std::string Text(Call call) {
  std::string text(256, '\0');
  for (;;) {
    size_t bytes = 0;
    sinter_error* error = nullptr;
    const sinter_status status = call(text.data(), text.size() + 1, &bytes, &error);
    Check(status, error, SINTER_TOO_SMALL);
    text.resize(bytes);
    if (status == SINTER_OK) return text;
  }
}

}  // namespace detail

struct DeviceInfo {
  std::string name, vendor, driver, type, backend;
  std::string refused;  // why Sinter cannot use it; empty if it can
  std::uint64_t memory_bytes = 0;
  bool software = false;

  explicit DeviceInfo(const sinter_device_info& info)
      : name(info.name),
        vendor(info.vendor),
        driver(info.driver),
        type(info.type),
        backend(info.backend),
        refused(info.refused),
        memory_bytes(info.memory_bytes),
        software(info.software != 0) {}
};

class Device {
 public:
  static std::vector<DeviceInfo> List() {
    std::vector<DeviceInfo> infos;
    sinter_error* error = nullptr;
    const sinter_status status = sinter_device_list(
        [](void* user, const sinter_device_info* info) {
          static_cast<std::vector<DeviceInfo>*>(user)->emplace_back(*info);
        },
        &infos, &error);
    detail::Check(status, error);
    return infos;
  }

  explicit Device(const std::string& adapter = {}) {
    sinter_device_options options = SINTER_DEVICE_OPTIONS_INIT;
    options.adapter = adapter.c_str();
    Open(options);
  }
  explicit Device(const sinter_device_options& options) { Open(options); }

  DeviceInfo info() const {
    sinter_device_info info = {};
    info.size = sizeof(info);
    sinter_error* error = nullptr;
    detail::Check(sinter_device_get_info(get(), &info, &error), error);
    return DeviceInfo(info);
  }
  sinter_device* get() const { return handle_.get(); }

 private:
  void Open(const sinter_device_options& options) {
    sinter_device* device = nullptr;
    sinter_error* error = nullptr;
    detail::Check(sinter_device_open(&options, &device, &error), error);
    handle_.reset(device);
  }
  detail::Handle<sinter_device> handle_;
};

struct Message {
  std::string role, content;
};

class Model {
 public:
  explicit Model(const std::string& folder, const sinter_model_options* options = nullptr) {
    sinter_model* model = nullptr;
    sinter_error* error = nullptr;
    detail::Check(sinter_model_open(folder.c_str(), options, &model, &error), error);
    handle_.reset(model);
  }

  // Its `type` belongs to the model.
  sinter_model_info info() const {
    sinter_model_info info = {};
    info.size = sizeof(info);
    sinter_error* error = nullptr;
    detail::Check(sinter_model_get_info(get(), &info, &error), error);
    return info;
  }
  std::vector<std::int32_t> Tokenize(std::string_view text, bool add_special = false) const {
    std::vector<std::int32_t> tokens(text.size() + 8);
    for (;;) {
      size_t count = 0;
      sinter_error* error = nullptr;
      const sinter_status status =
          sinter_model_tokenize(get(), text.data(), text.size(), add_special ? 1 : 0, tokens.data(),
                                tokens.size(), &count, &error);
      detail::Check(status, error, SINTER_TOO_SMALL);
      tokens.resize(count);
      if (status == SINTER_OK) return tokens;
    }
  }
  std::string Detokenize(const std::vector<std::int32_t>& tokens, bool skip_special = true) const {
    return detail::Text([&](char* text, size_t capacity, size_t* bytes, sinter_error** error) {
      return sinter_model_detokenize(get(), tokens.data(), tokens.size(), skip_special ? 1 : 0,
                                     text, capacity, bytes, error);
    });
  }
  std::string ApplyTemplate(const sinter_conversation& conversation) const {
    return detail::Text([&](char* text, size_t capacity, size_t* bytes, sinter_error** error) {
      return sinter_model_apply_template(get(), &conversation, text, capacity, bytes, error);
    });
  }
  sinter_memory EstimateMemory(const Device& device,
                               const sinter_engine_options* options = nullptr) const {
    sinter_memory memory = {};
    memory.size = sizeof(memory);
    sinter_error* error = nullptr;
    detail::Check(sinter_model_estimate_memory(get(), device.get(), options, &memory, &error),
                  error);
    return memory;
  }
  sinter_model* get() const { return handle_.get(); }

 private:
  detail::Handle<sinter_model> handle_;
};

// An answer as it comes. Cancels the request when it is destroyed.
class Request {
 public:
  // Returns the next event, whose pointers are valid until the next call; nullopt if none came in
  // time. Without a timeout waits as long as it takes.
  std::optional<sinter_event> Next(std::optional<std::chrono::milliseconds> timeout = {}) {
    sinter_event event = SINTER_EVENT_INIT;
    sinter_error* error = nullptr;
    const sinter_status status =
        sinter_request_next(get(), timeout ? timeout->count() : -1, &event, &error);
    if (detail::Check(status, error, SINTER_TIMEOUT) == SINTER_TIMEOUT) return std::nullopt;
    return event;
  }
  // Waits for the end and returns the text that has not been taken yet. `on_text` gets each piece,
  // and returns false to cancel the request.
  std::string Text(const std::function<bool(std::string_view)>& on_text = {}) {
    std::string text;
    for (;;) {
      const sinter_event event = *Next();
      const std::string_view piece(event.text, event.text_bytes);
      text += piece;
      if (on_text && !piece.empty() && !on_text(piece)) Cancel();
      if (event.finish != SINTER_FINISH_NONE) return text;
    }
  }
  int descriptor() const {
    int descriptor = -1;
    sinter_error* error = nullptr;
    detail::Check(sinter_request_descriptor(get(), &descriptor, &error), error);
    return descriptor;
  }
  void Cancel() { sinter_request_cancel(get()); }
  sinter_request* get() const { return handle_.get(); }

 private:
  friend class Engine;
  explicit Request(sinter_request* request) : handle_(request) {}
  detail::Handle<sinter_request> handle_;
};

class Engine {
 public:
  explicit Engine(const Model& model, const Device* device = nullptr,
                  const sinter_engine_options* options = nullptr) {
    sinter_engine* engine = nullptr;
    sinter_error* error = nullptr;
    detail::Check(sinter_engine_create(model.get(), device == nullptr ? nullptr : device->get(),
                                       options, &engine, &error),
                  error);
    handle_.reset(engine);
  }

  Request Submit(const sinter_request_options& options) {
    sinter_request* request = nullptr;
    sinter_error* error = nullptr;
    detail::Check(sinter_engine_submit(get(), &options, &request, &error), error);
    return Request(request);
  }
  // Answers messages. `options` says the rest; its conversation is not used.
  Request Submit(const std::vector<Message>& messages,
                 sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT) {
    std::vector<sinter_message> list;
    for (const Message& message : messages)
      list.push_back({message.role.c_str(), message.content.c_str()});
    sinter_conversation conversation = SINTER_CONVERSATION_INIT;
    conversation.messages = list.data();
    conversation.message_count = list.size();
    options.conversation = &conversation;
    return Submit(options);
  }
  sinter_memory memory() const {
    sinter_memory memory = {};
    memory.size = sizeof(memory);
    sinter_error* error = nullptr;
    detail::Check(sinter_engine_get_memory(get(), &memory, &error), error);
    return memory;
  }
  sinter_engine_info info() const {
    sinter_engine_info info = {};
    info.size = sizeof(info);
    sinter_error* error = nullptr;
    detail::Check(sinter_engine_get_info(get(), &info, &error), error);
    return info;
  }
  sinter_engine* get() const { return handle_.get(); }

 private:
  detail::Handle<sinter_engine> handle_;
};

class Tensor {
 public:
  Tensor(const Device& device, sinter_dtype dtype, const std::vector<std::int64_t>& dims) {
    sinter_tensor* tensor = nullptr;
    sinter_error* error = nullptr;
    detail::Check(
        sinter_tensor_create(device.get(), dtype, dims.data(), dims.size(), &tensor, &error),
        error);
    handle_.reset(tensor);
  }

  std::uint64_t bytes() const { return sinter_tensor_bytes(get()); }
  void Upload(const void* data, std::uint64_t bytes, std::uint64_t offset = 0) {
    sinter_error* error = nullptr;
    detail::Check(sinter_tensor_upload(get(), offset, data, bytes, &error), error);
  }
  void Download(void* data, std::uint64_t bytes, std::uint64_t offset = 0) const {
    sinter_error* error = nullptr;
    detail::Check(sinter_tensor_download(get(), offset, data, bytes, &error), error);
  }
  void CopyTo(Tensor& to) const {
    sinter_error* error = nullptr;
    detail::Check(sinter_tensor_copy(get(), to.get(), &error), error);
  }
  sinter_tensor* get() const { return handle_.get(); }

 private:
  detail::Handle<sinter_tensor> handle_;
};

}  // namespace abi1
}  // namespace sinter

#endif  // SINTER_SINTER_HPP_
