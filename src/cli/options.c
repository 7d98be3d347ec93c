#include "options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/number.h"
#include "code_digest.h"

static void print_help(const struct sg_command_line *line)
{
    printf("sealgrad %s: %s\n\nusage: sealgrad %s", line->name, line->summary, line->name);
    if (line->positional_help)
        printf(" %s", line->positional_help);
    printf("%s\n\n", line->n_options ? " [options]" : "");
    for (size_t i = 0; i < line->n_options; i++) {
        const struct sg_option *o = &line->options[i];
        char flag[64];
        snprintf(flag, sizeof flag, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
        printf("  %-30s %s%s\n", flag, o->help, o->required ? " (required)" : "");
    }
    printf("  %-30s %s\n", "--help", "this text");
    if (line->details)
        printf("\n%s", line->details);
}

static enum sg_status out_of_range(const struct sg_command_line *line, const struct sg_option *o)
{
    char low[32], high[32];
    sg_number_print(o->min, low);
    sg_number_print(o->max, high);
    return sg_fail(SG_USAGE, "%s: --%s must lie between %s and %s; see sealgrad %s --help", line->name, o->name, low, high,
                   line->name);
}

static enum sg_status set_value(const struct sg_command_line *line, const struct sg_option *o, const char *text)
{
    bool limited = o->min != 0 || o->max != 0;
    switch (o->type) {
    case SG_OPTION_FLAG:
        *(bool *)o->value = true;
        return SG_OK;
    case SG_OPTION_TEXT:
        if (!*text)
            return sg_fail(SG_USAGE, "%s: --%s must not be empty", line->name, o->name);
        *(const char **)o->value = text;
        return SG_OK;
    case SG_OPTION_LIST: {
        struct sg_option_list *list = o->value;
        if (list->n == sizeof list->items / sizeof *list->items)
            return sg_fail(SG_USAGE, "%s: --%s is given too often; 64 is the most", line->name, o->name);
        list->items[list->n++] = text;
        return SG_OK;
    }
    case SG_OPTION_INT: {
        int64_t v;
        if (!sg_number_int64(text, strlen(text), &v))
            return sg_fail(SG_USAGE, "%s: --%s takes a whole number, not \"%s\"", line->name, o->name, text);
        if (limited && ((double)v < o->min || (double)v > o->max))
            return out_of_range(line, o);
        *(int64_t *)o->value = v;
        return SG_OK;
    }
    case SG_OPTION_NUMBER: {
        double v;
        if (!sg_number_double(text, strlen(text), &v))
            return sg_fail(SG_USAGE, "%s: --%s takes a number, not \"%s\"", line->name, o->name, text);
        if (limited && (v < o->min || v > o->max))
            return out_of_range(line, o);
        *(double *)o->value = v;
        return SG_OK;
    }
    }
    return SG_OK;
}

static const struct sg_option *find(const struct sg_command_line *line, const char *name, size_t len)
{
    for (size_t i = 0; i < line->n_options; i++)
        if (strlen(line->options[i].name) == len && memcmp(line->options[i].name, name, len) == 0)
            return &line->options[i];
    return NULL;
}

static enum sg_status parse_flag(const struct sg_command_line *line, int argc, char **argv, int *at, uint64_t *seen)
{
    const char *name = argv[*at] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    const struct sg_option *o = find(line, name, len);
    if (!o)
        return sg_fail(SG_USAGE, "%s: unknown option --%.*s; see sealgrad %s --help", line->name, (int)len, name, line->name);
    uint64_t bit = UINT64_C(1) << (o - line->options);
    if ((*seen & bit) && o->type != SG_OPTION_LIST)
        return sg_fail(SG_USAGE, "%s: --%s is given twice", line->name, o->name);
    *seen |= bit;
    if (o->type == SG_OPTION_FLAG && equals)
        return sg_fail(SG_USAGE, "%s: --%s takes no value", line->name, o->name);
    if (o->type == SG_OPTION_FLAG)
        return set_value(line, o, NULL);
    if (equals)
        return set_value(line, o, equals + 1);
    if (*at + 1 >= argc)
        return sg_fail(SG_USAGE, "%s: --%s needs a value: --%s %s", line->name, o->name, o->name, o->argument);
    return set_value(line, o, argv[++*at]);
}

enum sg_status sg_options_parse(const struct sg_command_line *line, int argc, char **argv, const char **positional,
                                size_t *n_positional)
{
    uint64_t seen = 0; /* one bit an option: tables are shorter than 64 */
    size_t n = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(line);
            exit(0);
        }
        if (strncmp(argv[i], "--", 2) == 0 && argv[i][2]) {
            SG_TRY(parse_flag(line, argc, argv, &i, &seen));
        } else if (n < line->positional_max) {
            positional[n++] = argv[i];
        } else {
            return sg_fail(SG_USAGE, "%s: unexpected argument \"%s\"; see sealgrad %s --help", line->name, argv[i], line->name);
        }
    }
    for (size_t i = 0; i < line->n_options; i++)
        if (line->options[i].required && !(seen >> i & 1))
            return sg_fail(SG_USAGE, "%s: --%s %s is required; see sealgrad %s --help", line->name, line->options[i].name,
                           line->options[i].argument ? line->options[i].argument : "", line->name);
    if (n < line->positional_min)
        return sg_fail(SG_USAGE, "%s: expected %s; see sealgrad %s --help", line->name, line->positional_help, line->name);
    if (n_positional)
        *n_positional = n;
    return SG_OK;
}

