/* Sinter as a C library: loads a language model once and answers many requests at a time on a GPU.
 *
 * In short (examples/answer.c is a whole program):
 *
 *   sinter_model_open -> sinter_engine_create -> sinter_engine_submit -> sinter_request_next ...
 *
 * Errors. A function that can fail returns a sinter_status. Its last parameter may be NULL; if it
 * is not, it gets NULL on success and else an error with a message, which the caller frees. Nothing
 * is thrown, printed or aborted. Output parameters are only set on success, unless said otherwise.
 *
 * Structs. The first member of each struct that has a `size` is the size that the caller compiled
 * with. Options are made by their _INIT macro, which sets the size and every default; information
 * is asked for with the size set. So programs go on to run with newer libraries, whose structs are
 * longer. Options longer than the library's are refused unless the rest is zeros.
 *
 * Text is UTF-8 and ends with a NUL byte. What a function takes is copied; nothing needs to stay
 * after the call but callbacks and their `user`. Pointers in the library's results belong to the
 * object named there.
 *
 * Threads. All functions may be called by any thread at any time, with these exceptions: an object
 * must not be in use by one thread while another frees it, and only one thread at a time may call
 * sinter_request_next on a request. Freeing NULL does nothing. Objects may be freed in any order.
 */
#ifndef SINTER_SINTER_H_
#define SINTER_SINTER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(SINTER_BUILDING) && defined(__GNUC__)
#define SINTER_API __attribute__((visibility("default")))
#else
#define SINTER_API
#endif

/* ---- Versions ---- */

/* Version of the binary interface. It grows when programs must be compiled again; libsinter.so has
 * it in its name. */
#define SINTER_ABI_VERSION 1

/* Returns the library's SINTER_ABI_VERSION. */
SINTER_API uint32_t sinter_abi_version(void);
/* Returns the library's version, such as "0.1.0". Static. */
SINTER_API const char* sinter_version(void);

/* ---- Errors ---- */

typedef int32_t sinter_status;
enum {
  SINTER_OK = 0,
  SINTER_TIMEOUT = 1,          /* Nothing came in time. No error, and no message. */
  SINTER_TOO_SMALL = 2,        /* The caller's buffer is too small; the count needed was set. */
  SINTER_ERROR = 3,            /* A file, a request, the adapter: the message says what is wrong. */
  SINTER_INVALID_ARGUMENT = 4, /* NULL, a struct without its size, a range outside of a tensor. */
  SINTER_QUEUE_FULL = 5,       /* Too many requests wait; try again later. */
  SINTER_OUT_OF_MEMORY = 6,    /* The GPU's memory or the machine's does not suffice. */
  SINTER_DEVICE_LOST = 7,      /* The GPU was reset or removed. */
  SINTER_CANCELLED = 8,        /* A callback of the caller wanted to stop. */
  SINTER_INTERNAL = 9          /* A bug of the library. */
};
/* Returns a status' name, such as "SINTER_QUEUE_FULL". Static; for an unknown one "unknown". */
SINTER_API const char* sinter_status_name(sinter_status status);

typedef struct sinter_error sinter_error;
/* Returns the message: one line `[area] what: got X, want Y`, followed by more lines if it quotes a
 * driver or a shader compiler. Belongs to the error. Never NULL; "" for NULL. */
SINTER_API const char* sinter_error_message(const sinter_error* error);
/* Returns the status that the function returned. SINTER_OK for NULL: SINTER_TIMEOUT and
 * SINTER_TOO_SMALL come without an error. */
SINTER_API sinter_status sinter_error_status(const sinter_error* error);
SINTER_API void sinter_error_free(sinter_error* error);

/* ---- Devices ---- */

/* A GPU that is open. */
typedef struct sinter_device sinter_device;

