#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char error_text[1024];

enum sg_status sg_fail(enum sg_status status, const char *format, ...)
{
    char text[sizeof error_text]; /* the arguments may hold the old text */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t i = 0;
    for (; text[i]; i++)
        error_text[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? '?' : text[i];
    error_text[i] = 0;
    return status;
}

const char *sg_error_text(void)
{
    return error_text;
}

void sg_error_clear(void)
{
    error_text[0] = 0;
}
