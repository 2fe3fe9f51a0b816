// Runs a GenAI model folder on ONNX Runtime and prints its speed as JSON, for compare.py.
//
// It runs the folder as ONNX Runtime GenAI does: past and present share the KV cache's buffers of
// each layer, all inputs and outputs stay on the device, and decoding replays a captured graph if
// the folder allows it.

#include <onnxruntime_cxx_api.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using Json = nlohmann::json;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Args {
  std::string model, prompt_ids, provider = "webgpu", logits;
  int64_t new_tokens = 128, max_length = 0;
  int repeats = 5, warm_up = 1;
  bool no_capture = false;
};

// The fields of genai_config.json that are needed here.
struct Config {
  std::string file;
  std::string input_ids = "input_ids", mask = "attention_mask", positions = "position_ids";
  std::string past_key = "past_key_values.%d.key", past_value = "past_key_values.%d.value";
  std::string present_key = "present.%d.key", present_value = "present.%d.value";
  std::string logits = "logits";
  int64_t layers = 0, kv_heads = 0, head_size = 0, vocab = 0;
};

Json ReadJson(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file.string() + ": no such file");
  return Json::parse(stream);
}

Config ReadConfig(const std::filesystem::path& folder) {
  const Json model = ReadJson(folder / "genai_config.json").at("model");
  const Json& decoder = model.at("decoder");
  const Json inputs = decoder.value("inputs", Json::object()),
             outputs = decoder.value("outputs", Json::object());
  Config config;
  config.file = (folder / decoder.value("filename", "model.onnx")).string();
  config.input_ids = inputs.value("input_ids", config.input_ids);
  config.mask = inputs.value("attention_mask", config.mask);
  config.positions = inputs.value("position_ids", config.positions);
  config.past_key = inputs.value("past_key_names", config.past_key);
  config.past_value = inputs.value("past_value_names", config.past_value);
  config.present_key = outputs.value("present_key_names", config.present_key);
  config.present_value = outputs.value("present_value_names", config.present_value);
  config.logits = outputs.value("logits", config.logits);
  config.layers = decoder.at("num_hidden_layers");
  config.kv_heads = decoder.at("num_key_value_heads");
  config.head_size = decoder.at("head_size");
  config.vocab = model.at("vocab_size");
  return config;
}

std::string LayerName(std::string pattern, int64_t layer) {
  const size_t at = pattern.find("%d");
  return at == std::string::npos ? pattern : pattern.replace(at, 2, std::to_string(layer));
}

float HalfToFloat(uint16_t half) {
  const uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 0) {
    const float value = static_cast<float>(fraction) * 0x1p-24f;
    return sign != 0 ? -value : value;
  }
  const uint32_t bits = sign | (exponent == 31 ? 255u : exponent + 112) << 23 | fraction << 13;
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

