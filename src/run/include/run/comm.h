/* Several ranks of one run. Alone (no launcher) every operation is nothing; under Open MPI a module is loaded that needs
 * libmpi. Integer sums are exact, so the number of ranks changes no bit. */
#ifndef SG_RUN_COMM_H
#define SG_RUN_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct sg_comm {
    int rank, size;
    void (*sum)(int64_t *values, int64_t n);      /* in place, over all ranks */
    void (*broadcast)(void *bytes, size_t n);     /* from rank 0 */
    void (*close)(void);
};

/* MPI when the environment is Open MPI's launcher's, else a communicator of one. SG_FAILED when the module is missing. */
SG_MUST_USE enum sg_status sg_comm_open(struct sg_comm *out);
void sg_comm_close(struct sg_comm *comm);
/* Everybody gets rank 0's status; the text is rank 0's alone. */
enum sg_status sg_comm_agree(struct sg_comm *comm, enum sg_status status);
/* Everybody gets the status and the text of the lowest rank that failed. */
enum sg_status sg_comm_agree_all(struct sg_comm *comm, enum sg_status status);
/* Whether this process answers for its job, to the user and by its exit status: rank 0, or alone. Known from the launcher
 * before anything is opened. */
bool sg_comm_is_first(void);

#endif
