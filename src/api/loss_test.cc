// Tests what the C library does when its device is lost, which no function of it can bring about.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

#include "api/handles.h"

namespace sinter::api {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

struct Log {
  std::mutex mutex;
  std::vector<std::string> lines;

  static void Call(void* user, int32_t level, const char* line) {
    auto& log = *static_cast<Log*>(user);
    std::lock_guard lock(log.mutex);
    log.lines.push_back(std::to_string(level) + " " + line);
  }
};

sinter_request* Submit(sinter_engine* engine) {
  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  options.prompt = "Once upon a time";
  options.temperature = 0;
  options.max_tokens = 40;
  sinter_request* request = nullptr;
  EXPECT_EQ(sinter_engine_submit(engine, &options, &request, nullptr), SINTER_OK);
  return request;
}

// Takes the rest of an answer, and frees the request.
std::string Rest(sinter_request* request) {
  std::string text;
  for (;;) {
    sinter_event event = SINTER_EVENT_INIT;
    sinter_error* error = nullptr;
    if (sinter_request_next(request, -1, &event, &error) != SINTER_OK) {
      text += sinter_error_message(error);
      sinter_error_free(error);
      break;
    }
    text.append(event.text, event.text_bytes);
    if (event.finish != SINTER_FINISH_NONE) break;
  }
  sinter_request_free(request);
  return text;
}

TEST(Loss, AnswersGoOnAndTensorsAreGone) {
  sinter_device_options device_options = SINTER_DEVICE_OPTIONS_INIT;
  device_options.adapter = std::getenv("SINTER_TEST_DEVICE");
  sinter_device* device = nullptr;
  ASSERT_EQ(sinter_device_open(&device_options, &device, nullptr), SINTER_OK);
  sinter_model* model = nullptr;
  ASSERT_EQ(sinter_model_open(SINTER_DEMO_MODEL, nullptr, &model, nullptr), SINTER_OK);
  Log log;
  sinter_engine_options options = SINTER_ENGINE_OPTIONS_INIT;
  options.max_batch = 1;
  options.max_length = 128;
  options.kv_tokens = 256;
  options.log = Log::Call;
  options.log_user = &log;
  sinter_engine* engine = nullptr;
  ASSERT_EQ(sinter_engine_create(model, device, &options, &engine, nullptr), SINTER_OK);
  const int64_t dim = 4;
  sinter_tensor* tensor = nullptr;
  ASSERT_EQ(sinter_tensor_create(device, SINTER_F32, &dim, 1, &tensor, nullptr), SINTER_OK);
  const std::string alone = Rest(Submit(engine));
  EXPECT_GT(alone.size(), 60U);

  sinter_request* request = Submit(engine);
  sinter_event event = SINTER_EVENT_INIT;
  ASSERT_EQ(sinter_request_next(request, -1, &event, nullptr), SINTER_OK);
  std::string text(event.text, event.text_bytes);
  device->device->SimulateLoss();
  text += Rest(request);
  EXPECT_EQ(text, alone);

  const float data[4] = {};
  sinter_error* error = nullptr;
  EXPECT_EQ(sinter_tensor_upload(tensor, 0, data, sizeof(data), &error), SINTER_DEVICE_LOST);
  sinter_error_free(error);
  sinter_memory memory = {};
  memory.size = sizeof(memory);
  EXPECT_EQ(sinter_engine_get_memory(engine, &memory, nullptr), SINTER_OK);
  EXPECT_GT(memory.weight_bytes, 0U);
  sinter_engine_info info = {};
  info.size = sizeof(info);
  EXPECT_EQ(sinter_engine_get_info(engine, &info, nullptr), SINTER_OK);
  EXPECT_EQ(info.device_losses, 1U);
  {
    std::lock_guard lock(log.mutex);
    EXPECT_THAT(log.lines, Contains(HasSubstr("1 [gpu] the device was lost")));
    EXPECT_THAT(log.lines, Contains(HasSubstr("0 [gpu] opened again: ")));
  }

  // Losses too close together are the end, for requests that run and for those to come.
  std::string rest;
  for (int i = 0; i < 5 && rest.find("losses within a minute") == std::string::npos; ++i) {
    request = Submit(engine);
    std::shared_ptr<engine::Model> now;
    {
      std::lock_guard lock(engine->loaded->mutex);
      now = engine->loaded->model.lock();
    }
    if (now != nullptr) now->device()->SimulateLoss();
    now.reset();
    rest = Rest(request);
  }
  EXPECT_THAT(rest, HasSubstr("losses within a minute"));
  sinter_request_options refused = SINTER_REQUEST_OPTIONS_INIT;
  refused.prompt = "a";
  EXPECT_EQ(sinter_engine_submit(engine, &refused, &request, &error), SINTER_DEVICE_LOST);
  EXPECT_THAT(sinter_error_message(error), HasSubstr("losses within a minute"));
  sinter_error_free(error);
  sinter_tensor_free(tensor);
  sinter_engine_free(engine);
  sinter_model_free(model);
  sinter_device_free(device);
}

}  // namespace
}  // namespace sinter::api
