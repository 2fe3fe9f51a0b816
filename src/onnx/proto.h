// Field numbers and enum values of onnx.proto
// (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto) that Sinter reads, writes or refuses.
// Each message has a namespace of its name.
#pragma once

#include <cstdint>
#include <string>

namespace sinter::onnx::proto {

using Field = uint32_t;

namespace model {
constexpr Field kIrVersion = 1, kProducerName = 2, kProducerVersion = 3, kGraph = 7,
                kOpsetImport = 8, kTrainingInfo = 20, kFunctions = 25;
}
namespace opset {
constexpr Field kDomain = 1, kVersion = 2;
}
namespace graph {
constexpr Field kNode = 1, kName = 2, kInitializer = 5, kInput = 11, kOutput = 12, kValueInfo = 13,
                kSparseInitializer = 15;
}
namespace node {
constexpr Field kInput = 1, kOutput = 2, kName = 3, kOpType = 4, kAttribute = 5, kDomain = 7;
}
namespace attribute {
constexpr Field kName = 1, kFloat = 2, kInt = 3, kString = 4, kTensor = 5, kGraph = 6, kFloats = 7,
                kInts = 8, kStrings = 9, kTensors = 10, kType = 20, kRefAttrName = 21;
}
namespace tensor {
constexpr Field kDims = 1, kDataType = 2, kSegment = 3, kFloatData = 4, kInt32Data = 5,
                kStringData = 6, kInt64Data = 7, kName = 8, kRawData = 9, kDoubleData = 10,
                kUint64Data = 11, kExternalData = 13, kDataLocation = 14;
}
namespace string_entry {
constexpr Field kKey = 1, kValue = 2;
}
namespace value_info {
constexpr Field kName = 1, kType = 2;
}
namespace type {
constexpr Field kTensor = 1, kSequence = 4, kMap = 5, kOpaque = 7, kSparseTensor = 8, kOptional = 9;
}
namespace tensor_type {
constexpr Field kElemType = 1, kShape = 2;
}
namespace shape {
constexpr Field kDim = 1;
}
namespace dim {
constexpr Field kValue = 1, kParam = 2;
}

// AttributeProto.AttributeType.
enum class AttributeType : int32_t {
  kUndefined = 0,
  kFloat = 1,
  kInt = 2,
  kString = 3,
  kTensor = 4,
  kGraph = 5,
  kFloats = 6,
  kInts = 7,
  kStrings = 8,
  kTensors = 9,
  kGraphs = 10,
  kSparseTensor = 11,
  kSparseTensors = 12,
  kTypeProto = 13,
  kTypeProtos = 14,
};

// TensorProto.DataLocation.
constexpr int32_t kLocationDefault = 0;
constexpr int32_t kLocationExternal = 1;

// Range of IR versions that Sinter knows. Version 3 dates from 2017; 13 is the newest version that
// was checked.
constexpr int64_t kMinIrVersion = 3;
constexpr int64_t kMaxIrVersion = 13;

// Upper bound of protobuf itself on the bytes of one message.
constexpr uint64_t kMaxMessageBytes = 0x7fffffff;

// Returns the name of a TensorProto.DataType, also for types that Sinter refuses: "float8e4m3fn
// (17)".
std::string DataTypeName(int32_t data_type);

}  // namespace sinter::onnx::proto
