#include "backend.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cuda/module.h"
#include "run/module.h"

/* "cuda" or "cuda:N", N the number of a card. */
static enum sg_status card_number(const char *name, int *out)
{
    int64_t number = 0;
    if (name[4] == ':' && (!sg_number_int64(name + 5, strlen(name + 5), &number) || number < 0 || number > 1023))
        return sg_fail(SG_USAGE, "backend \"%s\": after cuda: stands the number of a card, 0 to 1023", name);
    *out = (int)number;
    return SG_OK;
}

static void (*close_card)(void);

/* What ends otherwise than by an error waits for the card and gives it back. */
static void close_at_exit(void)
{
    close_card();
}

static enum sg_status choose_cuda(const char *name, const struct sg_ops **out)
{
    int card = 0;
    void *module;
    sg_cuda_module_function function;
    SG_TRY(card_number(name, &card));
    SG_TRY(sg_module_load(SG_CUDA_MODULE_FILE, &module));
    if (!module)
        return sg_fail(SG_FAILED,
                       "backend cuda: %s is not installed here; build with -Dcuda=enabled (needs nvcc), or "
                       "use --backend cpu",
                       SG_CUDA_MODULE_FILE);
    SG_TRY(sg_module_symbol(module, SG_CUDA_MODULE_FILE, SG_CUDA_MODULE_SYMBOL, (void **)&function));
    const struct sg_cuda_module *cuda = function();
    if (cuda->version != SG_CUDA_MODULE_VERSION || cuda->table_bytes != sizeof **out)
        return sg_fail(SG_FAILED, "%s is of another version (%u, not %u); install program and modules together",
                       SG_CUDA_MODULE_FILE, cuda->version, SG_CUDA_MODULE_VERSION);
    const char *error = cuda->open(card);
    if (error)
        return sg_fail(SG_FAILED, "backend cuda: %s", error);
    close_card = cuda->close;
    atexit(close_at_exit);
    const struct sg_ops *table = cuda->table();
    if (!table->absorb)
        return sg_fail(SG_FAILED, "backend cuda: this build's table is not complete; use --backend cpu");
    *out = table;
    return SG_OK;
}

enum sg_status sg_backend_choose(const char *name, const struct sg_ops **out)
{
    if (name && strcmp(name, "reference") == 0) {
        *out = sg_ops_reference();
        return SG_OK;
    }
    if (name && strncmp(name, "cuda", 4) == 0 && (name[4] == 0 || name[4] == ':'))
        return choose_cuda(name, out);
    if (name && strcmp(name, "cpu") != 0)
        return sg_fail(SG_USAGE, "unknown backend \"%s\"; cpu, cuda or reference", name);
    *out = sg_ops_cpu();
    return *out ? SG_OK
                : sg_fail(SG_FAILED, "backend cpu needs a processor with AVX2 and FMA; use --backend reference (slow)");
}

int sg_workers_choose(int64_t asked)
{
    if (asked > 0)
        return (int)asked;
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}
