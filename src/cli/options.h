/* Command-line options: a table of long flags, parsed strictly. Used by both programs. */
#ifndef SG_CLI_OPTIONS_H
#define SG_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum sg_option_type {
    SG_OPTION_FLAG,   /* bool: --name */
    SG_OPTION_TEXT,   /* const char *: --name VALUE or --name=VALUE */
    SG_OPTION_INT,    /* int64_t in [min, max] */
    SG_OPTION_NUMBER, /* double in [min, max] */
    SG_OPTION_LIST,   /* struct sg_option_list: may be repeated */
};

struct sg_option_list {
    const char *items[64];
    size_t n;
};

struct sg_option {
    const char *name; /* without the dashes */
    enum sg_option_type type;
    void *value;          /* keeps its value (the default) when the flag is absent */
    const char *argument; /* as help prints it: "FILE" */
    const char *help;     /* one line */
    double min, max;      /* INT and NUMBER, inclusive; both 0 means no limit */
    bool required;
};

struct sg_command_line {
    const char *name;    /* "epsilon", "ledger verify" */
    const char *summary; /* one line */
    const struct sg_option *options;
    size_t n_options;
    const char *positional_help; /* "FILE [RUN]"; NULL: none are taken */
    size_t positional_min, positional_max;
    const char *details; /* more help, whole lines; may be NULL */
};

/* argv[0] is the command's own name. Positional arguments are gathered, in order, at `positional` (room for positional_max).
 * --help prints the help on stdout and ends the program with 0. Faults are SG_USAGE and end with how to get help. */
SG_MUST_USE enum sg_status sg_options_parse(const struct sg_command_line *line, int argc, char **argv,
                                            const char **positional, size_t *n_positional);

/* A program's commands, and its main: prints the overview, dispatches, prints the error text of a failed command on stderr. */
struct sg_command {
    const char *name;
    enum sg_status (*run)(int argc, char **argv); /* NULL: another program runs it (sealgrad-trainer) */
    const char *summary;
};
int sg_main(const char *program, const struct sg_command *commands, size_t n_commands, int argc, char **argv);

#endif
