/* The accountant over its whole region: q 1e-7..1, sigma 0.2..200, T 1..1e8, delta 1e-15..0.1, log-uniform, in chains.
 * Each setting differs from the one before in one parameter, so that every evaluation is also its neighbour's witness:
 * the dearer of two may not cost less, up to the stated errors. Half of the moves are tiny, half draw the parameter
 * afresh; both keep the law log-uniform.
 *
 *   bench_account_chains FILE FIRST LAST    chains FIRST to LAST - 1, 50 settings each, appended to FILE; a chain is
 *                                           written whole, and those that FILE has already are not run again
 *   bench_account_chains FILE               what FILE holds, as one JSON object
 *
 * A line of FILE: chain, number, q, sigma, T, delta, upper, lower, engine, CPU ms, verdict. Exit status 1 when a
 * verdict is not "ok", 3 when one evaluation took a minute of CPU time. */
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "account/account.h"
#include "timing.h"

enum { LENGTH = 50, LINE_MAX_BYTES = 400 };

/* ln q, ln sigma, ln T, ln delta; epsilon rises with q and T, and falls in sigma and delta. */
enum { RATE, NOISE, STEPS, DELTA, N_PARAMETERS };
static const double low[] = {1e-7, 0.2, 1, 1e-15}, high[] = {1, 200, 1e8, 0.1};
static const int rises[] = {1, -1, 1, -1};

struct setting {
    double value[N_PARAMETERS];
};

static double uniform(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)((*state >> 11) + 1) * 0x1p-53;
}

static double draw(uint64_t *seed, int which)
{
    if (which == RATE && uniform(seed) < 0.02)
        return 1; /* the end of the range is a case of its own */
    double x = low[which] * exp(log(high[which] / low[which]) * uniform(seed));
    return which == STEPS ? floor(x) : x;
}

/* Moves one parameter; which way epsilon goes is returned: 1 up, -1 down, 0 where nothing moved. */
static int move(uint64_t *seed, struct setting *s)
{
    int which = (int)(uniform(seed) * N_PARAMETERS) % N_PARAMETERS;
    double before = s->value[which], after = draw(seed, which);
    if (uniform(seed) < 0.5) {
        double size = exp(log(1e-9) + log(0.3 / 1e-9) * uniform(seed)), up = uniform(seed) < 0.5 ? 1 : -1;
        after = which == STEPS ? before + up * ceil(before * size) : before * exp(up * size);
    }
    if (!(after >= low[which] && after <= high[which]))
        return 0;
    s->value[which] = after;
    return (after > before) - (after < before) == 0 ? 0 : after > before ? rises[which] : -rises[which];
}

static void too_long(int signal_number)
{
    (void)signal_number;
    static const char text[] = "one evaluation took a minute of CPU time: the last chain of this seed is at fault\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(3);
}

static const char *verdict(const struct sg_epsilon *e, const struct sg_epsilon *before, int direction)
{
    if (!(e->epsilon >= 0 && isfinite(e->epsilon)))
        return "not_finite";
    if (!(e->epsilon_lower >= 0 && e->epsilon_lower <= e->epsilon))
        return "bounds_cross";
    if (!(e->epsilon <= e->epsilon_rdp))
        return "above_rdp";
    if ((direction > 0 && !(e->epsilon >= before->epsilon_lower)) ||
        (direction < 0 && !(before->epsilon >= e->epsilon_lower)))
        return "not_monotone";
    return "ok";
}

/* One evaluation; its line goes to the end of `text`. */
static struct sg_epsilon evaluate(const struct setting *s, long chain, int number, const struct sg_epsilon *before,
                                  int direction, char *text)
{
    struct sg_phase phase = {s->value[RATE], s->value[NOISE], (int64_t)s->value[STEPS]};
    struct sg_history history = {.sensitivity = 1, .phases = &phase, .n_phases = 1};
    struct sg_epsilon e = {NAN, NAN, NAN, "none"};
    struct itimerval limit = {.it_value = {60, 0}};
    setitimer(ITIMER_VIRTUAL, &limit, NULL);
    double start = clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
    bool ok = sg_account_epsilon(&history, s->value[DELTA], &e) == SG_OK;
    double ms = 1e3 * (clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - start);
    const char *says = ok ? verdict(&e, before, direction) : "failed";
    snprintf(text, LINE_MAX_BYTES, "%ld,%d,%.17g,%.17g,%lld,%.17g,%.17g,%.17g,%s,%.3f,%s\n", chain, number,
             phase.sample_rate, phase.noise_multiplier, (long long)phase.steps, s->value[DELTA], e.epsilon,
             e.epsilon_lower, e.accountant, ms, says);
    if (strcmp(says, "ok") != 0)
        fprintf(stderr, "%s", text);
    return e;
}

