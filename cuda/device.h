/* The device: one card, one stream on which everything happens in order, its memory, and its errors.
 *
 * Nothing here waits for the card but sg_cuda_sync, downloads and frees. An error of the card, whenever it shows, is
 * kept: the first one stays, later work is skipped or fails as well, and sg_cuda_sync gives it as one line with what to
 * do. So a caller checks the opening, its allocations and each sync, and nothing else.
 *
 * Not for several threads at once: one worker drives a card. */
#ifndef SG_CUDA_DEVICE_H
#define SG_CUDA_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/status.h"

/* Takes card `index`, counted as the driver does (CUDA_VISIBLE_DEVICES chooses what it counts). Fails when there is no
 * driver, none that is new enough, no card, not this many, or one older than sm_80. */
SG_MUST_USE enum sg_status sg_cuda_open(int index);
/* Waits, and gives the card back. Memory must have been freed. */
void sg_cuda_close(void);

/* Of the numeric environment: "NVIDIA H100 80GB HBM3 (sm_90, 132 multiprocessors), driver 13.0, runtime 13.0". Valid
 * while the card is open. */
const char *sg_cuda_environment(void);

/* Device memory, aligned to 256 bytes, not set. NULL after an error (then sg_cuda_sync tells it) and for 0 bytes. */
void *sg_cuda_alloc(size_t bytes);
void sg_cuda_free(void *at);
/* Host memory from which and to which copies do not wait (pinned). */
void *sg_cuda_alloc_host(size_t bytes);
void sg_cuda_free_host(void *at);

/* On the stream. `from` may change when the call returns, unless it is memory of sg_cuda_alloc_host: then after a sync.
 */
void sg_cuda_upload(void *to_device, const void *from, size_t bytes);
/* Waits when `to` is not of sg_cuda_alloc_host; otherwise what arrived may be read after a sync. */
void sg_cuda_download(void *to, const void *from_device, size_t bytes);
void sg_cuda_copy(void *to_device, const void *from_device, size_t bytes);
void sg_cuda_zero(void *at, size_t bytes);

/* Waits for everything before, and tells the first error since sg_cuda_open. */
SG_MUST_USE enum sg_status sg_cuda_sync(void);
/* The first error without waiting: its line, or NULL. */
const char *sg_cuda_error(void);

/* Bytes of device memory that are free now, and those that the card has. */
void sg_cuda_memory(size_t *free_bytes, size_t *total_bytes);

#ifdef __cplusplus
}
#endif
#endif
