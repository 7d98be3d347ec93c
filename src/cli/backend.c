#include "backend.h"

#include <sched.h>
#include <string.h>

enum sg_status sg_backend_choose(const char *name, const struct sg_ops **out)
{
    if (name && strcmp(name, "reference") == 0) {
        *out = sg_ops_reference();
        return SG_OK;
    }
    if (name && strcmp(name, "cuda") == 0)
        return sg_fail(SG_FAILED, "backend cuda is not part of this build; use --backend cpu");
    if (name && strcmp(name, "cpu") != 0)
        return sg_fail(SG_USAGE, "unknown backend \"%s\"; cpu, cuda or reference", name);
    *out = sg_ops_cpu();
    return *out ? SG_OK : sg_fail(SG_FAILED, "backend cpu needs a processor with AVX2 and FMA; use --backend reference (slow)");
}

int sg_workers_choose(int64_t asked)
{
    if (asked > 0)
        return (int)asked;
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}
