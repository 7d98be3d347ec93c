#include "parse_time.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* YYYY-MM-DD, optionally THH:MM:SS, taken as UTC. */
enum sg_status sg_parse_time(const char *option, const char *text, int64_t *out)
{
    int year, month, day, hour = 0, minute = 0, second = 0, used = 0, used_time = 0;
    *out = 0;
    if (!text)
        return SG_OK;
    bool good = sscanf(text, "%4d-%2d-%2d%n", &year, &month, &day, &used) == 3 && used == 10;
    if (good && text[used])
        good = sscanf(text + used, "T%2d:%2d:%2d%n", &hour, &minute, &second, &used_time) == 3 && used_time == 9 &&
               (!text[used + 9] || strcmp(text + used + 9, "Z") == 0);
    if (!good || month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60)
        return sg_fail(SG_USAGE, "--%s: expected YYYY-MM-DD or YYYY-MM-DDTHH:MM:SS, in UTC", option);
    /* Days from civil date: Howard Hinnant's algorithm. */
    int64_t y = year - (month <= 2), era = y / 400, in_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
    *out = ((days * 24 + hour) * 60 + minute) * 60000 + second * 1000;
    return SG_OK;
}
