/* A sum along one line of the contour, tabulated once for every epsilon near the one it was planned for. */
#ifndef SG_ACCOUNT_LINE_H
#define SG_ACCOUNT_LINE_H

#include "pair.h"

enum { SG_LINE_POINTS_MAX = 30000 };

struct sg_line_sum {
    double c, dt, log_scale, log_error; /* K(c) and its error */
    size_t n;
    double *real, *imag; /* e^{K(c+it) - K(c)} / (s (s+1)), with the rotation e^{it shift} taken out */
    double shift;        /* sum of count times centre, and the Gaussian's mean */
    double *error;       /* absolute error of entry j, less the rotation's */
    double magnitude, tail;
    /* aliasing from above: ln of m e^{K(c2) - c2 eps} at eps = 0, and c2 - c */
    double alias_c2, alias_log;
    double core_c, core_log; /* what the sum leaves out: ln of m e^{K_core(core_c)}, -INFINITY for nothing; */
    double core_leak;        /* and a mass beside that bound */
};

/* ln |1 + re + i im|. Near 0 the sum of squares cancels but 1 + re is exact; elsewhere the other way round. */
double sg_log_one_plus(double re, double im);

/* Allocates the three columns. */
SG_MUST_USE bool sg_line_open(struct sg_line_sum *line);
void sg_line_close(struct sg_line_sum *line);
/* Entry j from ln modulus and phase of the transform and its absolute error relative to the modulus. */
void sg_line_store(struct sg_line_sum *line, size_t j, double real, double imag, double error);
/* delta(epsilon) between *lower and *upper. */
void sg_line_delta(const struct sg_line_sum *line, double epsilon, double *lower, double *upper);
/* The least epsilon whose upper bound is within delta (INFINITY when none is found), and the largest whose lower bound
 * is not. */
double sg_line_solve_upper(const struct sg_line_sum *line, double delta, double hint);
double sg_line_solve_lower(const struct sg_line_sum *line, double delta, double upper);

#endif