// A session with its KV cache, and the buffers of one token's run.
class Model {
 public:
  Model(const Config& config, const Args& args, int64_t max_length)
      : config_(config), max_length_(max_length), webgpu_(args.provider == "webgpu") {
    capture_ = webgpu_ && !args.no_capture;
    Open();
    if (webgpu_) {
      const Ort::MemoryInfo info("WebGPU_Buf", OrtDeviceAllocator, 0, OrtMemTypeDefault);
      device_.emplace(*session_, info);
    }
    for (const std::string& name : session_->GetInputNames()) inputs_.push_back(name);
    for (const std::string& name : session_->GetOutputNames()) outputs_.push_back(name);
    logits_type_ = TypeOf(session_->GetOutputTypeInfo(IndexOf(outputs_, config_.logits)));
    const auto cache_type =
        TypeOf(session_->GetInputTypeInfo(IndexOf(inputs_, LayerName(config_.past_key, 0))));
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      AddCache(LayerName(config_.past_key, layer), LayerName(config_.present_key, layer),
               cache_type);
      AddCache(LayerName(config_.past_value, layer), LayerName(config_.present_value, layer),
               cache_type);
    }
    token_.emplace(NewRun(1));
  }

  bool capture() const { return capture_; }
  double load_seconds() const { return load_seconds_; }
  const std::string& capture_refused() const { return capture_refused_; }

  // Runs the prompt from an empty cache and waits; the logits stay on the device.
  void Prefill(const std::vector<int32_t>& prompt) {
    const auto length = static_cast<int64_t>(prompt.size());
    prompt_.emplace(NewRun(length));
    Upload(prompt_->ids, {prompt.begin(), prompt.end()});
    std::vector<int64_t> positions(prompt.size());
    for (int64_t i = 0; i < length; ++i) positions[static_cast<size_t>(i)] = i;
    Upload(prompt_->positions, positions);
    UploadMask(*prompt_, length);
    Run(*prompt_, /*captured=*/false);
    Wait(*prompt_);
    past_ = length;
    last_ = &*prompt_;
    last_rows_ = length;
  }

  // Runs one token after those in the cache. Returns as soon as ONNX Runtime does, without waiting.
  void Decode(int32_t token) {
    Upload(token_->ids, {token});
    Upload(token_->positions, {past_});
    UploadMask(*token_, past_ + 1);
    Run(*token_, capture_);
    ++past_;
    last_ = &*token_;
    last_rows_ = 1;
  }

  void WaitForToken() { Wait(*token_); }
  void Rewind(int64_t length) { past_ = length; }

  // Returns the last row of the last run's logits.
  std::vector<float> Logits() {
    const std::byte* row = LastRow();
    std::vector<float> logits(static_cast<size_t>(config_.vocab));
    for (size_t i = 0; i < logits.size(); ++i) {
      uint16_t bits = 0;
      if (half_logits()) {
        std::memcpy(&bits, row + i * 2, 2);
        logits[i] = HalfToFloat(bits);
      } else {
        std::memcpy(&logits[i], row + i * 4, 4);
      }
    }
    return logits;
  }

  // Returns the index of the first largest logit in that row. It compares halves without converting
  // them to f32, because its time counts.
  int32_t Choose() {
    const std::byte* row = LastRow();
    const auto count = static_cast<size_t>(config_.vocab);
    if (!half_logits()) {
      const auto* logits = reinterpret_cast<const float*>(row);
      return static_cast<int32_t>(std::max_element(logits, logits + count) - logits);
    }
    // Inverting all bits but the sign of negative halves makes the order of integers that of
    // values.
    const auto* bits = reinterpret_cast<const int16_t*>(row);
    const auto key = [](int16_t half) {
      return static_cast<int16_t>(half ^ ((half >> 15) & 0x7fff));
    };
    int16_t best = INT16_MIN;
    for (size_t i = 0; i < count; ++i) best = std::max(best, key(bits[i]));
    size_t token = 0;
    while (key(bits[token]) != best) ++token;
    return static_cast<int32_t>(token);
  }

 private:
  // Inputs and outputs of a run of `rows` tokens.
  struct Buffers {
    Ort::Value ids{nullptr}, mask{nullptr}, positions{nullptr}, logits{nullptr};
    int64_t rows = 0;
  };

  bool half_logits() const { return logits_type_ == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16; }

  const std::byte* LastRow() {
    const size_t elem_bytes = half_logits() ? 2 : 4;
    const size_t row_bytes = static_cast<size_t>(config_.vocab) * elem_bytes;
    const size_t before = static_cast<size_t>(last_rows_ - 1) * row_bytes;
    if (!webgpu_)
      return static_cast<const std::byte*>(last_->logits.GetTensorMutableRawData()) + before;
    host_.resize(before + row_bytes);
    const int64_t shape[] = {1, last_rows_, config_.vocab};
    Ort::Value copy =
        Ort::Value::CreateTensor(cpu_, host_.data(), host_.size(), shape, 3, logits_type_);
    Copy(last_->logits, copy);
    return host_.data() + before;
  }

  void Open() {
    const auto start = Clock::now();
    const auto open = [&](bool capture) {
      Ort::SessionOptions options;
      if (webgpu_) {
        options.AppendExecutionProvider("WebGPU", std::unordered_map<std::string, std::string>{
                                                      {"enableGraphCapture", capture ? "1" : "0"},
                                                      {"validationMode", "disabled"}});
      }
      session_.emplace(env_, config_.file.c_str(), options);
    };
    try {
      open(capture_);
    } catch (const Ort::Exception& error) {
      // Graphs that process the attention mask on the CPU cannot be captured.
      if (!capture_ || std::string(error.what()).find("graph capture") == std::string::npos) throw;
      capture_refused_ = error.what();
      capture_ = false;
      open(false);
    }
    load_seconds_ = SecondsSince(start);
  }

  static size_t IndexOf(const std::vector<std::string>& names, const std::string& name) {
    const auto it = std::find(names.begin(), names.end(), name);
    if (it == names.end()) throw std::runtime_error("the graph has no '" + name + "'");
    return static_cast<size_t>(it - names.begin());
  }

  static ONNXTensorElementDataType TypeOf(const Ort::TypeInfo& info) {
    return info.GetTensorTypeAndShapeInfo().GetElementType();
  }

  Ort::Value NewTensor(std::vector<int64_t> shape, ONNXTensorElementDataType type) {
    return webgpu_ ? Ort::Value::CreateTensor(*device_, shape.data(), shape.size(), type)
                   : Ort::Value::CreateTensor(host_allocator_, shape.data(), shape.size(), type);
  }

  void AddCache(const std::string& past, const std::string& present,
                ONNXTensorElementDataType type) {
    Ort::Value cache = NewTensor({1, config_.kv_heads, max_length_, config_.head_size}, type);
    present_of_[present] = past;
    cache_.emplace(past, std::move(cache));
  }

  Buffers NewRun(int64_t rows) {
    constexpr auto kInt64 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    Buffers buffers;
    buffers.rows = rows;
    buffers.ids = NewTensor({1, rows}, kInt64);
    buffers.positions = NewTensor({1, rows}, kInt64);
    if (capture_) buffers.mask = NewTensor({1, max_length_}, kInt64);
    buffers.logits = NewTensor({1, rows, config_.vocab}, logits_type_);
    return buffers;
  }

  void Copy(const Ort::Value& from, Ort::Value& to) {
    const OrtValue* sources[] = {from};
    OrtValue* targets[] = {to};
    Ort::ThrowOnError(Ort::GetApi().CopyTensors(env_, sources, targets, nullptr, 1));
  }

  void Upload(Ort::Value& to, const std::vector<int64_t>& values) {
    if (!webgpu_) {
      std::memcpy(to.GetTensorMutableData<int64_t>(), values.data(),
                  values.size() * sizeof(int64_t));
      return;
    }
    const int64_t shape[] = {1, static_cast<int64_t>(values.size())};
    const Ort::Value from = Ort::Value::CreateTensor<int64_t>(
        cpu_, const_cast<int64_t*>(values.data()), values.size(), shape, 2);
    Copy(from, to);
  }

  // Uploads the mask. For capture it has the cache's length, so that its shape never changes;
  // otherwise it has the sequence's.
  void UploadMask(Buffers& buffers, int64_t total) {
    std::vector<int64_t> mask(static_cast<size_t>(capture_ ? max_length_ : total), 0);
    std::fill_n(mask.begin(), total, 1);
    if (!capture_) buffers.mask = NewTensor({1, total}, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64);
    Upload(buffers.mask, mask);
  }

  void Run(Buffers& buffers, bool captured) {
    Ort::IoBinding binding(*session_);
    for (const std::string& name : inputs_) {
      if (name == config_.input_ids) {
        binding.BindInput(name.c_str(), buffers.ids);
      } else if (name == config_.mask) {
        binding.BindInput(name.c_str(), buffers.mask);
      } else if (name == config_.positions) {
        binding.BindInput(name.c_str(), buffers.positions);
      } else {
        binding.BindInput(name.c_str(), cache_.at(name));
      }
    }
    for (const std::string& name : outputs_) {
      binding.BindOutput(name.c_str(),
                         name == config_.logits ? buffers.logits : cache_.at(present_of_.at(name)));
    }
    Ort::RunOptions options;
    options.AddConfigEntry("gpu_graph_id", captured ? "1" : "-1");
    session_->Run(options, binding);
  }

  // Waits until the device has finished, by copying the ids back, which the queue does last.
  void Wait(Buffers& buffers) {
    if (!webgpu_) return;
    std::vector<int64_t> ids(static_cast<size_t>(buffers.rows));
    const int64_t shape[] = {1, buffers.rows};
    Ort::Value copy = Ort::Value::CreateTensor<int64_t>(cpu_, ids.data(), ids.size(), shape, 2);
    Copy(buffers.ids, copy);
  }

  Config config_;
  int64_t max_length_;
  bool webgpu_, capture_ = false;
  std::string capture_refused_;
  double load_seconds_ = 0;
  Ort::Env env_{ORT_LOGGING_LEVEL_FATAL, "peers"};
  std::optional<Ort::Session> session_;
  std::optional<Ort::Allocator> device_;
  Ort::AllocatorWithDefaultOptions host_allocator_;
  Ort::MemoryInfo cpu_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<std::string> inputs_, outputs_;
  ONNXTensorElementDataType logits_type_ = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::map<std::string, Ort::Value> cache_;
  std::map<std::string, std::string> present_of_;
  std::optional<Buffers> prompt_, token_;
  Buffers* last_ = nullptr;
  int64_t last_rows_ = 0, past_ = 0;
  std::vector<std::byte> host_;
};