typedef struct sinter_device_info {
  size_t size;
  const char* name;      /* "NVIDIA H200" */
  const char* vendor;    /* "nvidia" */
  const char* driver;    /* the driver's name and version */
  const char* type;      /* "discrete GPU", "integrated GPU", "CPU" or "unknown" */
  const char* backend;   /* "Vulkan" */
  const char* refused;   /* why Sinter cannot use it; "" if it can */
  uint64_t memory_bytes; /* its largest heap, used or not; 0 if the driver tells none */
  int32_t software;      /* 1 if the CPU emulates a GPU */
} sinter_device_info;

/* Calls `found` for each adapter of this machine, best first, on this thread. The info and its
 * texts are valid during the call. Errors: SINTER_ERROR if the system's GPU libraries cannot be
 * used. */
SINTER_API sinter_status sinter_device_list(void (*found)(void* user,
                                                          const sinter_device_info* info),
                                            void* user, sinter_error** error);

typedef struct sinter_device_options {
  size_t size;
  /* Adapter: NULL or "" for the best one, its position in the list as text, a part of its name, or
   * "software" for one on the CPU. */
  const char* adapter;
  /* Folder for compiled shaders and measured plans, which later starts reuse; NULL for
   * $XDG_CACHE_HOME/sinter or ~/.cache/sinter, "" for none. */
  const char* cache_folder;
  int32_t checked; /* 1: validates and checks bounds on the GPU, which is slow; for debugging */
} sinter_device_options;
#define SINTER_DEVICE_OPTIONS_INIT \
  { sizeof(sinter_device_options), NULL, NULL, 0 }

/* Opens a device; `options` may be NULL. Takes tenths of a second. Free with sinter_device_free;
 * engines and tensors keep what they need of it. Errors: SINTER_ERROR if no adapter matches, with a
 * list of those there are. */
SINTER_API sinter_status sinter_device_open(const sinter_device_options* options,
                                            sinter_device** device, sinter_error** error);
/* Fills `info`; its texts belong to the device. */
SINTER_API sinter_status sinter_device_get_info(const sinter_device* device,
                                                sinter_device_info* info, sinter_error** error);
SINTER_API void sinter_device_free(sinter_device* device);

/* ---- Models ---- */

/* A model's files, read and checked: its configuration, graph, tokenizer and chat template. Takes
 * no GPU. Weights are mapped and take memory only while they are read. */
typedef struct sinter_model sinter_model;

/* A model's files where there is no folder. Callbacks may come from any thread of the library, one
 * at a time for each model. */
typedef struct sinter_files {
  size_t size;
  void* user;
  /* Sets the bytes of the file called `name` ("genai_config.json", "model.onnx", ...) and returns
   * 0; returns 1 if there is no such file, and another number if that cannot be told. */
  int (*get_bytes)(void* user, const char* name, uint64_t* bytes);
  /* Reads `bytes` bytes of a file from `offset` on to `out`. Returns 0 on success. */
  int (*read)(void* user, const char* name, uint64_t offset, uint64_t bytes, void* out);
} sinter_files;

typedef struct sinter_model_options {
  size_t size;
  /* Reads these instead of a folder; NULL for a folder. The struct is copied; the callbacks are
   * used until the model and all its engines are freed. Each file is read whole, in pieces of 4
   * MiB, into main memory, and again for each further engine and after a device was lost. */
  const sinter_files* files;
} sinter_model_options;
#define SINTER_MODEL_OPTIONS_INIT \
  { sizeof(sinter_model_options), NULL }

/* Opens a model folder as ONNX Runtime GenAI has it (genai_config.json, model.onnx,
 * tokenizer.json), or with options.files the files that the callbacks give; `folder` is then only a
 * name for messages and may be NULL. `options` may be NULL. Free with sinter_model_free; engines
 * keep what they need of it. Errors: SINTER_ERROR if a file is missing or damaged, or if Sinter
 * cannot run the model. */
SINTER_API sinter_status sinter_model_open(const char* folder, const sinter_model_options* options,
                                           sinter_model** model, sinter_error** error);
