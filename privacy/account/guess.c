#include "guess.h"

#include <math.h>

#include "closed.h"
#include "composition.h"
#include "saddle.h"

/* The most that one kind of step alone needs with its share of delta: near the whole where losses are rare. */
static double by_one_step(const struct sg_composition *composition, double delta)
{
    double most = 0, count = sg_composition_count(composition) - 1;
    for (size_t i = 0; i < composition->n_events; i++) {
        double lower, upper;
        if (sg_event_epsilon_once(&composition->events[i], fmax(delta / count, 1e-200), &lower, &upper))
            most = fmax(most, lower);
    }
    return most;
}

static bool is_fit(const struct sg_saddle *saddle, double delta)
{
    return saddle->ok && fabs(saddle->log_delta - log(delta)) < 0.5 && saddle->cancellation < 3.4;
}

/* The saddle-point approximation, of the law without its rarest losses where they spoil it. */
static double by_saddle(struct sg_composition *composition, double delta)
{
    struct sg_nodes nodes = {0};
    struct sg_saddle saddle = sg_saddle_find(composition, log(delta), true, 5, &nodes);
    if (!is_fit(&saddle, delta) && composition->n_events) {
        sg_composition_thin(composition, 1e-9 * delta, 8);
        saddle = sg_saddle_find(composition, log(delta), true, saddle.ok ? saddle.c : 5, &nodes);
    }
    sg_nodes_close(&nodes);
    return is_fit(&saddle, delta) ? saddle.epsilon : 0;
}

double sg_epsilon_guess(const struct sg_history *history, double delta)
{
    struct sg_composition composition, mirrored = {.events = NULL}, *seen = &composition;
    double epsilon = NAN, ignored;
    bool ok = sg_composition_make(history, &composition) == SG_OK;
    if (ok && composition.n_fixed_size) /* its moments are not those of the mirrored pair, but close */
        ok = sg_composition_mirror(&composition, &mirrored), seen = &mirrored;
    if (ok && !seen->n_events && !seen->n_laplaces)
        sg_gaussian_epsilon(sqrt(seen->gaussian_mu2), delta, &ignored, &epsilon);
    else if (ok)
        epsilon = fmax(by_one_step(seen, delta), by_saddle(seen, delta));
    sg_composition_unmirror(&mirrored);
    sg_composition_close(&composition);
    return epsilon;
}
