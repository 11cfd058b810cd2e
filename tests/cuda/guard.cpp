// A device guard that does nothing: without one, a build of PyTorch for CPUs refuses to run backward on "cuda".
#include <c10/core/impl/DeviceGuardImplInterface.h>
namespace c10::impl {
C10_REGISTER_GUARD_IMPL(CUDA, NoOpDeviceGuardImpl<DeviceType::CUDA>);
}
