// The functions of libcuda.so.1 that numba-cuda and cuda-core call; for what is not here, they are told that it is not.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

#include "emulator.h"

#define API extern "C" __attribute__((visibility("default"))) CUresult
static const char IMAGE_MARK[] = "EMULATED:";  // what stands where a machine code would be: this and a path
static const CUcontext THE_CONTEXT = (CUcontext)0x1234;
static const CUstream THE_STREAM = (CUstream)0x77;

struct Module {
    void* library;
    const Kernel* kernel;
    std::string name;
};

static double seconds_now() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// ---- the device
API cuInit(unsigned) { return CUDA_SUCCESS; }
API cuDriverGetVersion(int* version) { return *version = 13000, CUDA_SUCCESS; }
API cuDeviceGetCount(int* count) { return *count = 1, CUDA_SUCCESS; }
API cuDeviceGet(CUdevice* device, int number) { return *device = number, CUDA_SUCCESS; }
API cuDeviceGetName(char* name, int length, CUdevice) {
    snprintf(name, (size_t)length, "CUDA emulator");
    return CUDA_SUCCESS;
}
API cuDeviceGetUuid_v2(CUuuid* uuid, CUdevice) { return memset(uuid, 7, sizeof *uuid), CUDA_SUCCESS; }
API cuDeviceTotalMem_v2(size_t* bytes, CUdevice) { return *bytes = DEVICE_BYTES, CUDA_SUCCESS; }
API cuDeviceGetAttribute(int* value, CUdevice_attribute attribute, CUdevice) {
    switch ((int)attribute) {
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = 9; break;
        case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = 0; break;
        case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = settings.multiprocessors; break;
        case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *value = 1'000'000; break;  // kHz
        case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
        case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = WARP; break;
        case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 << 10; break;
        case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 0; break;
        default: *value = 1;  // cooperative launches, unified addresses and other abilities
    }
    return CUDA_SUCCESS;
}

// ---- contexts: one, on a stack of each thread
static thread_local std::vector<CUcontext> contexts;
API cuCtxGetCurrent(CUcontext* context) { return *context = contexts.empty() ? nullptr : contexts.back(), CUDA_SUCCESS; }
API cuCtxPushCurrent_v2(CUcontext context) { return contexts.push_back(context), CUDA_SUCCESS; }
API cuCtxPopCurrent_v2(CUcontext* context) {
    if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    if (context) *context = contexts.back();
    contexts.pop_back();
    return CUDA_SUCCESS;
}
API cuCtxSetCurrent(CUcontext context) {
    if (!contexts.empty()) contexts.pop_back();
    if (context) contexts.push_back(context);
    return CUDA_SUCCESS;
}
API cuCtxGetDevice(CUdevice* device) {
    if (contexts.empty()) return CUDA_ERROR_INVALID_CONTEXT;
    return *device = 0, CUDA_SUCCESS;
}
API cuCtxGetDevice_v2(CUdevice* device, CUcontext) { return *device = 0, CUDA_SUCCESS; }
API cuCtxGetFlags(unsigned* flags) { return *flags = 0, CUDA_SUCCESS; }
API cuCtxGetId(CUcontext, unsigned long long* id) { return *id = 1, CUDA_SUCCESS; }
API cuCtxSynchronize() { return CUDA_SUCCESS; }  // a launch has ended when its call returns
API cuCtxSynchronize_v2(CUcontext) { return CUDA_SUCCESS; }
API cuDevicePrimaryCtxRetain(CUcontext* context, CUdevice) { return *context = THE_CONTEXT, CUDA_SUCCESS; }
API cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
API cuDevicePrimaryCtxGetState(CUdevice, unsigned* flags, int* active) { return *flags = 0, *active = 1, CUDA_SUCCESS; }

