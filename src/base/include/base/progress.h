/* Progress of long work on stderr: a bar that is redrawn when stderr is a terminal, a line every ten seconds when not. */
#ifndef SG_BASE_PROGRESS_H
#define SG_BASE_PROGRESS_H

#include <stdint.h>

struct sg_progress {
    const char *label;      /* "training" */
    int64_t total;          /* steps or bytes; 0 when unknown */
    double start_s, last_s; /* monotonic clock */
    int terminal;           /* 1 bar, 0 lines, -1 silent */
};

void sg_progress_begin(struct sg_progress *progress, const char *label, int64_t total);
/* `note` is short text such as "epsilon 1.32  12,300 units/s"; may be NULL. Cheap when nothing is due. */
void sg_progress_update(struct sg_progress *progress, int64_t done, const char *note);
/* Draws the last state and ends the line. Silent work stays silent. */
void sg_progress_end(struct sg_progress *progress, int64_t done, const char *note);
/* The work failed: ends the bar's line and claims nothing. */
void sg_progress_abandon(struct sg_progress *progress);
/* Seconds on the monotonic clock. */
double sg_clock_seconds(void);

#endif
