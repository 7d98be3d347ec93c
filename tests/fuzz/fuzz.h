/* What the fuzz targets share. Each defines the function that libFuzzer and replay.c call. */
#ifndef SG_TESTS_FUZZ_H
#define SG_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* A path under which the bytes can be read, in memory; valid until the next call. For readers that take files. */
const char *fuzz_file(const uint8_t *data, size_t n);

/* A reader either takes its input or says what is wrong with it: any other status, or no text, ends the program. */
void fuzz_check(enum sg_status status, enum sg_status fault);

#endif
