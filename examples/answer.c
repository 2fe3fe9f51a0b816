/* Answers a question with a model folder, and prints the answer as it comes.
 *   answer MODEL QUESTION */
#include <sinter/sinter.h>
#include <stdio.h>

int main(int argc, char **argv) {
  sinter_model *model = NULL;
  sinter_engine *engine = NULL;
  sinter_request *request = NULL;
  sinter_error *error = NULL;
  sinter_event event = SINTER_EVENT_INIT;
  if (argc != 3) return fprintf(stderr, "usage: %s MODEL QUESTION\n", argv[0]), 2;

  sinter_message message = {"user", argv[2]};
  sinter_conversation conversation = SINTER_CONVERSATION_INIT;
  conversation.messages = &message;
  conversation.message_count = 1;
  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  options.conversation = &conversation;
  options.max_tokens = 200;

  sinter_status status = sinter_model_open(argv[1], NULL, &model, &error);
  if (!status) status = sinter_engine_create(model, NULL, NULL, &engine, &error);
  if (!status) status = sinter_engine_submit(engine, &options, &request, &error);
  while (!status && event.finish == SINTER_FINISH_NONE) {
    status = sinter_request_next(request, -1, &event, &error);
    if (!status) fwrite(event.text, 1, event.text_bytes, stdout), fflush(stdout);
  }
  if (status) fprintf(stderr, "%s\n", sinter_error_message(error));
  else printf("\n");

  sinter_error_free(error);
  sinter_request_free(request);
  sinter_engine_free(engine);
  sinter_model_free(model);
  return status != SINTER_OK;
}
