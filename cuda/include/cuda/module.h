/* What sealgrad-cuda.so gives to the program that loads it, only for --backend cuda: so nobody else needs a driver.
 * The module holds its own copy of whatever it links; errors come as lines of text, which the program makes its own. */
#ifndef SG_CUDA_MODULE_H
#define SG_CUDA_MODULE_H

#include <stddef.h>
#include <stdint.h>

#include "ops/ops.h"

/* Counts every change of this struct or of the table. A program takes only a module of its own number. */
#define SG_CUDA_MODULE_VERSION 1
#define SG_CUDA_MODULE_FILE "sealgrad-cuda.so"

struct sg_cuda_module {
    uint32_t version;
    uint32_t table_bytes; /* sizeof(struct sg_ops): a second guard */
    /* Takes card number `card` (from 0, as the driver counts). NULL, or what went wrong and what to do, in one line. */
    const char *(*open)(int card);
    /* The table; its `arithmetic` names the card, the driver and the runtime once a card is open. Arrays of its ops are
     * device memory. */
    const struct sg_ops *(*table)(void);
    /* Waits, and gives the card back. */
    void (*close)(void);
};

/* The one exported symbol. */
#define SG_CUDA_MODULE_SYMBOL "sg_cuda_module_get"
typedef const struct sg_cuda_module *(*sg_cuda_module_function)(void);

#endif
