/* Figures of privacy as they are printed: a bound cut to a few digits must stay a bound. */
#ifndef SG_CLI_FIGURE_H
#define SG_CLI_FIGURE_H

struct figure {
    char text[40];
};

/* `digits` significant ones, as %g writes them; at least the value, or at most. */
struct figure figure_up(double value, int digits);
struct figure figure_down(double value, int digits);
/* `decimals` after the point. */
struct figure figure_fixed_up(double value, int decimals);
struct figure figure_fixed_down(double value, int decimals);

#endif