SINTER_API void sinter_model_free(sinter_model* model);

typedef struct sinter_model_info {
  size_t size;
  const char* type;       /* architecture, such as "qwen3"; belongs to the model */
  int64_t context_length; /* most tokens of a sequence that the model was made for */
  int64_t vocabulary;     /* number of tokens */
  uint64_t weight_bytes;  /* bytes of the weights in the files */
  int32_t has_template;   /* 1 if there is a chat template, so that messages can be answered */
} sinter_model_info;
SINTER_API sinter_status sinter_model_get_info(const sinter_model* model, sinter_model_info* info,
                                               sinter_error** error);

/* Turns text into tokens. Writes up to `capacity` of them to `tokens` and sets `count` to their
 * number, also for SINTER_TOO_SMALL, which it returns if they are more than `capacity`.
 * `text_bytes` counts the bytes of `text`, which may contain NUL. With `add_special` 1 adds the
 * tokens that the model wants around a text, such as the one for its beginning. */
SINTER_API sinter_status sinter_model_tokenize(const sinter_model* model, const char* text,
                                               size_t text_bytes, int32_t add_special,
                                               int32_t* tokens, size_t capacity, size_t* count,
                                               sinter_error** error);
/* Turns tokens into text. Writes up to `capacity` bytes, and a NUL after them if there is room;
 * sets `bytes` to the bytes of the text without the NUL. SINTER_TOO_SMALL if the text with its NUL
 * has more than `capacity` bytes. Bytes that form no character become U+FFFD. With `skip_special` 1
 * leaves out special tokens. */
SINTER_API sinter_status sinter_model_detokenize(const sinter_model* model, const int32_t* tokens,
                                                 size_t count, int32_t skip_special, char* text,
                                                 size_t capacity, size_t* bytes,
                                                 sinter_error** error);

typedef struct sinter_message {
  const char* role; /* "system", "user", "assistant" or "tool" */
  const char* content;
} sinter_message;

/* A conversation for the model's chat template: `messages`, or `messages_json` if that is not
 * NULL. */
typedef struct sinter_conversation {
  size_t size;
  const sinter_message* messages; /* oldest first */
  size_t message_count;
  /* JSON array of messages as in OpenAI's API, with fields such as tool_calls and content in parts.
   */
  const char* messages_json;
  const char* tools_json;     /* JSON array of tools as in OpenAI's API; NULL for none */
  const char* arguments_json; /* JSON object of further variables of the template; NULL for none */
} sinter_conversation;
#define SINTER_CONVERSATION_INIT \
  { sizeof(sinter_conversation), NULL, 0, NULL, NULL, NULL }

/* Writes the prompt that the chat template makes of a conversation, up to the beginning of the
 * answer, as sinter_model_detokenize writes a text. Errors: SINTER_ERROR if the model has no
 * template or the template refuses the messages. */
SINTER_API sinter_status sinter_model_apply_template(const sinter_model* model,
                                                     const sinter_conversation* conversation,
                                                     char* text, size_t capacity, size_t* bytes,
                                                     sinter_error** error);

/* ---- Engines ---- */

/* A model on a device, and the thread that runs its requests side by side. */
typedef struct sinter_engine sinter_engine;

enum { SINTER_LOG_INFO = 0, SINTER_LOG_WARNING = 1 };