// ---- memory
static CUresult checked(CUdeviceptr address, size_t bytes) {
    if (bytes == 0 || is_allocated(address, bytes)) return CUDA_SUCCESS;
    fprintf(stderr, "CUDA emulator: a copy of %zu bytes reaches beyond an array in global memory\n", bytes);
    return CUDA_ERROR_INVALID_VALUE;
}
API cuMemGetInfo_v2(size_t* free, size_t* total) {
    return *total = DEVICE_BYTES, *free = DEVICE_BYTES - allocated_bytes(), CUDA_SUCCESS;
}
API cuMemAlloc_v2(CUdeviceptr* address, size_t bytes) {
    uint64_t place = 0;
    CUresult result = allocate(&place, bytes);
    *address = place;
    return result;
}
API cuMemAllocAsync(CUdeviceptr* address, size_t bytes, CUstream) { return cuMemAlloc_v2(address, bytes); }
API cuMemFree_v2(CUdeviceptr address) { return release(address); }
API cuMemFreeAsync(CUdeviceptr address, CUstream) { return release(address); }
API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    if (CUresult wrong = checked(to, bytes)) return wrong;
    if (bytes) memset(written_flags(to), 1, bytes);
    return memcpy((void*)to, from, bytes), CUDA_SUCCESS;
}
API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    if (CUresult wrong = checked(from, bytes)) return wrong;
    return memcpy(to, (void*)from, bytes), CUDA_SUCCESS;
}
API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    if (CUresult wrong = checked(to, bytes)) return wrong;
    if (CUresult wrong = checked(from, bytes)) return wrong;
    if (bytes) memmove(written_flags(to), written_flags(from), bytes);
    return memmove((void*)to, (void*)from, bytes), CUDA_SUCCESS;
}
API cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
    if (CUresult wrong = checked(to, bytes)) return wrong;
    if (bytes) memset(written_flags(to), 1, bytes);
    return memset((void*)to, value, bytes), CUDA_SUCCESS;
}
API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, CUstream) { return cuMemcpyHtoD_v2(to, from, bytes); }
API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, CUstream) { return cuMemcpyDtoH_v2(to, from, bytes); }
API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) { return cuMemcpyDtoD_v2(to, from, bytes); }
API cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, CUstream) { return cuMemsetD8_v2(to, value, bytes); }
API cuMemGetAddressRange_v2(CUdeviceptr* begin, size_t* bytes, CUdeviceptr address) {
    const Allocation* found = allocation_near(address);
    if (!found || !is_allocated(address, 1)) return CUDA_ERROR_NOT_FOUND;
    if (begin) *begin = found->begin;
    if (bytes) *bytes = found->bytes;
    return CUDA_SUCCESS;
}
API cuPointerGetAttribute(void* value, CUpointer_attribute attribute, CUdeviceptr address) {
    if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_POINTER) {
        *(CUdeviceptr*)value = address;
    } else if (attribute == CU_POINTER_ATTRIBUTE_MEMORY_TYPE) {
        *(unsigned*)value = is_device_address(address) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST;
    } else {
        *(unsigned*)value = 0;
    }
    return CUDA_SUCCESS;
}

// ---- events and streams: everything is done at once; an event is the time of its record
API cuEventCreate(CUevent* event, unsigned) { return *event = (CUevent) new double(0), CUDA_SUCCESS; }
API cuEventDestroy_v2(CUevent event) { return delete (double*)event, CUDA_SUCCESS; }
API cuEventRecord(CUevent event, CUstream) { return *(double*)event = seconds_now(), CUDA_SUCCESS; }
API cuEventSynchronize(CUevent) { return CUDA_SUCCESS; }
API cuEventQuery(CUevent) { return CUDA_SUCCESS; }
API cuEventElapsedTime_v2(float* milliseconds, CUevent first, CUevent second) {
    return *milliseconds = (float)(1e3 * (*(double*)second - *(double*)first)), CUDA_SUCCESS;
}
API cuEventElapsedTime(float* milliseconds, CUevent first, CUevent second) {
    return cuEventElapsedTime_v2(milliseconds, first, second);
}
API cuStreamSynchronize(CUstream) { return CUDA_SUCCESS; }
API cuStreamQuery(CUstream) { return CUDA_SUCCESS; }
API cuStreamCreate(CUstream* stream, unsigned) { return *stream = THE_STREAM, CUDA_SUCCESS; }
API cuStreamDestroy_v2(CUstream) { return CUDA_SUCCESS; }
API cuStreamGetCtx(CUstream, CUcontext* context) { return *context = THE_CONTEXT, CUDA_SUCCESS; }
API cuStreamGetDevice(CUstream, CUdevice* device) { return *device = 0, CUDA_SUCCESS; }
API cuStreamIsCapturing(CUstream, CUstreamCaptureStatus* status) {
    return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
API cuStreamGetFlags(CUstream, unsigned* flags) { return *flags = 0, CUDA_SUCCESS; }

// ---- modules: an image is the path of a translated kernel
static void* this_library() {
    Dl_info found;
    dladdr((void*)cuInit, &found);
    return dlopen(found.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);  // translated kernels look for emu_... in it
}
API cuModuleLoadDataEx(CUmodule* module, const void* image, unsigned, CUjit_option*, void**) {
    const char* text = (const char*)image;
    if (strncmp(text, IMAGE_MARK, strlen(IMAGE_MARK))) {
        fprintf(stderr, "CUDA emulator: machine code cannot be run here, only what the emulator has translated\n");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    this_library();
    void* library = dlopen(text + strlen(IMAGE_MARK), RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "CUDA emulator: %s\n", dlerror());
        return CUDA_ERROR_INVALID_IMAGE;
    }
    *module = (CUmodule) new Module{library, (const Kernel*)dlsym(library, "emulated_kernel"), ""};
    return CUDA_SUCCESS;
}
API cuModuleLoadData(CUmodule* module, const void* image) { return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr); }
API cuModuleUnload(CUmodule module) {
    dlclose(((Module*)module)->library);
    return delete (Module*)module, CUDA_SUCCESS;
}
API cuModuleGetFunction(CUfunction* function, CUmodule module, const char* name) {
    ((Module*)module)->name = short_name(name);
    return *function = (CUfunction)module, CUDA_SUCCESS;
}
API cuLibraryLoadData(CUlibrary* library, const void* image, CUjit_option*, void**, unsigned, CUlibraryOption*, void**,
                      unsigned) {
    return cuModuleLoadData((CUmodule*)library, image);
}
API cuLibraryUnload(CUlibrary library) { return cuModuleUnload((CUmodule)library); }
API cuLibraryGetKernel(CUkernel* kernel, CUlibrary library, const char* name) {
    return cuModuleGetFunction((CUfunction*)kernel, (CUmodule)library, name);
}
API cuLibraryGetModule(CUmodule* module, CUlibrary library) { return *module = (CUmodule)library, CUDA_SUCCESS; }
API cuKernelGetFunction(CUfunction* function, CUkernel kernel) { return *function = (CUfunction)kernel, CUDA_SUCCESS; }
API cuKernelGetLibrary(CUlibrary* library, CUkernel kernel) { return *library = (CUlibrary)kernel, CUDA_SUCCESS; }
API cuKernelGetAttribute(int* value, CUfunction_attribute, CUkernel, CUdevice) { return *value = 128, CUDA_SUCCESS; }
API cuKernelGetParamInfo(CUkernel, size_t, size_t*, size_t*) { return CUDA_ERROR_INVALID_VALUE; }
API cuFuncGetAttribute(int* value, CUfunction_attribute, CUfunction) { return *value = 128, CUDA_SUCCESS; }
API cuFuncGetModule(CUmodule* module, CUfunction function) { return *module = (CUmodule)function, CUDA_SUCCESS; }
API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, CUfunction, int, size_t) { return *blocks = 1, CUDA_SUCCESS; }

