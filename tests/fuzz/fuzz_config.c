/* A configuration: YAML, the typed tables, the sections' own rules. */
#include "fuzz.h"
#include "run/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sg_config *config = NULL;
    fuzz_check(sg_config_read(fuzz_file(data, n), &config), SG_USAGE);
    sg_config_close(&config);
    return 0;
}
