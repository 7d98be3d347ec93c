/* CUDA's runtime for the emulation: one device, whose memory watch.cc keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_errors.h"
#include "emulate.h"
#include "watch.h"

namespace
{
cudaError_t injected = cudaSuccess, last = cudaSuccess;

cudaError_t answer(cudaError_t own)
{
    if (injected != cudaSuccess) {
        own = injected;
        injected = cudaSuccess;
    }
    if (own != cudaSuccess)
        last = own;
    return own;
}
} // namespace

void emulated_error_next(enum emulated_error error)
{
    injected = error == EMULATED_NO_DEVICE    ? cudaErrorNoDevice
               : error == EMULATED_OLD_DRIVER ? cudaErrorInsufficientDriver
                                              : cudaErrorLaunchFailure;
}

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 1;
    return answer(cudaSuccess);
}

cudaError_t cudaSetDevice(int device)
{
    return answer(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaGetDevice(int *device)
{
    *device = 0;
    return answer(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *out, int device)
{
    *out = cudaDeviceProp();
    snprintf(out->name, sizeof out->name, "emulated device");
    out->totalGlobalMem = sg_watch_bytes_left();
    out->major = 8;
    out->multiProcessorCount = 4;
    return answer(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = 13000;
    return answer(cudaSuccess);
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = 13000;
    return answer(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned)
{
    *out = nullptr;
    return answer(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return answer(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return answer(cudaSuccess);
}

cudaError_t cudaMalloc(void **out, size_t bytes)
{
    cudaError_t error = answer(cudaSuccess);
    *out = error == cudaSuccess && bytes ? sg_watch_alloc(bytes) : nullptr;
    return error == cudaSuccess && bytes && !*out ? answer(cudaErrorMemoryAllocation) : error;
}

cudaError_t cudaFree(void *at)
{
    return answer(!at || sg_watch_free(at) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMallocHost(void **out, size_t bytes)
{
    *out = malloc(bytes);
    return answer(*out ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeHost(void *at)
{
    free(at);
    return answer(cudaSuccess);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t)
{
    bool to_device = kind != cudaMemcpyDeviceToHost, from_device = kind != cudaMemcpyHostToDevice;
    cudaError_t error = answer(cudaSuccess);
    if (error != cudaSuccess || bytes == 0)
        return error;
    if ((to_device && !sg_watch_holds(to, bytes)) || (from_device && !sg_watch_holds(from, bytes)))
        return answer(cudaErrorInvalidValue);
    /* What nobody wrote may travel, from one place of the device to another it stays unwritten. */
    bool written = !from_device || sg_watch_is_written(from, bytes);
    sg_watch_pages_open();
    memcpy(to, from, bytes);
    sg_watch_pages_close();
    if (to_device && written)
        sg_watch_mark_written(to, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t)
{
    cudaError_t error = answer(cudaSuccess);
    if (error != cudaSuccess || bytes == 0)
        return error;
    if (!sg_watch_holds(to, bytes))
        return answer(cudaErrorInvalidValue);
    sg_watch_pages_open();
    memset(to, value, bytes);
    sg_watch_pages_close();
    sg_watch_mark_written(to, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = sg_watch_bytes_left();
    return answer(cudaSuccess);
}

/* A launch's own error comes here. */
cudaError_t cudaGetLastError(void)
{
    cudaError_t error = answer(cudaSuccess);
    error = last;
    last = cudaSuccess;
    return error;
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorLaunchFailure:
        return "unspecified launch failure";
    default:
        return "another error";
    }
}

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute, int value)
{
    if (value > 163 * 1024)
        return answer(cudaErrorInvalidValue);
    sg_emulate_opt_in(kernel, (size_t)value);
    return answer(cudaSuccess);
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *out, const void *, int, size_t)
{
    *out = 2;
    return answer(cudaSuccess);
}