Json SpreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 != 0 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {{"median", median}, {"min", values.front()}, {"max", values.back()}};
}

// Returns tokens per second for `count` tokens generated after the prompt. With `read`, the CPU
// chooses each token from the logits, as any caller of ONNX Runtime must. Otherwise the same token
// runs every time and nothing is read.
double DecodeRate(Model& model, int64_t prompt, int64_t count, int32_t token, bool read) {
  model.Rewind(prompt);
  const auto start = Clock::now();
  for (int64_t i = 1; i < count; ++i) {
    model.Decode(token);
    if (read) token = model.Choose();
  }
  if (!read) model.WaitForToken();
  return static_cast<double>(count - 1) / SecondsSince(start);
}

std::vector<int32_t> WriteLogits(Model& model, const std::vector<int32_t>& prompt,
                                 const Args& args) {
  std::ofstream stream(args.logits, std::ios::binary);
  std::vector<int32_t> tokens;
  model.Prefill(prompt);
  for (int64_t i = 0; i < args.new_tokens; ++i) {
    const std::vector<float> logits = model.Logits();
    stream.write(reinterpret_cast<const char*>(logits.data()),
                 static_cast<std::streamsize>(logits.size() * sizeof(float)));
    tokens.push_back(
        static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    if (i + 1 < args.new_tokens) model.Decode(tokens.back());
  }
  stream.close();
  if (!stream) throw std::runtime_error(args.logits + ": cannot be written");
  return tokens;
}

Json Bench(const Args& args) {
  const Config config = ReadConfig(args.model);
  const auto prompt = ReadJson(args.prompt_ids).get<std::vector<int32_t>>();
  const auto length = static_cast<int64_t>(prompt.size());
  if (prompt.empty() || *std::min_element(prompt.begin(), prompt.end()) < 0 ||
      *std::max_element(prompt.begin(), prompt.end()) >= config.vocab) {
    throw std::runtime_error(args.prompt_ids + ": want ids from 0 to " +
                             std::to_string(config.vocab - 1));
  }
  Model model(config, args, std::max(args.max_length, length + args.new_tokens));

  std::vector<double> prefill, first_token, decode, unread;
  for (int run = -args.warm_up; run < args.repeats; ++run) {
    const auto start = Clock::now();
    model.Prefill(prompt);
    const double seconds = SecondsSince(start);
    const int32_t token = model.Choose();
    const double first_seconds = SecondsSince(start);
    const double rate = DecodeRate(model, length, args.new_tokens, token, true);
    const double unread_rate = DecodeRate(model, length, args.new_tokens, token, false);
    if (run < 0) continue;
    prefill.push_back(static_cast<double>(length) / seconds);
    first_token.push_back(first_seconds);
    decode.push_back(rate);
    unread.push_back(unread_rate);
  }
  Json result = {{"onnxruntime", Ort::GetVersionString()},
                 {"provider", args.provider},
                 {"capture", model.capture()},
                 {"capture_refused", model.capture_refused()},
                 {"load_seconds", model.load_seconds()},
                 {"prompt_tokens", length},
                 {"new_tokens", args.new_tokens},
                 {"prefill_tokens_per_second", SpreadOf(prefill)},
                 {"time_to_first_token_seconds", SpreadOf(first_token)},
                 {"decode_tokens_per_second", SpreadOf(decode)},
                 {"decode_unread_tokens_per_second", SpreadOf(unread)}};
  if (!args.logits.empty()) {
    result["logits"] = {{"file", args.logits},
                        {"vocab_size", config.vocab},
                        {"tokens", WriteLogits(model, prompt, args)}};
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  Args args;
  CLI::App app("Runs a GenAI model folder on ONNX Runtime and prints its speed as JSON.");
  app.add_option("MODEL", args.model, "Model folder")->required();
  app.add_option("--prompt-ids", args.prompt_ids, "File with a JSON array of token ids")
      ->required();
  app.add_option("--provider", args.provider)
      ->check(CLI::IsMember({"webgpu", "cpu"}))
      ->capture_default_str();
  app.add_option("-n,--new-tokens", args.new_tokens)
      ->check(CLI::Range(2, 1 << 20))
      ->capture_default_str();
  app.add_option("-r,--repeat", args.repeats)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  app.add_option("--warm-up", args.warm_up)->check(CLI::Range(0, 1 << 20))->capture_default_str();
  app.add_option("--max-length", args.max_length, "Rows of the KV cache; at least what is needed");
  app.add_option("--logits", args.logits,
                 "Write the greedy tokens' logits: f32, [tokens, vocabulary]");
  app.add_flag("--no-capture", args.no_capture, "Do not capture the decode graph");
  CLI11_PARSE(app, argc, argv);
  try {
    std::cout << Bench(args).dump(2) << "\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "ort_runner: " << error.what() << "\n";
    return 1;
  }
}
