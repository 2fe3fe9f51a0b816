#include "api/call.h"

#include <new>

#include "base/check.h"
#include "engine/engine.h"
#include "gpu/device.h"

namespace sinter::api {
namespace {

sinter_status StatusOf(std::string& message) {
  try {
    throw;
  } catch (const Cancelled& e) {
    message = e.what();
    return SINTER_CANCELLED;
  } catch (const InvalidArgument& e) {
    message = e.what();
    return SINTER_INVALID_ARGUMENT;
  } catch (const engine::QueueFullError& e) {
    message = e.what();
    return SINTER_QUEUE_FULL;
  } catch (const gpu::ResourceError& e) {
    message = e.what();
    return SINTER_OUT_OF_MEMORY;
  } catch (const DeviceLostError& e) {
    message = e.what();
    return SINTER_DEVICE_LOST;
  } catch (const Error& e) {
    message = e.what();
    return SINTER_ERROR;
  } catch (const std::bad_alloc&) {
    message = "[api] main memory: got too little, want more";
    return SINTER_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    message = std::string("[api] a bug of Sinter: ") + e.what();
    return SINTER_INTERNAL;
  } catch (...) {
    return SINTER_INTERNAL;
  }
}

}  // namespace

sinter_status Failed(sinter_error** error) noexcept {
  try {
    std::string message;
    const sinter_status status = StatusOf(message);
    if (error != nullptr) *error = new sinter_error{status, std::move(message)};
    return status;
  } catch (...) {
    return SINTER_OUT_OF_MEMORY;
  }
}

}  // namespace sinter::api

uint32_t sinter_abi_version(void) { return SINTER_ABI_VERSION; }
const char* sinter_version(void) { return SINTER_VERSION; }

const char* sinter_status_name(sinter_status status) {
  switch (status) {
    case SINTER_OK:
      return "SINTER_OK";
    case SINTER_TIMEOUT:
      return "SINTER_TIMEOUT";
    case SINTER_TOO_SMALL:
      return "SINTER_TOO_SMALL";
    case SINTER_ERROR:
      return "SINTER_ERROR";
    case SINTER_INVALID_ARGUMENT:
      return "SINTER_INVALID_ARGUMENT";
    case SINTER_QUEUE_FULL:
      return "SINTER_QUEUE_FULL";
    case SINTER_OUT_OF_MEMORY:
      return "SINTER_OUT_OF_MEMORY";
    case SINTER_DEVICE_LOST:
      return "SINTER_DEVICE_LOST";
    case SINTER_CANCELLED:
      return "SINTER_CANCELLED";
    case SINTER_INTERNAL:
      return "SINTER_INTERNAL";
    default:
      return "unknown";
  }
}

const char* sinter_error_message(const sinter_error* error) {
  return error == nullptr ? "" : error->message.c_str();
}
sinter_status sinter_error_status(const sinter_error* error) {
  return error == nullptr ? SINTER_OK : error->status;
}
void sinter_error_free(sinter_error* error) { delete error; }
