/* A file of tensors. Every value must be readable, every shape must multiply to its number of values. */
#include "format/safetensors.h"

#include <stdlib.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sg_safetensors file = {0};
    enum sg_status status = sg_safetensors_read(fuzz_file(data, n), &file);
    fuzz_check(status, SG_USAGE);
    volatile float last = 0;
    for (size_t i = 0; status == SG_OK && i < file.n_tensors; i++) {
        const struct sg_tensor *t = &file.tensors[i];
        int64_t product = 1;
        for (int k = 0; k < t->n_dimensions; k++)
            product *= t->shape[k];
        if (product != t->n || t->n > (int64_t)n || sg_safetensors_find(&file, t->name) == NULL)
            abort();
        for (int64_t k = 0; k < t->n; k++)
            last = t->data[k];
    }
    (void)last;
    sg_safetensors_free(&file);
    return 0;
}
