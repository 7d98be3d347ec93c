#include "cuda/module.h"

#include "device.h"
#include "table.h"

static const char *open_card(int card)
{
    return sg_cuda_open(card) == SG_OK ? NULL : sg_error_text();
}

extern "C" __attribute__((visibility("default"))) const struct sg_cuda_module *sg_cuda_module_get(void);

extern "C" const struct sg_cuda_module *sg_cuda_module_get(void)
{
    static const struct sg_cuda_module module = {SG_CUDA_MODULE_VERSION, (uint32_t)sizeof(struct sg_ops), open_card,
                                                 sg_ops_cuda, sg_cuda_close};
    return &module;
}
