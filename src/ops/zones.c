#include "ops/zones.h"

#include <string.h>

#include "base/bytes.h"

static void *carve(char *base, size_t *used, size_t bytes)
{
    char *p = base ? base + *used : (char *)(uintptr_t)(*used + 64);
    *used += (bytes + 63) / 64 * 64;
    return p;
}

void *sg_zone_host(struct sg_zones *zones, size_t bytes)
{
    return carve(zones->host, &zones->host_bytes, bytes);
}

void *sg_zone_list(struct sg_zones *zones, size_t bytes)
{
    return carve(zones->lists, &zones->list_bytes, bytes);
}

void *sg_zone_tensor(struct sg_zones *zones, size_t bytes)
{
    return carve(zones->tensors, &zones->tensor_bytes, bytes);
}

size_t sg_zones_bytes(const struct sg_zones *sized)
{
    return sized->host_bytes + sized->list_bytes + sized->tensor_bytes;
}

struct sg_zones sg_zones_within(const struct sg_zones *sized, void *memory)
{
    char *host = memory, *lists = host + sized->host_bytes;
    return (struct sg_zones){.host = host, .lists = lists, .tensors = lists + sized->list_bytes};
}

enum sg_status sg_block_open(const struct sg_ops *ops, struct sg_zones *zones, struct sg_block *out)
{
    *out = (struct sg_block){.ops = ops, .host_bytes = zones->host_bytes + zones->list_bytes};
    if (!ops->far)
        out->host_bytes += zones->tensor_bytes;
    out->host = sg_alloc_pages(out->host_bytes);
    struct sg_zones placed = sg_zones_within(zones, out->host);
    if (ops->far) {
        out->far_bytes = zones->list_bytes + zones->tensor_bytes;
        out->far = ops->far->alloc(out->far_bytes + 64);
        if (!out->far) {
            sg_block_close(out);
            return sg_fail(SG_FAILED, "backend %s: the device has no %.1f MiB left; use a smaller --memory-limit",
                           ops->name, (double)(zones->list_bytes + zones->tensor_bytes) / 0x1p20);
        }
        placed.shift = (ptrdiff_t)((uintptr_t)out->far - (uintptr_t)placed.lists);
        placed.tensors = (char *)out->far + zones->list_bytes;
    }
    *zones = placed;
    return SG_OK;
}

void sg_block_close(struct sg_block *block)
{
    sg_free_pages(block->host, block->host_bytes);
    if (block->far)
        block->ops->far->release(block->far);
    *block = (struct sg_block){0};
}

void sg_list_upload(const struct sg_ops *ops, const void *list, size_t bytes, ptrdiff_t shift)
{
    if (ops->far && bytes)
        ops->far->upload((void *)((uintptr_t)list + (uintptr_t)shift), list, bytes);
}

void sg_ops_upload(const struct sg_ops *ops, void *to, const void *from_host, size_t bytes)
{
    if (ops->far && bytes)
        ops->far->upload(to, from_host, bytes);
    else if (bytes)
        memcpy(to, from_host, bytes);
}

void sg_ops_download(const struct sg_ops *ops, void *to_host, const void *from, size_t bytes)
{
    if (ops->far && bytes)
        ops->far->download(to_host, from, bytes);
    else if (bytes)
        memcpy(to_host, from, bytes);
}

void sg_ops_copy(const struct sg_ops *ops, void *to, const void *from, size_t bytes)
{
    if (ops->far && bytes)
        ops->far->copy(to, from, bytes);
    else if (bytes)
        memcpy(to, from, bytes);
}

void sg_ops_zero(const struct sg_ops *ops, void *at, size_t bytes)
{
    if (ops->far && bytes)
        ops->far->zero(at, bytes);
    else if (bytes)
        memset(at, 0, bytes);
}

enum sg_status sg_ops_check(const struct sg_ops *ops)
{
    const char *error = ops->far ? ops->far->sync() : NULL;
    return error ? sg_fail(SG_FAILED, "backend %s: %s", ops->name, error) : SG_OK;
}
