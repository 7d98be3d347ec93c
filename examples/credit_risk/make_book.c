/* Writes a synthetic credit book: CSV, long format, one row per customer and month, oldest month first. No row of it
 * is, or was derived from, a real person's.
 *
 * usage: make_book --customers N --months M --seed S --out FILE
 *
 * RECIPE. Everything about customer c follows from SplitMix64 started at mix(S) + mix(c): a customer's rows are the
 * same in a book of ten and of ten million. Amounts are whole currency units, ratios have three decimals. static age,
 * tenure, dependants, income (8 % blank), region, segment, channel, product, employment (3 % "NA"), education, housing.
 * A quality ~ N(0,1) that is in no column drives what follows. history     three customers in four have all M months,
 * the others a uniform 1..M of them. monthly     utilisation follows an AR(1) (.85) around a level set by quality;
 * balance = utilisation * limit; payment, purchases, cash, fees, interest, counts follow from it. months_late rises by
 * one with probability logit^-1(-3.2 - .9 quality + 1.6 (utilisation - .5)), twice as often when already late, and
 * otherwise falls back to 0 with probability .6. rolling     for 12 monthly series: mean, max, min and change over the
 * last 3, 6 and 12 months there are. bureau      5 kinds of account x 7 figures, drifting by month; telecom is "NA" for
 * one customer in five. market      8 series that depend on the month alone: carry nothing about anybody. label
 * default_12m, equal on all rows of a customer, 1 with probability p = logit^-1(eta) of *visible* values, at the last
 * month: eta = -3.8 + .6 min(months_late, 3) + .5 [max months_late over 6 months >= 2]
 *                       + 1.2 (utilisation_mean_6 - .5) + utilisation_change_6 + .2 min(card inquiries in 3 months, 4)
 *                       - .4 ln(income / 3000) (+ .2 where income is blank)
 *                       + .7 [utilisation_mean_3 > .8 and payment_ratio_mean_3 < .12] + .3 min(relapses, 4)
 *                 relapses: how often in the whole history a month on time was followed by a late one; only the
 * sequence shows it. THE LIMIT. p is known, so nothing can rank better than p does. The expected AUC of p (each
 * customer counted p times as a default and 1 - p times as none) and the AUC of p against the labels drawn are printed
 * and written to FILE.truth.json, from a histogram of p with 65,536 bins: memory does not grow with the book. */
#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/number.h"
#include "base/progress.h"

/* ---- columns ---- */

enum { N_STATIC = 11, N_MONTHLY = 17, N_ROLLED = 12, N_KINDS = 5, N_FIGURES = 7, N_MARKET = 8, WINDOW_MAX = 12 };
enum { N_VALUES = N_STATIC + N_MONTHLY + N_ROLLED * 12 + N_KINDS * N_FIGURES + N_MARKET, N_BINS = 65536 };

static const int64_t BLANK = INT64_MIN, NOT_AVAILABLE = INT64_MIN + 1;

static const char *const static_names[N_STATIC] = {"age",        "tenure_months", "dependants", "income",
                                                   "region",     "segment",       "channel",    "product",
                                                   "employment", "education",     "housing"};
/* The letter before a categorical code; 0 for a number. */
static const char static_letter[N_STATIC] = {0, 0, 0, 0, 'R', 'S', 'C', 'P', 'E', 'D', 'H'};

enum monthly {
    UTILISATION,
    BALANCE,
    PAYMENT,
    PAYMENT_RATIO,
    PURCHASES,
    CASH,
    FEES,
    INTEREST,
    N_TRANSACTIONS,
    MONTHS_LATE,
    SALARY,
    SAVINGS,
    LIMIT,
    MINIMUM_DUE,
    N_CASH,
    OVER_LIMIT,
    N_LOGINS, /* the first N_ROLLED are also rolled */
};
static const char *const monthly_names[N_MONTHLY] = {
    "utilisation",  "balance",     "payment",        "payment_ratio", "purchases", "cash",
    "fees",         "interest",    "n_transactions", "months_late",   "salary",    "savings",
    "credit_limit", "minimum_due", "n_cash",         "over_limit",    "n_logins"};
