/* The parted law of rare losses: each step's law as a core, whose losses cannot add up to epsilon, and a tail, by two
 * smooth weights. docs/accounting.md, section 5a. */
#ifndef SG_ACCOUNT_PARTED_H
#define SG_ACCOUNT_PARTED_H

#include "composition.h"

enum { SG_PARTED_EVENTS_MAX = 8, SG_CORE_CELLS = 1024 };
#define SG_RARE_LEFT_OUT 1e-8 /* of delta: the far end left out, and aliasing */

/* P's mass between multiples of h from `low` on, and the loss at each cell's right end. */
struct sg_core_cells {
    double low, h;
    double mass[SG_CORE_CELLS], loss[SG_CORE_CELLS];
};

/* One law parted: core = P Phi((a - x)/w), tail = P Phi((x - a)/w), less a far end of negligible mass. */
struct sg_parted {
    const struct sg_composition *given;
    struct sg_event core[SG_PARTED_EVENTS_MAX], tail[SG_PARTED_EVENTS_MAX];
    double count[SG_PARTED_EVENTS_MAX];
    size_t n;
    double left_out, digits;
    double core_c, core_log, core_leak;
    struct sg_nodes nodes;
    struct sg_core_cells cells[SG_PARTED_EVENTS_MAX];
};

/* On one real c: of all steps less the core's power. */
struct sg_parted_moment {
    double rest, slope; /* ln, and its slope */
    double error;       /* of ln of the core's power, absolute */
    bool ok;
};

/* Parts the law for this epsilon and delta, with the largest core that stays negligible. False where there is none. The
 * nodes in `out` are the caller's to close. */
SG_MUST_USE bool sg_part(const struct sg_composition *given, double epsilon, double delta, struct sg_parted *out);
/* The moment on a real c > 0. */
struct sg_parted_moment sg_parted_moment_at(struct sg_parted *parted, double c);

#endif
