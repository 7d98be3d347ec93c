/* JSON from outside, and the plan read from it: what was taken prints and reads back as the same value. */
#include "base/json.h"

#include <stdlib.h>

#include "account/plan.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *value = NULL, *again = NULL;
    fuzz_check(sg_json_parse((const char *)data, n, "input", SG_USAGE, &value), SG_USAGE);
    if (!value)
        return 0;
    struct sg_buffer text = {0};
    sg_json_dump(value, &text);
    fuzz_check(sg_json_parse(text.data, text.len, "print", SG_USAGE, &again), SG_USAGE);
    if (!json_equal(value, again))
        abort();
    struct sg_plan plan;
    enum sg_status status = sg_plan_from_json(value, SG_BROKEN, &plan);
    fuzz_check(status, SG_BROKEN);
    if (status == SG_OK) {
        json_t *printed = sg_plan_to_json(&plan);
        if (json_object_size(printed) != json_object_size(value))
            abort();
        json_decref(printed);
    }
    json_decref(value);
    json_decref(again);
    sg_buffer_free(&text);
    return 0;
}
