#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char *fuzz_file(const uint8_t *data, size_t n)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("fuzz", MFD_CLOEXEC);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    if (file < 0 || ftruncate(file, 0) || pwrite(file, data, n, 0) != (ssize_t)n)
        abort();
    return path;
}

void fuzz_check(enum sg_status status, enum sg_status fault)
{
    if (status == SG_OK)
        return;
    if (status == fault && *sg_error_text()) {
        sg_error_clear();
        return;
    }
    fprintf(stderr, "status %d, text \"%s\"\n", (int)status, sg_error_text());
    abort();
}