// ---- launches
API cuLaunchKernelEx(const CUlaunchConfig* config, CUfunction function, void** parameters, void**) {
    const Module& module = *(Module*)function;
    const Kernel& kernel = *module.kernel;
    Launch launch{&kernel,
                  module.name,
                  {config->gridDimX, config->gridDimY, config->gridDimZ},
                  {config->blockDimX, config->blockDimY, config->blockDimZ},
                  config->sharedMemBytes,
                  false,
                  {}};
    for (unsigned k = 0; k < config->numAttrs; k++)
        if (config->attrs[k].id == CU_LAUNCH_ATTRIBUTE_COOPERATIVE) launch.cooperative = config->attrs[k].value.cooperative;
    if (launch.threads[0] * launch.threads[1] * launch.threads[2] > 1024 ||
        (uint64_t)launch.blocks[0] * launch.blocks[1] * launch.blocks[2] > MOST_BLOCKS ||
        kernel.shared_bytes + launch.dynamic_bytes > 227u << 10)
        return CUDA_ERROR_INVALID_VALUE;
    // the driver copies what is handed over, too
    std::vector<std::vector<char>> copies;
    for (int k = 0; k < kernel.n_parameters; k++)
        copies.emplace_back((char*)parameters[k], (char*)parameters[k] + kernel.parameter_bytes[k]);
    for (auto& copy : copies) launch.parameters.push_back(copy.data());
    return run(launch);
}
static CUresult launch_plainly(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                               unsigned bz, unsigned shared, void** parameters, int cooperative) {
    CUlaunchAttribute attribute{};
    attribute.id = CU_LAUNCH_ATTRIBUTE_COOPERATIVE;
    attribute.value.cooperative = cooperative;
    CUlaunchConfig config{};
    config.gridDimX = gx, config.gridDimY = gy, config.gridDimZ = gz;
    config.blockDimX = bx, config.blockDimY = by, config.blockDimZ = bz;
    config.sharedMemBytes = shared, config.attrs = &attribute, config.numAttrs = 1;
    return cuLaunchKernelEx(&config, function, parameters, nullptr);
}
API cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, CUstream, void** parameters, void**) {
    return launch_plainly(function, gx, gy, gz, bx, by, bz, shared, parameters, 0);
}
API cuLaunchCooperativeKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                              unsigned bz, unsigned shared, CUstream, void** parameters) {
    return launch_plainly(function, gx, gy, gz, bx, by, bz, shared, parameters, 1);
}

// ---- errors and names
API cuGetErrorString(CUresult, const char** text) { return *text = "an error of the CUDA emulator", CUDA_SUCCESS; }
API cuGetErrorName(CUresult, const char** name) { return *name = "CUDA_ERROR_EMULATED", CUDA_SUCCESS; }
API cuGetProcAddress_v2(const char* name, void** address, int, cuuint64_t, CUdriverProcAddressQueryResult* status) {
    static void* const self = this_library();
    *address = nullptr;
    for (const char* version : {"_v4", "_v3", "_v2", ""})
        if (!*address) *address = dlsym(self, (std::string(name) + version).c_str());
    if (status) *status = *address ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return CUDA_SUCCESS;
}
API cuGetProcAddress(const char* name, void** address, int version, cuuint64_t flags) {
    return cuGetProcAddress_v2(name, address, version, flags, nullptr);
}