typedef struct sinter_engine_options {
  size_t size;
  int64_t max_batch;  /* most requests that run side by side, 1 to 64; 0 for 64 */
  int64_t max_length; /* most tokens of a request, prompt and answer; 0 for 8,192 or fewer */
  int64_t kv_tokens;  /* tokens that the KV cache holds, of all requests; 0 for 65,536 or fewer */
  int64_t queue;      /* most requests that wait; 0 for 1,024 */
  /* 1: an answer depends on nothing but its request, not on what runs beside it. Slower with few
   * requests. 0: rounding may differ with the number of requests. */
  int32_t deterministic;
  /* Called by the loading thread with the bytes of weights on the GPU so far. Another number than 0
   * stops the load, which then fails with SINTER_CANCELLED. May be NULL. */
  int (*progress)(void* user, uint64_t done_bytes, uint64_t total_bytes);
  void* progress_user;
  /* Called with one line about what the engine does: a device opened, lost, opened again. From any
   * thread of the library; must return soon and not call the engine. May be NULL. */
  void (*log)(void* user, int32_t level, const char* message);
  void* log_user;
} sinter_engine_options;
#define SINTER_ENGINE_OPTIONS_INIT \
  { sizeof(sinter_engine_options), 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL }

/* Loads the model's weights onto the device and starts the engine; takes seconds. `device` may be
 * NULL for the best one, `options` may be NULL. Free with sinter_engine_free. If the device is
 * lost, the engine opens one like it again, and its requests go on. Errors: SINTER_OUT_OF_MEMORY or
 * SINTER_ERROR if the model does not fit, with what would; SINTER_ERROR for options out of range;
 * SINTER_CANCELLED. */
SINTER_API sinter_status sinter_engine_create(const sinter_model* model,
                                              const sinter_device* device,
                                              const sinter_engine_options* options,
                                              sinter_engine** engine, sinter_error** error);
/* Cancels all requests and waits until the engine has stopped. Requests that are not freed end with
 * SINTER_FINISH_CANCELLED. Must not be called by a callback. */
SINTER_API void sinter_engine_free(sinter_engine* engine);

typedef struct sinter_memory {
  size_t size;
  uint64_t weight_bytes;
  uint64_t cache_bytes;     /* keys and values of kv_tokens tokens */
  uint64_t workspace_bytes; /* everything else; an estimate has that of one request only */
  uint64_t total_bytes;     /* the sum */
  uint64_t free_bytes;      /* what the device has left at most; UINT64_MAX if nothing tells */
} sinter_memory;

/* Estimates the device memory of an engine with these options, without loading anything. Takes as
 * long as planning the model's programs, some tenths of a second. Errors as sinter_engine_create.
 */
SINTER_API sinter_status sinter_model_estimate_memory(const sinter_model* model,
                                                      const sinter_device* device,
                                                      const sinter_engine_options* options,
                                                      sinter_memory* memory, sinter_error** error);
/* Tells the device memory that is in use: the engine's weights and cache, and as workspace all else
 * that this process has on that device, other engines too. */
SINTER_API sinter_status sinter_engine_get_memory(const sinter_engine* engine,
                                                  sinter_memory* memory, sinter_error** error);

typedef struct sinter_engine_info {
  size_t size;
  /* The options with numbers in the place of zeros. */
  int64_t max_batch, max_length, kv_tokens, queue;
  /* Requests by what they do now: wait, run their prompt, generate. */
  int64_t waiting, prompts, decoding;
  /* Pages of 64 tokens in the KV cache: all, those of running requests, and those kept for prompts
   * that begin the same. */
  int64_t kv_pages, kv_pages_used, kv_pages_cached;
  /* Since the engine started. Cached ones are tokens of prompts that did not need to run. */
  uint64_t requests, prompt_tokens, cached_tokens, generated_tokens;
  uint64_t device_losses;
} sinter_engine_info;
SINTER_API sinter_status sinter_engine_get_info(const sinter_engine* engine,
                                                sinter_engine_info* info, sinter_error** error);

/* ---- Requests ---- */

/* One prompt and its answer. */
typedef struct sinter_request sinter_request;

typedef struct sinter_token_bias {
  int32_t token;
  float bias; /* added to the token's logit */
} sinter_token_bias;