static const bool monthly_is_ratio[N_MONTHLY] = {[UTILISATION] = true, [PAYMENT_RATIO] = true};

static const int window[3] = {3, 6, 12};
static const char *const roll_names[4] = {"mean", "max", "min", "change"};
static const char *const kind_names[N_KINDS] = {"card", "loan", "mortgage", "retail", "telecom"};
static const char *const figure_names[N_FIGURES] = {"accounts", "open",         "balance",      "limit",
                                                    "arrears",  "inquiries_3m", "inquiries_12m"};

/* ---- draws ---- */

struct draws {
    uint64_t state;
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint64_t draw_word(struct draws *d)
{
    return mix(d->state += 0x9e3779b97f4a7c15u);
}

static double draw_uniform(struct draws *d)
{
    return (double)(draw_word(d) >> 11) * 0x1p-53;
}

static bool draw_chance(struct draws *d, double p)
{
    return draw_uniform(d) < p;
}

static int64_t draw_below(struct draws *d, int64_t n)
{
    return (int64_t)((unsigned __int128)draw_word(d) * (uint64_t)n >> 64);
}

/* Near enough to a Gaussian: the sum of four 16-bit uniforms, from one word, standardised. */
static double draw_normal(struct draws *d)
{
    uint64_t w = draw_word(d);
    double sum = (double)(w & 0xffff) + (double)(w >> 16 & 0xffff) + (double)(w >> 32 & 0xffff) + (double)(w >> 48);
    return (sum / 65536 - 2 + 2.0 / 65536) * 1.7320508075688772;
}

static double clamp(double v, double low, double high)
{
    return v < low ? low : v > high ? high : v;
}

static double logistic(double v)
{
    return 1 / (1 + exp(-v));
}

/* ---- text ---- */

static char *put_text(char *p, const char *text)
{
    size_t n = strlen(text);
    memcpy(p, text, n);
    return p + n;
}

static char *put_int(char *p, int64_t v)
{
    char digits[24];
    char *end = digits + sizeof digits, *q = end;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--q = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--q = '-';
    memcpy(p, q, (size_t)(end - q));
    return p + (end - q);
}

static char *put_thousandths(char *p, int64_t v)
{
    if (v < 0)
        *p++ = '-';
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    p = put_int(p, (int64_t)(u / 1000));
    unsigned part = (unsigned)(u % 1000);
    *p++ = '.';
    *p++ = (char)('0' + part / 100);
    *p++ = (char)('0' + part / 10 % 10);
    *p++ = (char)('0' + part % 10);
    return p;
}

static char *put_value(char *p, int64_t v, bool is_ratio)
{
    if (v == BLANK)
        return p;
    if (v == NOT_AVAILABLE)
        return put_text(p, "NA");
    return is_ratio ? put_thousandths(p, v) : put_int(p, v);
}

static void put_header(FILE *stream)
{
    fputs("customer_id,month", stream);
    for (int i = 0; i < N_STATIC; i++)
        fprintf(stream, ",%s", static_names[i]);
    for (int i = 0; i < N_MONTHLY; i++)
        fprintf(stream, ",%s", monthly_names[i]);
    for (int i = 0; i < N_ROLLED; i++)
        for (int w = 0; w < 3; w++)
            for (int k = 0; k < 4; k++)
                fprintf(stream, ",%s_%s_%d", monthly_names[i], roll_names[k], window[w]);
    for (int i = 0; i < N_KINDS; i++)
        for (int k = 0; k < N_FIGURES; k++)
            fprintf(stream, ",%s_%s", kind_names[i], figure_names[k]);
    for (int i = 0; i < N_MARKET; i++)
        fprintf(stream, ",market_%d", i + 1);
    fputs(",default_12m\n", stream);
}

/* ---- one customer ---- */

struct customer {
    int64_t number, n_months; /* rows */
    double quality, level, utilisation;
    int64_t statics[N_STATIC];
    int64_t monthly[N_MONTHLY];            /* this month; ratios in thousandths */
    int64_t history[N_ROLLED][WINDOW_MAX]; /* ring: month t at t % WINDOW_MAX */
    int64_t rolled[N_ROLLED][3][4];
    int64_t bureau[N_KINDS][N_FIGURES];
    int64_t relapses;
    bool label;
    double p;
};

static void begin_customer(struct customer *c, struct draws *d, int64_t months_max)
{
    static const int64_t n_codes[N_STATIC] = {0, 0, 0, 0, 16, 4, 5, 6, 7, 5, 4};
    c->quality = draw_normal(d);
    c->n_months = draw_chance(d, .75) ? months_max : 1 + draw_below(d, months_max);
    c->level = clamp(.5 - .22 * c->quality + .12 * draw_normal(d), .02, 1.1);
    c->utilisation = c->level;
    c->relapses = 0;
    c->statics[0] = 18 + draw_below(d, 63);
    c->statics[1] = c->n_months + draw_below(d, 240);
    c->statics[2] = draw_below(d, 3) * draw_below(d, 3);
    double income = exp(8 + .25 * c->quality + .35 * draw_normal(d));
    c->statics[3] = draw_chance(d, .08) ? BLANK : (int64_t)clamp(income, 300, 50000);
    for (int i = 4; i < N_STATIC; i++)
        c->statics[i] = 1 + draw_below(d, n_codes[i]);
    if (draw_chance(d, .03))
        c->statics[8] = NOT_AVAILABLE;
    c->monthly[LIMIT] = 500 * (1 + (int64_t)(income * (.5 + 2.5 * draw_uniform(d)) / 500));
    c->monthly[MONTHS_LATE] = 0;
    c->monthly[SAVINGS] = (int64_t)(income * (2 + c->quality + 2 * draw_uniform(d)));
    c->monthly[SALARY] = (int64_t)income;
    bool no_telecom = draw_chance(d, .2);
    for (int i = 0; i < N_KINDS; i++) {
        int64_t *b = c->bureau[i];
        b[0] = draw_below(d, 6);
        b[1] = draw_below(d, b[0] + 1);
        b[3] = b[1] * 100 * (1 + draw_below(d, 80));
        b[2] = (int64_t)((double)b[3] * c->level * draw_uniform(d));
        b[4] = draw_chance(d, logistic(-2.5 - .8 * c->quality)) ? 1 + draw_below(d, 5) : 0;
        b[5] = (int64_t)clamp(1 - .7 * c->quality + draw_normal(d), 0, 9);
        b[6] = b[5] + draw_below(d, 4);
        if (i == N_KINDS - 1 && no_telecom)
            for (int k = 0; k < N_FIGURES; k++)
                b[k] = NOT_AVAILABLE;
    }
}

static void next_late(struct customer *c, struct draws *d)
{
    int64_t *late = &c->monthly[MONTHS_LATE];
    double p = logistic(-3.2 - .9 * c->quality + 1.6 * (c->utilisation - .5));
    bool misses = draw_chance(d, *late ? clamp(2 * p, 0, .9) : p);
    if (misses) {
        c->relapses += *late == 0;
        *late += *late < 8;
    } else if (*late && draw_chance(d, .6)) {
        *late = 0;
    }
}

static void next_bureau(struct customer *c, struct draws *d)
{
    for (int i = 0; i < N_KINDS; i++) {
        int64_t *b = c->bureau[i];
        if (b[0] == NOT_AVAILABLE)
            continue;
        uint64_t w = draw_word(d);
        b[2] = b[2] * (int64_t)(950 + (w & 127)) / 1000;
        if ((w >> 8 & 15) == 0)
            b[5] = (int64_t)clamp((double)b[5] + ((w >> 12 & 1) ? 1 : -1), 0, 9);
        b[6] = b[5] + (int64_t)(w >> 16 & 3);
    }
}

static void next_month(struct customer *c, struct draws *d)
{
    int64_t *m = c->monthly;
    c->utilisation = clamp(c->level + .85 * (c->utilisation - c->level) + .09 * draw_normal(d), 0, 1.3);
    next_late(c, d);
    uint64_t w = draw_word(d);
    double limit = (double)m[LIMIT], a = (double)(w & 0xffff) / 65536, b = (double)(w >> 16 & 0xffff) / 65536;
    double e = (double)(w >> 32 & 0xffff) / 65536, f = (double)(w >> 48) / 65536;
    m[UTILISATION] = (int64_t)(c->utilisation * 1000 + .5);
    m[BALANCE] = m[UTILISATION] * m[LIMIT] / 1000;
    m[MINIMUM_DUE] = m[BALANCE] / 20;
    m[PAYMENT_RATIO] =
        (int64_t)(1000 *
                  clamp(m[MONTHS_LATE] ? .04 * a : .05 + .25 * a + .1 * c->quality + .1 * (1 - c->utilisation), 0, 1));
    m[PAYMENT] = m[BALANCE] * m[PAYMENT_RATIO] / 1000;
    m[PURCHASES] = (int64_t)(limit * .3 * b);
    m[CASH] = e < .3 ? (int64_t)(limit * .1 * e * c->utilisation) : 0;
    m[N_CASH] = e < .3 ? 1 + (int64_t)(e * 10) : 0;
    m[FEES] = 25 * (m[MONTHS_LATE] > 0) + 5 * m[N_CASH];
    m[INTEREST] = m[BALANCE] * 15 / 1000;
    m[N_TRANSACTIONS] = (int64_t)(60 * b * f);
    m[OVER_LIMIT] = c->utilisation > 1;
    m[N_LOGINS] = (int64_t)(30 * f);
    m[SAVINGS] = m[SAVINGS] * (int64_t)(970 + (w >> 20 & 63)) / 1000;
    m[SALARY] = m[SALARY] * (int64_t)(985 + (w >> 40 & 31)) / 1000;
    next_bureau(c, d);
}

static void roll(struct customer *c, int64_t month)
{
    for (int i = 0; i < N_ROLLED; i++) {
        int64_t *ring = c->history[i], now = c->monthly[i];
        ring[month % WINDOW_MAX] = now;
        int64_t sum = 0, high = now, low = now, v = now, back = 0;
        for (int w = 0; w < 3; w++) {
            for (; back < window[w] && back <= month; back++) {
                v = ring[(month - back) % WINDOW_MAX];
                sum += v;
                high = v > high ? v : high;
                low = v < low ? v : low;
            }
            int64_t *out = c->rolled[i][w];
            out[0] = sum / back;
            out[1] = high;
            out[2] = low;
            out[3] = now - v;
        }
    }
}

/* The true probability, from what the last row (and, for the relapses, the history) shows. */
static void draw_label(struct customer *c, struct draws *d)
{
    const int64_t *m = c->monthly;
    double eta =
        -3.8 + .6 * (double)(m[MONTHS_LATE] < 3 ? m[MONTHS_LATE] : 3) + .5 * (c->rolled[MONTHS_LATE][1][1] >= 2);
    eta += 1.2 * ((double)c->rolled[UTILISATION][1][0] / 1000 - .5) + (double)c->rolled[UTILISATION][1][3] / 1000;
    eta += .2 * (double)(c->bureau[0][5] < 4 ? c->bureau[0][5] : 4);
    eta += c->statics[3] == BLANK ? .2 : -.4 * log((double)c->statics[3] / 3000);
    eta += .7 * (c->rolled[UTILISATION][0][0] > 800 && c->rolled[PAYMENT_RATIO][0][0] < 120);
    eta += .3 * (double)(c->relapses < 4 ? c->relapses : 4);
    c->p = logistic(eta);
    c->label = draw_chance(d, c->p);
}

/* Writes one row without the label; at most 16 KiB. */
static char *put_row(char *p, const struct customer *c, int64_t month)
{
    char id[24];
    snprintf(id, sizeof id, "C%09lld", (long long)c->number);
    p = put_text(p, id);
    *p++ = ',';
    p = put_int(p, month + 1);
    for (int i = 0; i < N_STATIC; i++) {
        *p++ = ',';
        if (static_letter[i] && c->statics[i] > NOT_AVAILABLE)
            *p++ = static_letter[i];
        p = put_value(p, c->statics[i], false);
    }
    for (int i = 0; i < N_MONTHLY; i++) {
        *p++ = ',';
        p = put_value(p, c->monthly[i], monthly_is_ratio[i]);
    }
    const int64_t *rolled = c->rolled[0][0];
    for (int i = 0; i < N_ROLLED * 12; i++) {
        *p++ = ',';
        p = put_value(p, rolled[i], monthly_is_ratio[i / 12]);
    }
    const int64_t *bureau = c->bureau[0];
    for (int i = 0; i < N_KINDS * N_FIGURES; i++) {
        *p++ = ',';
        p = put_value(p, bureau[i], false);
    }
    for (int i = 0; i < N_MARKET; i++) {
        *p++ = ',';
        p = put_thousandths(p, (int64_t)(mix((uint64_t)(month * N_MARKET + i)) % 2001) - 1000);
    }
    return p;
}

/* ---- the book ---- */

struct book {
    int64_t n_customers, n_months;
    uint64_t seed;
    const char *out;
    struct sg_buffer rows; /* of one customer: the label is drawn after the last month */
    int64_t n_rows, n_defaults;
    double bin_p[N_BINS]; /* sum of p by bin of p */
    int64_t bin_default[N_BINS], bin_all[N_BINS];
};

static enum sg_status write_customer(struct book *book, int64_t number, FILE *stream)
{
    struct draws d = {mix(book->seed + 1) + mix((uint64_t)number * 2 + 1)};
    struct customer c = {.number = number};
    begin_customer(&c, &d, book->n_months);
    book->rows.len = 0;
    char row[16384];
    for (int64_t month = 0; month < c.n_months; month++) {
        next_month(&c, &d);
        roll(&c, month);
        char *end = put_row(row, &c, month);
        end = put_text(end, ",?\n");
        sg_buffer_append(&book->rows, row, (size_t)(end - row));
    }
    draw_label(&c, &d);
    for (char *p = book->rows.data, *end = p + book->rows.len; (p = memchr(p, '?', (size_t)(end - p))); p++)
        *p = c.label ? '1' : '0';
    int bin = (int)clamp(c.p * N_BINS, 0, N_BINS - 1);
    book->bin_p[bin] += c.p;
    book->bin_all[bin]++;
    book->bin_default[bin] += c.label;
    book->n_defaults += c.label;
    book->n_rows += c.n_months;
    if (fwrite(book->rows.data, 1, book->rows.len, stream) != book->rows.len)
        return sg_fail(SG_FAILED, "%s: cannot write: %s; free some space or choose another folder", book->out,
                       strerror(errno));
    return SG_OK;
}

/* Area under the curve of p: pairs in one bin count half. */
static double area(const struct book *book, bool expected)
{
    double below = 0, pairs = 0, bad = 0, good = 0;
    for (int i = 0; i < N_BINS; i++) {
        double b = expected ? book->bin_p[i] : (double)book->bin_default[i], g = (double)book->bin_all[i] - b;
        pairs += b * (below + g / 2);
        below += g;
        bad += b;
        good += g;
    }
    return bad > 0 && good > 0 ? pairs / (bad * good) : .5;
}

static enum sg_status write_truth(const struct book *book)
{
    struct sg_buffer text = {0};
    sg_buffer_printf(&text,
                     "{\"synthetic\": true, \"customers\": %lld, \"months\": %lld, \"seed\": %llu, \"rows\": %lld, "
                     "\"features\": %d, "
                     "\"default_rate\": %.6f, \"auc_limit\": %.6f, \"auc_of_true_probability\": %.6f}\n",
                     (long long)book->n_customers, (long long)book->n_months, (unsigned long long)book->seed,
                     (long long)book->n_rows, N_VALUES, (double)book->n_defaults / (double)book->n_customers,
                     area(book, true), area(book, false));
    char *path = sg_format("%s.truth.json", book->out);
    enum sg_status status = sg_file_write(path, text.data, text.len, 0644);
    if (status == SG_OK)
        fputs(text.data, stdout);
    free(path);
    sg_buffer_free(&text);
    return status;
}

static enum sg_status write_book(struct book *book)
{
    struct sg_file_writer file = {0};
    SG_TRY(sg_file_writer_open(book->out, 0644, &file));
    setvbuf(file.stream, NULL, _IOFBF, 1 << 20);
    put_header(file.stream);
    struct sg_progress progress;
    sg_progress_begin(&progress, "writing synthetic book", book->n_customers);
    enum sg_status status = SG_OK;
    for (int64_t i = 0; i < book->n_customers && status == SG_OK; i++) {
        status = write_customer(book, i + 1, file.stream);
        if (i % 256 == 0)
            sg_progress_update(&progress, i, NULL);
    }
    if (status != SG_OK) {
        sg_file_writer_abandon(&file);
        return status;
    }
    sg_progress_end(&progress, book->n_customers, NULL);
    SG_TRY(sg_file_writer_commit(&file));
    return write_truth(book);
}

static enum sg_status read_arguments(int n, char **arguments, struct book *book)
{
    struct {
        const char *flag;
        int64_t min, max, value;
    } number[] = {{"--customers", 1, 1000000000, 0}, {"--months", 1, 1200, 24}, {"--seed", 0, INT64_MAX, 0}};
    for (int i = 1; i < n; i += 2) {
        const char *flag = arguments[i], *value = i + 1 < n ? arguments[i + 1] : NULL;
        if (!value)
            return sg_fail(SG_USAGE, "%s: a value must follow", flag);
        if (strcmp(flag, "--out") == 0) {
            book->out = value;
            continue;
        }
        size_t k = 0;
        while (k < 3 && strcmp(flag, number[k].flag) != 0)
            k++;
        if (k == 3)
            return sg_fail(SG_USAGE, "%s: unknown flag; known are --customers, --months, --seed and --out", flag);
        if (!sg_number_int64(value, strlen(value), &number[k].value) || number[k].value < number[k].min ||
            number[k].value > number[k].max)
            return sg_fail(SG_USAGE, "%s: a whole number from %lld to %lld expected", flag, (long long)number[k].min,
                           (long long)number[k].max);
    }
    book->n_customers = number[0].value;
    book->n_months = number[1].value;
    book->seed = (uint64_t)number[2].value;
    if (!book->out || !book->n_customers)
        return sg_fail(SG_USAGE, "usage: make_book --customers N [--months M] [--seed S] --out FILE");
    return SG_OK;
}

int main(int n, char **arguments)
{
    if (n == 2 && strcmp(arguments[1], "--help") == 0) {
        puts("make_book --customers N [--months M (24)] [--seed S (0)] --out FILE\n"
             "Writes a synthetic credit book (CSV, one row per customer and month) and FILE.truth.json, which tells "
             "the best AUC\n"
             "that any model can reach on it. The recipe stands at the head of make_book.c.");
        return 0;
    }
    struct book *book = sg_alloc(1, sizeof *book);
    enum sg_status status = read_arguments(n, arguments, book);
    if (status == SG_OK)
        status = write_book(book);
    if (status != SG_OK)
        fprintf(stderr, "make_book: %s\n", sg_error_text());
    sg_buffer_free(&book->rows);
    free(book);
    return (int)status;
}
