/* A CSV file: the first byte chooses the separator. Fields end with the NUL that the reader promises, lines ascend. */
#include "format/csv.h"

#include <stdlib.h>

#include "fuzz.h"

struct seen {
    int64_t line;
};

static enum sg_status record(void *context, int64_t line, const struct sg_csv_field *fields, size_t n_fields)
{
    struct seen *seen = context;
    if (line <= seen->line || n_fields == 0)
        abort();
    seen->line = line;
    for (size_t i = 0; i < n_fields; i++)
        if (fields[i].text[fields[i].len] != 0)
            abort();
    return SG_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char separators[] = ",;\t |";
    struct seen seen = {0};
    if (n == 0)
        return 0;
    fuzz_check(sg_csv_read(fuzz_file(data + 1, n - 1), separators[data[0] % 5], record, NULL, &seen), SG_USAGE);
    return 0;
}
