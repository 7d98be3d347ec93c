#include "base/progress.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR_CELLS 24

double sg_clock_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void sg_progress_begin(struct sg_progress *progress, const char *label, int64_t total)
{
    double now = sg_clock_seconds();
    *progress = (struct sg_progress){
        .label = label, .total = total, .start_s = now, .last_s = now, .terminal = isatty(STDERR_FILENO) ? 1 : 0};
}

static void print_duration(double seconds)
{
    int64_t s = seconds > 0 ? (int64_t)seconds : 0;
    if (s >= 3600)
        fprintf(stderr, "%lld:%02lld:%02lld", (long long)(s / 3600), (long long)(s / 60 % 60), (long long)(s % 60));
    else
        fprintf(stderr, "%lld:%02lld", (long long)(s / 60), (long long)(s % 60));
}

static void draw_bar(double share)
{
    char bar[BAR_CELLS + 1];
    int full = (int)(share * BAR_CELLS);
    memset(bar, '.', BAR_CELLS);
    memset(bar, '#', (size_t)full);
    bar[BAR_CELLS] = 0;
    fprintf(stderr, " [%s]", bar);
}

static void draw(const struct sg_progress *progress, int64_t done, const char *note, double now)
{
    if (progress->terminal == 1)
        fputs("\r\033[K", stderr); /* to the line's start, and clear it */
    fputs(progress->label, stderr);
    double elapsed = now - progress->start_s;
    if (progress->total > 0) {
        double share = (double)done / (double)progress->total;
        share = share < 0 ? 0 : share > 1 ? 1 : share;
        if (progress->terminal == 1)
            draw_bar(share);
        fprintf(stderr, " %3.0f%%  %lld/%lld", share * 100, (long long)done, (long long)progress->total);
        fputs("  ", stderr);
        print_duration(elapsed);
        if (share > 0 && share < 1) {
            fputs(", left ", stderr);
            print_duration(elapsed * (1 - share) / share);
        }
    } else {
        fprintf(stderr, " %lld  ", (long long)done);
        print_duration(elapsed);
    }
    if (note && *note)
        fprintf(stderr, "  %s", note);
    if (progress->terminal != 1)
        fputc('\n', stderr);
    fflush(stderr);
}

void sg_progress_update(struct sg_progress *progress, int64_t done, const char *note)
{
    if (progress->terminal < 0)
        return;
    double now = sg_clock_seconds();
    if (now - progress->last_s < (progress->terminal == 1 ? 0.1 : 10.0))
        return;
    progress->last_s = now;
    draw(progress, done, note, now);
}

void sg_progress_end(struct sg_progress *progress, int64_t done, const char *note)
{
    if (progress->terminal < 0)
        return;
    draw(progress, done, note, sg_clock_seconds());
    if (progress->terminal == 1)
        fputc('\n', stderr);
    fflush(stderr);
}

void sg_progress_abandon(struct sg_progress *progress)
{
    if (progress->terminal != 1)
        return;
    fputc('\n', stderr);
    fflush(stderr);
}