static void run_chain(long chain, FILE *file)
{
    char *text = calloc(LENGTH, LINE_MAX_BYTES);
    if (!text)
        exit(2);
    uint64_t seed = (uint64_t)chain * 0x9e3779b97f4a7c15u + 0x5ea1;
    struct setting s;
    struct sg_epsilon e = {0, 0, 0, ""};
    size_t n = 0;
    for (int k = 0; k < 20; k++)
        (void)uniform(&seed);
    for (int k = 0; k < N_PARAMETERS; k++)
        s.value[k] = draw(&seed, k);
    for (int i = 0; i < LENGTH; i++) {
        int direction = 0;
        while (i > 0 && direction == 0)
            direction = move(&seed, &s);
        e = evaluate(&s, chain, i, &e, direction, text + n);
        n += strlen(text + n);
    }
    if (fwrite(text, 1, n, file) != n || fflush(file))
        exit(2);
    free(text);
}

/* The chains that the file has: they were written in order. */
static long last_chain(const char *path)
{
    char line[LINE_MAX_BYTES];
    long last = -1;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        last = strtol(line, NULL, 10);
    if (file)
        fclose(file);
    return last;
}

struct totals {
    long n, bad, tight, zero, engine[4];
    double *ms;
};

static void count_line(char *line, struct totals *t)
{
    static const char *const engines[] = {"contour", "pld", "closed_form", "rdp"};
    char *field[11] = {strtok(line, ",\n")};
    for (int i = 1; i < 11; i++)
        field[i] = field[i - 1] ? strtok(NULL, ",\n") : NULL;
    if (!field[10])
        return;
    double upper = strtod(field[6], NULL), lower = strtod(field[7], NULL);
    t->ms = realloc(t->ms, (size_t)(t->n + 1) * sizeof *t->ms);
    if (!t->ms)
        exit(2);
    t->ms[t->n++] = strtod(field[9], NULL);
    t->bad += strcmp(field[10], "ok") != 0;
    t->tight += upper - lower <= 1e-6 * upper;
    t->zero += upper > 0 && lower == 0;
    for (int k = 0; k < 4; k++)
        t->engine[k] += strcmp(field[8], engines[k]) == 0;
}

static int summarise(const char *path)
{
    char line[LINE_MAX_BYTES];
    struct totals t = {0};
    double sum = 0;
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        count_line(line, &t);
    if (!file || !t.n)
        return 2;
    fclose(file);
    sort_doubles(t.ms, (size_t)t.n);
    for (long i = 0; i < t.n; i++)
        sum += t.ms[i];
    printf("{\"settings\":%ld,\"not_ok\":%ld,\"contour\":%ld,\"pld\":%ld,\"closed_form\":%ld,\"rdp\":%ld,"
           "\"gap_below_1e-6\":%ld,\"no_lower_bound\":%ld,\"ms_mean\":%.2f,\"ms_median\":%.3f,\"ms_p90\":%.3f,"
           "\"ms_p99\":%.3f,\"ms_max\":%.3f}\n",
           t.n, t.bad, t.engine[0], t.engine[1], t.engine[2], t.engine[3], t.tight, t.zero, sum / (double)t.n,
           t.ms[t.n / 2], t.ms[t.n * 9 / 10], t.ms[t.n * 99 / 100], t.ms[t.n - 1]);
    free(t.ms);
    return t.bad != 0;
}

int main(int argc, char **argv)
{
    if (argc == 2)
        return summarise(argv[1]);
    if (argc != 4) {
        fprintf(stderr, "bench_account_chains FILE [FIRST LAST]\n");
        return 2;
    }
    long first = strtol(argv[2], NULL, 10), last = strtol(argv[3], NULL, 10), done = last_chain(argv[1]);
    FILE *file = fopen(argv[1], "a");
    if (!file)
        return 2;
    signal(SIGVTALRM, too_long);
    for (long chain = done >= first ? done + 1 : first; chain < last; chain++)
        run_chain(chain, file);
    fclose(file);
    return summarise(argv[1]);
}
