// Devices and tensors of the C library.

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "api/call.h"
#include "api/handles.h"
#include "base/dtype.h"

namespace sinter::api {
namespace {

sinter_device_info InfoOf(const gpu::AdapterInfo& adapter) {
  return {.size = sizeof(sinter_device_info),
          .name = adapter.name.c_str(),
          .vendor = adapter.vendor.c_str(),
          .driver = adapter.driver.c_str(),
          .type = adapter.type.c_str(),
          .backend = adapter.backend.c_str(),
          .refused = adapter.refused.c_str(),
          .memory_bytes = adapter.memory_bytes,
          .software = adapter.software ? 1 : 0};
}

// Returns the bytes of an element; throws InvalidArgument for another type than those of the
// header.
uint64_t ElementBytes(sinter_dtype dtype) {
  switch (dtype) {
    case SINTER_F32:
    case SINTER_U8:
    case SINTER_I8:
    case SINTER_I32:
    case SINTER_F16:
    case SINTER_U32:
      return static_cast<uint64_t>(DTypeBits(static_cast<DType>(dtype))) / 8;
    default:
      throw InvalidArgument("api", "dtype: got {}, want one of sinter_dtype's constants", dtype);
  }
}

// Throws InvalidArgument unless the bytes lie in the tensor and can be copied.
void CheckRange(const sinter_tensor& tensor, uint64_t offset, uint64_t bytes) {
  if (offset > tensor.bytes || bytes > tensor.bytes - offset) {
    throw InvalidArgument("api", "range: got {} bytes from {} on, want at most the tensor's {}",
                          bytes, offset, tensor.bytes);
  }
  if (offset % 4 != 0 || (bytes % 4 != 0 && offset + bytes != tensor.bytes)) {
    throw InvalidArgument(
        "api", "range: got {} bytes from {} on, want multiples of 4, or up to the tensor's end",
        bytes, offset);
  }
}

}  // namespace
}  // namespace sinter::api

using namespace sinter;       // NOLINT(google-build-using-namespace): the functions are C's
using namespace sinter::api;  // NOLINT(google-build-using-namespace)

sinter_status sinter_device_list(void (*found)(void* user, const sinter_device_info* info),
                                 void* user, sinter_error** error) {
  return Guard(error, [&] {
    Required(found, "found");
    for (const gpu::AdapterInfo& adapter : gpu::ListAdapters()) {
      const sinter_device_info info = InfoOf(adapter);
      found(user, &info);
    }
  });
}

sinter_status sinter_device_open(const sinter_device_options* options, sinter_device** device,
                                 sinter_error** error) {
  return Guard(error, [&] {
    Required(device, "device");
    const sinter_device_options given =
        ReadOptions(options, sinter_device_options SINTER_DEVICE_OPTIONS_INIT, "options");
    gpu::DeviceOptions wanted;
    if (given.adapter != nullptr) wanted.adapter = given.adapter;
    wanted.checked = given.checked != 0;
    wanted.cache_dir = given.cache_folder == nullptr ? gpu::DefaultCacheDir() : given.cache_folder;
    *device = new sinter_device{gpu::Device::Open(wanted)};
  });
}

sinter_status sinter_device_get_info(const sinter_device* device, sinter_device_info* info,
                                     sinter_error** error) {
  return Guard(error, [&] {
    WriteInfo(info, InfoOf(Required(device, "device").device->adapter()), "info");
  });
}

void sinter_device_free(sinter_device* device) { delete device; }

sinter_status sinter_tensor_create(sinter_device* device, sinter_dtype dtype, const int64_t* dims,
                                   size_t rank, sinter_tensor** tensor, sinter_error** error) {
  return Guard(error, [&] {
    Required(tensor, "tensor");
    const auto& opened = Required(device, "device").device;
    uint64_t bytes = ElementBytes(dtype);
    for (size_t i = 0; i < rank; ++i) {
      const int64_t dim = (&Required(dims, "dims"))[i];
      if (dim < 1) throw InvalidArgument("api", "dims[{}]: got {}, want at least 1", i, dim);
      if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes))
        throw gpu::ResourceError("api", "tensor: got more than 2^64 bytes, want less");
    }
    gpu::Buffer buffer = opened->CreateBuffer(bytes, "tensor");
    *tensor = new sinter_tensor{opened, std::move(buffer), bytes};
  });
}

void sinter_tensor_free(sinter_tensor* tensor) { delete tensor; }

uint64_t sinter_tensor_bytes(const sinter_tensor* tensor) {
  return tensor == nullptr ? 0 : tensor->bytes;
}

sinter_status sinter_tensor_upload(sinter_tensor* tensor, uint64_t offset, const void* data,
                                   uint64_t bytes, sinter_error** error) {
  return Guard(error, [&] {
    CheckRange(Required(tensor, "tensor"), offset, bytes);
    if (bytes == 0) return;
    RequireMemory(data, "data");
    tensor->device->Check();
    tensor->device->Upload(tensor->buffer, offset, {static_cast<const std::byte*>(data), bytes});
  });
}

sinter_status sinter_tensor_download(const sinter_tensor* tensor, uint64_t offset, void* data,
                                     uint64_t bytes, sinter_error** error) {
  return Guard(error, [&] {
    CheckRange(Required(tensor, "tensor"), offset, bytes);
    if (bytes == 0) return;
    RequireMemory(data, "data");
    const std::vector<std::byte> copy =
        tensor->device->Download(tensor->buffer, offset, (bytes + 3) / 4 * 4);
    std::copy_n(copy.begin(), bytes, static_cast<std::byte*>(data));
  });
}

sinter_status sinter_tensor_copy(const sinter_tensor* from, sinter_tensor* to,
                                 sinter_error** error) {
  return Guard(error, [&] {
    const sinter_tensor& source = Required(from, "from");
    const sinter_tensor& target = Required(to, "to");
    if (source.device != target.device || source.bytes != target.bytes || from == to) {
      throw InvalidArgument("api",
                            "copy: got tensors of {} and {} bytes{}, want two of the same "
                            "size on one device",
                            source.bytes, target.bytes,
                            from == to                       ? ", the same one twice"
                            : source.device != target.device ? " on two devices"
                                                             : "");
    }
    source.device->Check();
    gpu::CommandList list(*source.device);
    list.Copy(source.buffer, 0, target.buffer, 0, (source.bytes + 3) / 4 * 4);
    source.device->Submit(list);
  });
}