typedef struct sinter_request_options {
  size_t size;
  /* Exactly one of the three: messages to answer, text to continue, tokens to continue. */
  const sinter_conversation* conversation;
  const char* prompt;
  const int32_t* tokens;
  size_t token_count;

  int64_t max_tokens; /* most tokens to generate; 0: as many as the engine's max_length allows */
  int64_t min_tokens; /* no end token is chosen before; 0 */
  const char* const* stop; /* texts that end the answer and are not part of it; not empty */
  size_t stop_count;
  const int32_t* end_tokens; /* tokens that end the answer; NULL for the model's */
  size_t end_token_count;

  /* How tokens are chosen. Negative numbers (SINTER_DEFAULT) stand for what the model's
   * genai_config.json says. */
  double temperature; /* 0: always the likeliest token; above, tokens are drawn */
  int64_t top_k;      /* draws from the k likeliest; 0: off */
  double top_p;       /* draws from the likeliest that together have this probability; 1: off */
  double min_p;       /* draws from those at least this likely, of the likeliest; 0: off */
  double repetition_penalty; /* above 1 makes tokens less likely that occurred before; 1: off */
  uint32_t seed;             /* of the draws */
  /* Subtracted from the logit of tokens that were generated: once, and for each time. 0: off. */
  float presence_penalty, frequency_penalty;
  const sinter_token_bias* logit_bias;
  size_t logit_bias_count;
  /* Number of likeliest tokens, 0 to 20, whose log probabilities come with that of each token; -1:
   * no log probabilities. */
  int32_t log_probs;
  /* Called by the engine's thread before each token is chosen: clears bit t % 32 of word t / 32 for
   * each token t that must not be. Must return soon; all requests wait for it. NULL: none. */
  void (*mask)(void* user, uint32_t* allowed, size_t words);
  void* mask_user;

  /* Requests of one client share what the engine gives each client. NULL: all such are one. */
  const char* client;
  int32_t priority; /* within a client, higher ones come first */
} sinter_request_options;
#define SINTER_DEFAULT (-1)
#define SINTER_REQUEST_OPTIONS_INIT                                                              \
  {                                                                                              \
    sizeof(sinter_request_options), NULL, NULL, NULL, 0, 0, 0, NULL, 0, NULL, 0, SINTER_DEFAULT, \
        SINTER_DEFAULT, SINTER_DEFAULT, SINTER_DEFAULT, SINTER_DEFAULT, 0, 0, 0, NULL, 0, -1,    \
        NULL, NULL, NULL, 0                                                                      \
  }

/* Queues a request and returns at once. Free with sinter_request_free. Errors: SINTER_ERROR for
 * a request that the engine can never run, SINTER_QUEUE_FULL, SINTER_DEVICE_LOST if the engine has
 * given up its device. */
SINTER_API sinter_status sinter_engine_submit(sinter_engine* engine,
                                              const sinter_request_options* options,
                                              sinter_request** request, sinter_error** error);

typedef struct sinter_log_prob {
  int32_t token;
  float log_prob; /* natural logarithm of the token's probability, before any option changes it */
} sinter_log_prob;

typedef struct sinter_token {
  int32_t token;
  float log_prob;                   /* NaN unless asked for */
  const sinter_log_prob* likeliest; /* likeliest first */
  size_t likeliest_count;
} sinter_token;

typedef int32_t sinter_finish;
enum {
  SINTER_FINISH_NONE = 0,       /* the answer goes on */
  SINTER_FINISH_END_TOKEN = 1,  /* the model ended it */
  SINTER_FINISH_STOP = 2,       /* one of the stop texts came */
  SINTER_FINISH_MAX_TOKENS = 3, /* max_tokens were generated */
  SINTER_FINISH_MAX_LENGTH = 4, /* the engine's max_length is reached */
  SINTER_FINISH_CANCELLED = 5
};

/* What a request gave since the last event. The pointers belong to the request until the next call
 * of sinter_request_next or sinter_request_free. */
