#include "run/module.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"

enum sg_status sg_module_load(const char *file, void **out)
{
    *out = NULL;
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return SG_OK;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    static const char *const places[] = {"", "../lib/sealgrad/", "../../lib/sealgrad/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = sg_format("%s/%s%s", self, places[i], file);
        bool exists = access(path, F_OK) == 0;
        *out = exists ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
        free(path);
        if (exists)
            return *out ? SG_OK : sg_fail(SG_FAILED, "%s cannot be loaded: %s", file, dlerror());
    }
    return SG_OK;
}

enum sg_status sg_module_symbol(void *module, const char *file, const char *symbol, void **out)
{
    *out = dlsym(module, symbol);
    return *out ? SG_OK : sg_fail(SG_FAILED, "%s is not this version's; install program and modules together", file);
}