static void print_overview(const char *program, const struct sg_command *commands, size_t n_commands)
{
    printf("%s: private training with a record that can be verified\n\nusage: %s COMMAND [arguments]; %s COMMAND --help\n\n",
           program, program, program);
    for (size_t i = 0; i < n_commands; i++)
        printf("  %-12s %s\n", commands[i].name, commands[i].summary);
    printf("\nexit status: 0 ok, 1 failed, 2 usage or bad input, 3 evidence broken, 4 evidence incomplete,\n"
           "             5 privacy budget refused, 6 stopped after a checkpoint\n");
}

/* sealgrad-trainer stands beside this program, or in libexec. The ranks of an MPI job come through here too. */
static enum sg_status run_trainer(char **argv)
{
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return sg_fail(SG_FAILED, "cannot find this program's own folder");
    self[n] = 0;
    *strrchr(self, '/') = 0;
    static const char *const places[] = {"", "../libexec/sealgrad/"};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char path[4200];
        snprintf(path, sizeof path, "%s/%ssealgrad-trainer", self, places[i]);
        if (access(path, X_OK) == 0) {
            execv(path, argv);
            return sg_fail(SG_FAILED, "%s could not be started", path);
        }
    }
    return sg_fail(SG_FAILED, "\"%s\" needs sealgrad-trainer, which is not installed here (a build with -Dtrainer=disabled has none)",
                   argv[1]);
}

int sg_main(const char *program, const struct sg_command *commands, size_t n_commands, int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        print_overview(program, commands, n_commands);
        return argc < 2 ? SG_USAGE : SG_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("sealgrad %s, code %s\n", SG_VERSION, SG_CODE_DIGEST);
        return SG_OK;
    }
    for (size_t i = 0; i < n_commands; i++) {
        if (strcmp(argv[1], commands[i].name) != 0)
            continue;
        enum sg_status status = commands[i].run ? commands[i].run(argc - 1, argv + 1) : run_trainer(argv);
        if (fflush(stdout) != 0 && status == SG_OK)
            status = sg_fail(SG_FAILED, "standard output could not be written");
        if (status != SG_OK && *sg_error_text())
            fprintf(stderr, "sealgrad: %s\n", sg_error_text());
        return (int)status;
    }
    fprintf(stderr, "sealgrad: unknown command \"%s\"; sealgrad --help lists them\n", argv[1]);
    return SG_USAGE;
}
