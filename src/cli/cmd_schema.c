#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "commands.h"
#include "data/schema.h"
#include "options.h"

enum sg_status sg_cmd_schema(int argc, char **argv)
{
    const char *out = NULL, *separator = ",", *positional[2];
    const struct sg_option options[] = {
        {"out", SG_OPTION_TEXT, &out, "FILE", "where the draft goes", 0, 0, true},
        {"separator", SG_OPTION_TEXT, &separator, "CHAR", "field separator (default ,)", 0, 0, false},
    };
    const struct sg_command_line line = {
        "schema", "draft a schema from a data file", options, sizeof options / sizeof *options, "draft DATA", 2, 2,
        "Names and types are proposed; bounds are left empty for a person to fill in from public knowledge, never from the rows.\n"};
    SG_TRY(sg_options_parse(&line, argc, argv, positional, NULL));
    if (strcmp(positional[0], "draft") != 0)
        return sg_fail(SG_USAGE, "schema: unknown verb \"%s\"; sealgrad schema draft DATA --out FILE", positional[0]);
    if (strlen(separator) != 1)
        return sg_fail(SG_USAGE, "schema: --separator is one character");
    if (sg_file_exists(out))
        return sg_fail(SG_USAGE, "%s: exists already; a schema may hold a person's work, so it is not overwritten", out);
    struct sg_buffer text = {0};
    enum sg_status status = sg_schema_draft(positional[1], separator[0], &text);
    if (status == SG_OK)
        status = sg_file_write(out, text.data, text.len, 0644);
    if (status == SG_OK)
        printf("%s is a draft: fill in roles, bounds and categories from public knowledge\n", out);
    sg_buffer_free(&text);
    return status;
}
