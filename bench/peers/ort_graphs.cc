// Runs models that come through standard input on ONNX Runtime's CPU provider, one after the other,
// until the input ends. `make fuzz-graphs` starts it; tests/graphs/peer.cc is the other side.
//
// Numbers are u64, little endian; a text is its length and its bytes. A request: the model, the
// number of inputs, for each its name, ONNX's number of its type, its rank, its dimensions and its
// bytes, then the number of outputs and their names. An answer: a text that is empty or says why
// the model did not run, then for each output its type, rank, dimensions and bytes.

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

void Read(void* data, size_t bytes) {
  if (bytes > 0 && std::fread(data, 1, bytes, stdin) != bytes) std::exit(0);
}

uint64_t ReadNumber() {
  uint64_t number = 0;
  Read(&number, sizeof(number));
  return number;
}

std::string ReadText() {
  std::string text(ReadNumber(), '\0');
  Read(text.data(), text.size());
  return text;
}

void WriteNumber(uint64_t number) { std::fwrite(&number, sizeof(number), 1, stdout); }

void WriteText(const void* data, size_t bytes) {
  WriteNumber(bytes);
  std::fwrite(data, 1, bytes, stdout);
}

struct Input {
  std::string name, bytes;
  ONNXTensorElementDataType type = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  std::vector<int64_t> shape;
};

struct Request {
  std::string model;
  std::vector<Input> inputs;
  std::vector<std::string> outputs;
};

Request ReadRequest() {
  Request request;
  request.model = ReadText();
  request.inputs.resize(ReadNumber());
  for (Input& input : request.inputs) {
    input.name = ReadText();
    input.type = static_cast<ONNXTensorElementDataType>(ReadNumber());
    input.shape.resize(ReadNumber());
    for (int64_t& dim : input.shape) dim = static_cast<int64_t>(ReadNumber());
    input.bytes = ReadText();
  }
  request.outputs.resize(ReadNumber());
  for (std::string& name : request.outputs) name = ReadText();
  return request;
}

std::vector<Ort::Value> Run(Ort::Env& env, Request& request) {
  Ort::SessionOptions options;
  options.SetIntraOpNumThreads(1);
  // Every node runs as it stands in the model.
  options.SetGraphOptimizationLevel(ORT_DISABLE_ALL);
  Ort::Session session(env, request.model.data(), request.model.size(), options);
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::vector<const char*> input_names, output_names;
  std::vector<Ort::Value> inputs;
  for (Input& input : request.inputs) {
    input_names.push_back(input.name.c_str());
    inputs.push_back(Ort::Value::CreateTensor(memory, input.bytes.data(), input.bytes.size(),
                                              input.shape.data(), input.shape.size(), input.type));
  }
  for (const std::string& name : request.outputs) output_names.push_back(name.c_str());
  return session.Run(Ort::RunOptions(), input_names.data(), inputs.data(), inputs.size(),
                     output_names.data(), output_names.size());
}

size_t ElementBytes(ONNXTensorElementDataType type) {
  switch (type) {
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8:
      return 1;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16:
      return 2;
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64:
    case ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE:
      return 8;
    default:
      return 4;
  }
}

}  // namespace

int main() {
  Ort::Env env(ORT_LOGGING_LEVEL_FATAL, "ort_graphs");
  for (;;) {
    Request request = ReadRequest();
    std::vector<Ort::Value> outputs;
    std::string refusal;
    try {
      outputs = Run(env, request);
    } catch (const Ort::Exception& error) {
      refusal = *error.what() != 0 ? error.what() : "an error without a message";
    }
    WriteText(refusal.data(), refusal.size());
    for (const Ort::Value& output : outputs) {
      const auto info = output.GetTensorTypeAndShapeInfo();
      WriteNumber(info.GetElementType());
      const std::vector<int64_t> shape = info.GetShape();
      WriteNumber(shape.size());
      for (const int64_t dim : shape) WriteNumber(static_cast<uint64_t>(dim));
      WriteText(output.GetTensorRawData(),
                info.GetElementCount() * ElementBytes(info.GetElementType()));
    }
    std::fflush(stdout);
  }
}
