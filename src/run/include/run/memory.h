/* How a run lays its work out in memory, and what that takes: chosen before the run, from the plan and the model alone.
 * Nothing here changes a bit of the result. */
#ifndef SG_RUN_MEMORY_H
#define SG_RUN_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "account/plan.h"
#include "base/json.h"
#include "base/status.h"
#include "data/schema.h"
#include "nn/model.h"

struct sg_training;

struct sg_shape {
    int n_workers;
    int64_t panels; /* that a worker takes at once */
    bool recompute; /* keep the blocks' inputs only and compute each block again (families with blocks) */
};

/* What a run is made of, and what is asked of its memory. */
struct sg_memory_request {
    const struct sg_model *model;
    const struct sg_plan *plan;
    const struct sg_training *training;
    const struct sg_ops *ops;
    const struct sg_schema *schema;
    bool has_base;
    struct sg_shape asked; /* at most these workers and panels (0: as the backend wants); recompute: in any case */
    int64_t limit;         /* bytes for the whole process; 0: none */
};

/* The most bytes that a run can take. Pages that no batch reaches stay untouched, so that a run takes less. */
struct sg_memory {
    size_t process; /* program, libraries, ledger, what is read in blocks */
    size_t data;    /* rows of the whole file: of population_size training units and, by the schema's split, the others,
                       all with the most rows */
    size_t weights; /* as they are and packed for products */
    size_t optimizer; /* what the optimizer keeps, the released gradient */
    size_t sums;      /* 64-bit, of the first worker */
    size_t worker[2]; /* the first worker, each of the others (with sums of its own) */
    size_t sweep;     /* of each worker while units are scored, beside or instead of training */
    size_t prefix;    /* what the frozen lower part makes of every unit; kept only where it fits */
    size_t total;     /* the most at any time */
    size_t prefix_room;
    int64_t limit;
};

void sg_memory_estimate(const struct sg_memory_request *request, const struct sg_shape *shape, struct sg_memory *out);
/* The fastest layout within the limit: first as asked, then fewer panels at once, then fewer workers or blocks computed
 * again, whichever costs less time. SG_USAGE with the least that is needed when none fits, or when blocks are to be
 * computed again that the model does not have. */
SG_MUST_USE enum sg_status sg_memory_choose(const struct sg_memory_request *request, struct sg_shape *shape,
                                            struct sg_memory *out);

/* "2GiB", "500 MB", "1073741824": a positive number of bytes. */
bool sg_memory_parse(const char *text, int64_t *bytes);
/* {"total": bytes, ..., "workers": n, "panels": n, "recompute": b, "limit": bytes or null} */
json_t *sg_memory_to_json(const struct sg_memory *memory, const struct sg_shape *shape);

#endif