typedef struct sinter_event {
  size_t size;
  const char* text; /* whole characters, maybe none; never NULL */
  size_t text_bytes;
  const sinter_token* tokens; /* may come before their text, which a stop text could still begin */
  size_t token_count;
  sinter_finish finish;
  /* Only in the last event: tokens of the prompt, those of them that did not need to run, and
   * generated ones with the end token. */
  int64_t prompt_tokens, cached_tokens, generated_tokens;
} sinter_event;
#define SINTER_EVENT_INIT \
  { sizeof(sinter_event), NULL, 0, NULL, 0, SINTER_FINISH_NONE, 0, 0, 0 }

/* Waits up to `timeout_ms` milliseconds for the next event; 0 does not wait, a negative number
 * waits as long as it takes. The last event has another `finish` than NONE; after it the same comes
 * again without text and tokens. Errors: SINTER_TIMEOUT; what ended the request with an error,
 * after all text before it: SINTER_DEVICE_LOST, SINTER_OUT_OF_MEMORY, SINTER_ERROR. */
SINTER_API sinter_status sinter_request_next(sinter_request* request, int64_t timeout_ms,
                                             sinter_event* event, sinter_error** error);
/* Sets `descriptor` to a file descriptor that is readable (poll, epoll, select) while
 * sinter_request_next would not wait. It belongs to the request; only wait on it. */
SINTER_API sinter_status sinter_request_descriptor(sinter_request* request, int* descriptor,
                                                   sinter_error** error);
/* Ends the request within two steps of the engine; its last event says so. Does nothing if it has
 * ended. */
SINTER_API void sinter_request_cancel(sinter_request* request);
/* Cancels the request if it has not ended, and frees it without waiting. */
SINTER_API void sinter_request_free(sinter_request* request);

/* ---- Tensors on a device ---- */

/* Memory on a device. All calls on a device take effect in the order in which they are made, and in
 * order with what engines on it have queued until then. */
typedef struct sinter_tensor sinter_tensor;

/* Element types, by ONNX's numbers. */
typedef int32_t sinter_dtype;
enum {
  SINTER_F32 = 1,
  SINTER_U8 = 2,
  SINTER_I8 = 3,
  SINTER_I32 = 6,
  SINTER_F16 = 10,
  SINTER_U32 = 12
};

/* Creates a tensor whose contents are undefined. Its elements lie row by row without gaps. `dims`
 * has `rank` numbers of at least 1; a rank of 0 is one element. Free with sinter_tensor_free.
 * Errors: SINTER_OUT_OF_MEMORY, also beyond the largest buffer of the device. */
SINTER_API sinter_status sinter_tensor_create(sinter_device* device, sinter_dtype dtype,
                                              const int64_t* dims, size_t rank,
                                              sinter_tensor** tensor, sinter_error** error);
SINTER_API void sinter_tensor_free(sinter_tensor* tensor);
/* Returns the bytes of all elements; 0 for NULL. */
SINTER_API uint64_t sinter_tensor_bytes(const sinter_tensor* tensor);
/* Copies `bytes` bytes of `data` into the tensor at `offset`, which must be a multiple of 4, and so
 * must `bytes` unless they reach the tensor's end. `data` may be freed on return. Errors:
 * SINTER_INVALID_ARGUMENT, SINTER_DEVICE_LOST. */
SINTER_API sinter_status sinter_tensor_upload(sinter_tensor* tensor, uint64_t offset,
                                              const void* data, uint64_t bytes,
                                              sinter_error** error);
/* Waits for the device and copies `bytes` bytes from `offset`, a multiple of 4, to `data`. Errors
 * as for uploads. */
SINTER_API sinter_status sinter_tensor_download(const sinter_tensor* tensor, uint64_t offset,
                                                void* data, uint64_t bytes, sinter_error** error);
/* Copies all elements of a tensor into another one of the same size on the same device, and returns
 * before that is done. Errors as for uploads. */
SINTER_API sinter_status sinter_tensor_copy(const sinter_tensor* from, sinter_tensor* to,
                                            sinter_error** error);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* SINTER_SINTER_H_ */
