/* The choice of backend and workers, the same for every verb that computes. */
#ifndef SG_CLI_BACKEND_H
#define SG_CLI_BACKEND_H

#include <stdint.h>

#include "base/status.h"
#include "ops/ops.h"

/* name NULL: "cpu". SG_USAGE for an unknown name, SG_FAILED when this machine cannot run it: never another one. */
SG_MUST_USE enum sg_status sg_backend_choose(const char *name, const struct sg_ops **out);
/* 0 asks for one worker a core. */
int sg_workers_choose(int64_t asked);

#endif
