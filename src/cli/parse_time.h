#ifndef SG_CLI_PARSE_TIME_H
#define SG_CLI_PARSE_TIME_H

#include <stdint.h>

#include "base/status.h"

/* YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, in UTC, as milliseconds since 1970; NULL gives 0. SG_USAGE naming the option. */
SG_MUST_USE enum sg_status sg_parse_time(const char *option, const char *text, int64_t *out);

#endif
