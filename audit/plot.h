/* Plots as inline SVG, without script, in the page's own colours: readable in print and in the dark. Inside audit
 * only. Colours come from the page's style: --ink, --second, --alarm, --line. */
#ifndef SG_AUDIT_PLOT_H
#define SG_AUDIT_PLOT_H

#include <stdbool.h>

#include "base/bytes.h"

enum sg_plot_mark {
    SG_PLOT_LINE,
    SG_PLOT_STEPS,  /* a staircase */
    SG_PLOT_POINTS, /* joined by a line */
    SG_PLOT_BARS,   /* from x[i] to x[i + 1], y[i] high: y has one value fewer than x */
};

struct sg_plot_series {
    const char *label; /* NULL: needs none */
    const double *x, *y;
    size_t n; /* of x */
    enum sg_plot_mark mark;
    bool is_second; /* in the second colour, dashed: also told apart without colours */
};

struct sg_plot {
    const char *title, *x_label, *y_label;
    const struct sg_plot_series *series;
    size_t n_series;
    double x_max, y_max; /* 0: what the series need */
    double y_min;        /* where the axis begins */
    double limit;        /* a horizontal line; NaN: none */
    const char *limit_label;
    bool diagonal; /* what chance, or perfect calibration, would give */
};

/* A <figure>. Nothing when there is no finite point. */
void sg_plot_svg(struct sg_buffer *out, const struct sg_plot *plot);

#endif
