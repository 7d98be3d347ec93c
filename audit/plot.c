#include "plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "html.h"

enum { WIDTH = 480, HEIGHT = 270, LEFT = 58, RIGHT = 16, TOP = 44, BOTTOM = 42 };

struct frame {
    double x_max, y_min, y_max;
};

static double px(const struct frame *f, double x)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * x / f->x_max;
}

static double py(const struct frame *f, double y)
{
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - f->y_min) / (f->y_max - f->y_min);
}

static size_t n_values(const struct sg_plot_series *s)
{
    return s->mark == SG_PLOT_BARS && s->n > 0 ? s->n - 1 : s->n;
}

static bool find_frame(const struct sg_plot *plot, struct frame *f)
{
    double x_max = 0, y_max = plot->y_min;
    for (size_t k = 0; k < plot->n_series; k++) {
        const struct sg_plot_series *s = &plot->series[k];
        for (size_t i = 0; i < s->n; i++)
            x_max = fmax(x_max, s->x[i]);
        for (size_t i = 0; i < n_values(s); i++)
            y_max = fmax(y_max, s->y[i]);
    }
    if (isfinite(plot->limit))
        y_max = fmax(y_max, plot->limit);
    f->x_max = plot->x_max > 0 ? plot->x_max : x_max;
    f->y_min = plot->y_min;
    f->y_max = plot->y_max > 0 ? plot->y_max : plot->y_min + 1.08 * (y_max - plot->y_min);
    return isfinite(f->x_max) && isfinite(f->y_max) && f->x_max > 0 && f->y_max > f->y_min;
}

/* 1, 2 or 5 times a power of ten, about a quarter of the range. */
static double tick_of(double range)
{
    double power = pow(10, floor(log10(range / 4))), unit = range / 4 / power;
    return power * (unit < 1.5 ? 1 : unit < 3.5 ? 2 : unit < 7.5 ? 5 : 10);
}

static void text_at(struct sg_buffer *out, double x, double y, const char *anchor, const char *class, const char *text)
{
    sg_buffer_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" class=\"%s\">", x, y, anchor, class);
    sg_html_text(out, text);
    sg_buffer_text(out, "</text>\n");
}

static void axes(struct sg_buffer *out, const struct frame *f, const struct sg_plot *plot)
{
    char number[32];
    double y_tick = tick_of(f->y_max - f->y_min), x_tick = tick_of(f->x_max), slack = 1e-9;
    for (double t = ceil(f->y_min / y_tick - slack) * y_tick; t <= f->y_max + slack; t += y_tick) {
        snprintf(number, sizeof number, "%g", fabs(t) < y_tick / 1e6 ? 0 : t);
        sg_buffer_printf(out, "<path d=\"M%d %.1fH%d\" class=\"grid\"/>", LEFT, py(f, t), WIDTH - RIGHT);
        text_at(out, LEFT - 7, py(f, t) + 4, "end", "tick", number);
    }
    for (double t = 0; t <= f->x_max * (1 + slack); t += x_tick) {
        snprintf(number, sizeof number, "%g", t);
        sg_buffer_printf(out, "<path d=\"M%.1f %dv4\" class=\"axis\"/>", px(f, t), HEIGHT - BOTTOM);
        text_at(out, px(f, t), HEIGHT - BOTTOM + 18, "middle", "tick", number);
    }
    sg_buffer_printf(out, "<path d=\"M%d %dH%d\" class=\"axis\"/>\n", LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT);
    text_at(out, (LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6, "middle", "label", plot->x_label);
    text_at(out, LEFT, TOP - 8, "start", "label", plot->y_label);
}

static void bars(struct sg_buffer *out, const struct frame *f, const struct sg_plot_series *s)
{
    for (size_t i = 0; i + 1 < s->n; i++)
        if (isfinite(s->y[i]))
            sg_buffer_printf(out, "M%.1f %.1fV%.1fH%.1fV%.1fz", px(f, s->x[i]), py(f, f->y_min), py(f, s->y[i]),
                             px(f, s->x[i + 1]), py(f, f->y_min));
}

static void line(struct sg_buffer *out, const struct frame *f, const struct sg_plot_series *s)
{
    bool begun = false;
    for (size_t i = 0; i < s->n; i++) {
        if (!isfinite(s->y[i]) || !isfinite(s->x[i]))
            continue;
        if (s->mark == SG_PLOT_STEPS && begun)
            sg_buffer_printf(out, "H%.1f", px(f, s->x[i]));
        sg_buffer_printf(out, "%s%.1f %.1f", begun ? "L" : "M", px(f, s->x[i]), py(f, s->y[i]));
        begun = true;
    }
}

static void draw(struct sg_buffer *out, const struct frame *f, const struct sg_plot_series *s)
{
    const char *class = s->is_second ? "second" : "first";
    sg_buffer_printf(out, "<path class=\"%s %s\" d=\"", s->mark == SG_PLOT_BARS ? "bars" : "curve", class);
    if (s->mark == SG_PLOT_BARS)
        bars(out, f, s);
    else
        line(out, f, s);
    sg_buffer_text(out, "\"/>\n");
    for (size_t i = 0; s->mark == SG_PLOT_POINTS && i < s->n; i++)
        if (isfinite(s->y[i]))
            sg_buffer_printf(out, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>", class, px(f, s->x[i]),
                             py(f, s->y[i]));
}

/* From the right, above the plot. */
static void legend(struct sg_buffer *out, const struct sg_plot *plot)
{
    double x = WIDTH - RIGHT;
    for (size_t k = plot->n_series; k-- > 0;) {
        const struct sg_plot_series *s = &plot->series[k];
        if (!s->label)
            continue;
        text_at(out, x, TOP - 8, "end", "label", s->label);
        x -= 6.6 * (double)strlen(s->label) + 6;
        sg_buffer_printf(out, "<path class=\"curve %s\" d=\"M%.1f %dh18\"/>", s->is_second ? "second" : "first", x - 18,
                         TOP - 12);
        x -= 32;
    }
}

void sg_plot_svg(struct sg_buffer *out, const struct sg_plot *plot)
{
    struct frame f;
    if (!find_frame(plot, &f))
        return;
    sg_buffer_printf(out, "<figure><svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    sg_html_text(out, plot->title);
    sg_buffer_text(out, "\">\n");
    text_at(out, 0, 15, "start", "title", plot->title);
    axes(out, &f, plot);
    if (plot->diagonal)
        sg_buffer_printf(out, "<path class=\"guide\" d=\"M%.1f %.1fL%.1f %.1f\"/>\n", px(&f, 0), py(&f, 0),
                         px(&f, f.x_max), py(&f, fmin(f.x_max, f.y_max)));
    if (isfinite(plot->limit)) {
        sg_buffer_printf(out, "<path class=\"limit\" d=\"M%d %.1fH%d\"/>", LEFT, py(&f, plot->limit), WIDTH - RIGHT);
        text_at(out, WIDTH - RIGHT, py(&f, plot->limit) - 5, "end", "label", plot->limit_label);
    }
    for (size_t k = 0; k < plot->n_series; k++)
        draw(out, &f, &plot->series[k]);
    legend(out, plot);
    sg_buffer_text(out, "</svg></figure>\n");
}
