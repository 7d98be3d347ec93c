/* A schema: YAML, columns, encodings, layout, split. What it gives must fit together. */
#include "data/schema.h"

#include <stdlib.h>

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct sg_schema *schema = NULL;
    fuzz_check(sg_schema_parse("schema.yaml", (const char *)data, n, &schema), SG_USAGE);
    if (!schema)
        return 0;
    int64_t n_floats = sg_schema_n_features(schema) + sg_schema_n_static(schema);
    if ((sg_schema_n_features(schema) < 1) != (sg_schema_max_tokens(schema) > 0) || sg_schema_steps_max(schema) < 1 || !*sg_schema_unit(schema))
        abort();
    for (int64_t i = 0; i < n_floats && i < 1000; i++)
        if (!*sg_schema_float_name(schema, i))
            abort();
    sg_schema_close(&schema);
    return 0;
}
