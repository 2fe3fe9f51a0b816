// Answers several questions at the same time, and prints each answer when it ends.
//   many MODEL QUESTION...
#include <poll.h>

#include <cstdio>
#include <sinter/sinter.hpp>

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::fprintf(stderr, "usage: %s MODEL QUESTION...\n", argv[0]);
    return 2;
  }
  const sinter::Model model(argv[1]);
  sinter_engine_options engine_options = SINTER_ENGINE_OPTIONS_INIT;
  engine_options.log = [](void*, int32_t, const char* line) { std::fprintf(stderr, "%s\n", line); };
  sinter::Engine engine(model, nullptr, &engine_options);

  sinter_request_options options = SINTER_REQUEST_OPTIONS_INIT;
  options.max_tokens = 200;
  std::vector<sinter::Request> requests;
  std::vector<std::string> answers(argc - 2);
  std::vector<pollfd> waited;
  for (int i = 2; i < argc; ++i) {
    requests.push_back(engine.Submit({{"user", argv[i]}}, options));
    waited.push_back({requests.back().descriptor(), POLLIN, 0});
  }

  // One thread waits for all of them. poll() ignores negative descriptors.
  for (size_t left = requests.size(); left > 0;) {
    poll(waited.data(), waited.size(), -1);
    for (size_t i = 0; i < requests.size(); ++i) {
      if (waited[i].fd < 0 || waited[i].revents == 0) continue;
      const sinter_event event = *requests[i].Next();
      answers[i].append(event.text, event.text_bytes);
      if (event.finish == SINTER_FINISH_NONE) continue;
      std::printf("%s\n  %s\n", argv[i + 2], answers[i].c_str());
      waited[i].fd = -1;
      --left;
    }
  }
} catch (const sinter::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
