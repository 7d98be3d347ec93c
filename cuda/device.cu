#include "device.h"

#include <stdio.h>
#include <string.h>

#include "launch.h"

/* What the process holds of the card. */
static struct {
    bool is_open;
    cudaStream_t stream;
    char environment[512];
    char error[512]; /* "" until the first */
} device;

cudaStream_t sg_cuda_stream(void)
{
    return device.stream;
}

/* What to do about an error. */
static const char *advice(cudaError_t error)
{
    switch (error) {
    case cudaErrorMemoryAllocation:
        return "the card's memory is full: use a smaller batch or model, or end what else runs there (nvidia-smi)";
    case cudaErrorInsufficientDriver:
        return "no NVIDIA driver is installed, or it is older than this build needs (CUDA 13 needs 580); install a "
               "newer driver or use --backend cpu";
    case cudaErrorNoDevice:
        return "no card is visible (nvidia-smi, CUDA_VISIBLE_DEVICES); use --backend cpu on this machine";
    case cudaErrorInvalidDevice:
        return "there is no card of this number; nvidia-smi lists them";
    case cudaErrorDevicesUnavailable:
        return "another process holds the card for itself; wait for it or choose another card";
    case cudaErrorNoKernelImageForDevice:
        return "the card is older than sm_80 (Ampere), the least that this build supports; use --backend cpu";
    case cudaErrorLaunchFailure:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
        return "the card gave up the work: if its log (dmesg, Xid) names no hardware fault, please report this";
    case cudaErrorECCUncorrectable:
        return "the card's memory is damaged: reset or replace the card";
    default:
        return "the card is lost or faulty when this stays (dmesg, nvidia-smi); run again";
    }
}

/* Keeps the first error; true when there is none. */
static bool good(const char *what, cudaError_t error)
{
    if (error == cudaSuccess)
        return device.error[0] == 0;
    if (device.error[0] == 0)
        snprintf(device.error, sizeof device.error, "CUDA, %s: %s (error %d); %s", what, cudaGetErrorString(error),
                 (int)error, advice(error));
    cudaGetLastError(); /* taken: it is ours now */
    return false;
}

static enum sg_status told(void)
{
    return device.error[0] ? sg_fail(SG_FAILED, "%s", device.error) : SG_OK;
}

void sg_cuda_launched(const char *kernel)
{
    good(kernel, cudaGetLastError());
}

void sg_cuda_failed_launch(const char *kernel, cudaError_t error)
{
    good(kernel, error);
}

void sg_cuda_shared_opt_in_at(const void *kernel, const char *name, size_t bytes)
{
    assert(bytes <= SG_SHARED_BYTES_MAX);
    good(name, cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes));
}

int sg_cuda_resident_blocks_at(const void *kernel, const char *name, int block, size_t shared_bytes)
{
    int each = 0, index = 0;
    cudaDeviceProp card;
    if (!good(name, cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, kernel, block, shared_bytes)) ||
        !good(name, cudaGetDevice(&index)) || !good(name, cudaGetDeviceProperties(&card, index)))
        return 1;
    return each * card.multiProcessorCount;
}

/* ---- Opening ---- */

static void name_environment(const cudaDeviceProp *card)
{
    int driver = 0, runtime = 0;
    good("asking for the driver's version", cudaDriverGetVersion(&driver));
    good("asking for the runtime's version", cudaRuntimeGetVersion(&runtime));
    snprintf(device.environment, sizeof device.environment,
             "%.200s (sm_%d%d, %d multiprocessors), driver %d.%d, runtime %d.%d", card->name, card->major, card->minor,
             card->multiProcessorCount, driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
}

enum sg_status sg_cuda_open(int index)
{
    assert(!device.is_open);
    memset(&device, 0, sizeof device);
    int count = 0;
    cudaDeviceProp card;
    if (!good("looking for cards", cudaGetDeviceCount(&count)))
        return told();
    if (count == 0)
        good("looking for cards", cudaErrorNoDevice);
    else if (index < 0 || index >= count)
        return sg_fail(SG_USAGE, "there is no card %d: this machine shows %d, numbered from 0 (nvidia-smi)", index,
                       count);
    if (good("asking for the card", cudaGetDeviceProperties(&card, index)) && card.major < 8)
        good("asking for the card", cudaErrorNoKernelImageForDevice);
    if (good("taking the card", cudaSetDevice(index)))
        good("making a stream", cudaStreamCreateWithFlags(&device.stream, cudaStreamNonBlocking));
    name_environment(&card);
    device.is_open = device.error[0] == 0;
    return told();
}

void sg_cuda_close(void)
{
    if (!device.is_open)
        return;
    cudaStreamSynchronize(device.stream);
    cudaStreamDestroy(device.stream);
    memset(&device, 0, sizeof device);
}

const char *sg_cuda_environment(void)
{
    return device.environment;
}

/* ---- Memory ---- */

void *sg_cuda_alloc(size_t bytes)
{
    void *at = NULL;
    char what[64];
    snprintf(what, sizeof what, "asking for %.1f MiB of memory", (double)bytes / (1 << 20));
    return good(what, cudaMalloc(&at, bytes)) ? at : NULL;
}

void sg_cuda_free(void *at)
{
    good("freeing memory", cudaFree(at));
}

void *sg_cuda_alloc_host(size_t bytes)
{
    void *at = NULL;
    return good("asking for memory of the host", cudaMallocHost(&at, bytes)) ? at : NULL;
}

void sg_cuda_free_host(void *at)
{
    good("freeing memory of the host", cudaFreeHost(at));
}

void sg_cuda_upload(void *to_device, const void *from, size_t bytes)
{
    good("copying to the card", cudaMemcpyAsync(to_device, from, bytes, cudaMemcpyHostToDevice, device.stream));
}

void sg_cuda_download(void *to, const void *from_device, size_t bytes)
{
    if (!good("copying from the card", cudaMemcpyAsync(to, from_device, bytes, cudaMemcpyDeviceToHost, device.stream)))
        memset(to, 0, bytes); /* nothing undefined reaches a caller that looks before the sync */
}

void sg_cuda_copy(void *to_device, const void *from_device, size_t bytes)
{
    good("copying on the card",
         cudaMemcpyAsync(to_device, from_device, bytes, cudaMemcpyDeviceToDevice, device.stream));
}

void sg_cuda_zero(void *at, size_t bytes)
{
    good("clearing memory", cudaMemsetAsync(at, 0, bytes, device.stream));
}

enum sg_status sg_cuda_sync(void)
{
    good("waiting for the card", cudaStreamSynchronize(device.stream));
    return told();
}

const char *sg_cuda_error(void)
{
    return device.error[0] ? device.error : NULL;
}

void sg_cuda_memory(size_t *free_bytes, size_t *total_bytes)
{
    *free_bytes = *total_bytes = 0;
    good("asking for the memory's size", cudaMemGetInfo(free_bytes, total_bytes));
}
