/* Uses one engine from several threads at once: requests of all kinds, cancelled at random moments,
 * freed before they end, bad ones among them. Answers that are not cancelled must be the same as
 * alone.
 *   stress MODEL [REQUESTS [THREADS [SEED]]]
 */
#include <poll.h>
#include <pthread.h>
#include <sinter/sinter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kPrompts = 4, kMaxThreads = 64, kTokens = 12, kAnswer = 1024 };

static const char *const kQuestions[kPrompts] = {"What is 7 + 8?", "Write a story about Lily.",
                                                 "What is 3 + 4?", "Hi"};

typedef struct {
  sinter_engine *engine;
  int requests;
  unsigned seed;
  int failures, ended, cancelled, refused;
} worker;

static char answers[kPrompts][kAnswer];

static unsigned next_random(unsigned *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static sinter_status submit(sinter_engine *engine, int prompt, sinter_request **request,
                            sinter_error **error) {
  sinter_message message = {"user", NULL};
  sinter_conversation conversation = SINTER_CONVERSATION_INIT;
  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  message.content = kQuestions[prompt];
  conversation.messages = &message;
  conversation.message_count = 1;
  options.conversation = &conversation;
  options.temperature = 0;
  options.max_tokens = kTokens;
  return sinter_engine_submit(engine, &options, request, error);
}

/* Takes events until the end; cancels after `cancel_after` of them. Returns the finish reason, or -1
 * after an error. */
static sinter_finish drain(sinter_request *request, int cancel_after, int by_descriptor,
                           char *answer) {
  size_t length = 0;
  for (int events = 0;; ++events) {
    sinter_event event = SINTER_EVENT_INIT;
    sinter_error *error = NULL;
    sinter_status status;
    if (events == cancel_after) sinter_request_cancel(request);
    if (by_descriptor) {
      struct pollfd waited = {-1, POLLIN, 0};
      sinter_request_descriptor(request, &waited.fd, NULL);
      poll(&waited, 1, -1);
    }
    status = sinter_request_next(request, by_descriptor ? 0 : -1, &event, &error);
    if (status != SINTER_OK) {
      fprintf(stderr, "next: %s %s\n", sinter_status_name(status), sinter_error_message(error));
      sinter_error_free(error);
      return -1;
    }
    if (length + event.text_bytes < kAnswer) {
      memcpy(answer + length, event.text, event.text_bytes);
      length += event.text_bytes;
    }
    answer[length] = '\0';
    if (event.finish != SINTER_FINISH_NONE) return event.finish;
  }
}

/* A request that must be refused, and leave the others alone. */
static int refused(sinter_engine *engine, unsigned kind) {
  sinter_request *request = NULL;
  sinter_error *error = NULL;
  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  const int32_t token = 1 << 30;
  sinter_status status;
  switch (kind % 4) {
    case 0: break; /* no prompt at all */
    case 1: options.prompt = ""; options.size = 0; break;
    case 2: options.tokens = &token; options.token_count = 1; break;
    default: options.prompt = "a"; options.top_p = 2; break;
  }
  status = sinter_engine_submit(engine, &options, &request, &error);
  if (status == SINTER_OK || request != NULL || *sinter_error_message(error) != '[') {
    fprintf(stderr, "bad request %u: %s\n", kind % 4, sinter_status_name(status));
    return 0;
  }
  sinter_error_free(error);
  return 1;
}

static void *work(void *argument) {
  worker *self = argument;
  for (int i = 0; i < self->requests; ++i) {
    const unsigned random = next_random(&self->seed);
    const int prompt = (int)(random % kPrompts), fate = (int)(random / kPrompts % 8);
    sinter_request *request = NULL;
    sinter_error *error = NULL;
    char answer[kAnswer];
    sinter_finish finish;
    if (fate == 0) {
      if (refused(self->engine, random / 64)) ++self->refused;
      else ++self->failures;
      continue;
    }
    if (submit(self->engine, prompt, &request, &error) != SINTER_OK) {
      fprintf(stderr, "submit: %s\n", sinter_error_message(error));
      sinter_error_free(error);
      ++self->failures;
      continue;
    }
    if (fate == 1) { /* freed while it waits or runs */
      sinter_request_free(request);
      ++self->cancelled;
      continue;
    }
    finish = drain(request, fate == 2 ? (int)(random / 64 % kTokens) : -1, fate % 2, answer);
    if (finish == SINTER_FINISH_CANCELLED && fate == 2) {
      ++self->cancelled;
    } else if (finish == SINTER_FINISH_END_TOKEN || finish == SINTER_FINISH_MAX_TOKENS) {
      ++self->ended;
      if (strcmp(answer, answers[prompt]) != 0) {
        fprintf(stderr, "%s\n  got:  %s\n  want: %s\n", kQuestions[prompt], answer,
                answers[prompt]);
        ++self->failures;
      }
    } else {
      fprintf(stderr, "finish: got %d\n", (int)finish);
      ++self->failures;
    }
    sinter_request_free(request);
  }
  return NULL;
}

int main(int argc, char **argv) {
  const int requests = argc > 2 ? atoi(argv[2]) : 200;
  const int threads = argc > 3 ? atoi(argv[3]) : 8;
  const unsigned seed = argc > 4 ? (unsigned)atoi(argv[4]) : 1;
  sinter_device *device = NULL;
  sinter_model *model = NULL;
  sinter_engine *engine = NULL;
  sinter_request *left = NULL;
  sinter_error *error = NULL;
  sinter_device_options device_options = SINTER_DEVICE_OPTIONS_INIT;
  sinter_engine_options options = SINTER_ENGINE_OPTIONS_INIT;
  sinter_event event = SINTER_EVENT_INIT;
  pthread_t handles[kMaxThreads];
  worker workers[kMaxThreads];
  int failures = 0, ended = 0, cancelled = 0, refusals = 0;
  if (argc < 2 || requests < 1 || threads < 1 || threads > kMaxThreads) {
    fprintf(stderr, "usage: %s MODEL [REQUESTS [THREADS [SEED]]]\n", argv[0]);
    return 2;
  }
  device_options.adapter = getenv("SINTER_TEST_DEVICE");
  options.max_batch = 4;
  options.max_length = 256;
  options.kv_tokens = 1024;
  options.deterministic = 1;
  if (sinter_device_open(&device_options, &device, &error) ||
      sinter_model_open(argv[1], NULL, &model, &error) ||
      sinter_engine_create(model, device, &options, &engine, &error)) {
    fprintf(stderr, "%s\n", sinter_error_message(error));
    return 1;
  }
  /* The engine keeps what it needs of both. */
  sinter_device_free(device);
  sinter_model_free(model);
  for (int prompt = 0; prompt < kPrompts; ++prompt) {
    sinter_request *request = NULL;
    if (submit(engine, prompt, &request, NULL) || drain(request, -1, 0, answers[prompt]) < 0)
      return 1;
    sinter_request_free(request);
  }
  for (int i = 0; i < threads; ++i) {
    memset(&workers[i], 0, sizeof(workers[i]));
    workers[i].engine = engine;
    workers[i].requests = requests / threads + (i < requests % threads);
    workers[i].seed = seed * 1000 + (unsigned)i;
    pthread_create(&handles[i], NULL, work, &workers[i]);
  }
  for (int i = 0; i < threads; ++i) {
    pthread_join(handles[i], NULL);
    failures += workers[i].failures;
    ended += workers[i].ended;
    cancelled += workers[i].cancelled;
    refusals += workers[i].refused;
  }
  /* A request that outlives its engine ends as cancelled. */
  if (submit(engine, 1, &left, NULL) != SINTER_OK) return 1;
  sinter_engine_free(engine);
  do {
    if (sinter_request_next(left, 0, &event, &error) != SINTER_OK) {
      fprintf(stderr, "after the engine: %s\n", sinter_error_message(error));
      return 1;
    }
  } while (event.finish == SINTER_FINISH_NONE);
  if (event.finish != SINTER_FINISH_CANCELLED && event.finish != SINTER_FINISH_MAX_TOKENS) ++failures;
  sinter_request_cancel(left);
  sinter_request_free(left);
  printf("%d requests: %d ended, %d cancelled, %d refused, %d failures\n", requests, ended,
         cancelled, refusals, failures);
  return failures != 0;
}
