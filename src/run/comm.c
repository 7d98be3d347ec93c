#include "run/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "run/module.h"

static void nothing_sum(int64_t *values, int64_t n)
{
    (void)values;
    (void)n;
}

static void nothing_broadcast(void *bytes, size_t n)
{
    (void)bytes;
    (void)n;
}

static void nothing_close(void) {}

enum sg_status sg_comm_open(struct sg_comm *out)
{
    *out = (struct sg_comm){0, 1, nothing_sum, nothing_broadcast, nothing_close};
    if (!getenv("OMPI_COMM_WORLD_SIZE"))
        return SG_OK;
    static const char file[] = "sealgrad-mpi.so";
    void *module;
    SG_TRY(sg_module_load(file, &module));
    if (!module)
        return sg_fail(SG_FAILED, "started by mpirun, but %s is not installed here; build with -Dmpi=enabled", file);
    enum sg_status (*open)(struct sg_comm *);
    SG_TRY(sg_module_symbol(module, file, "sg_comm_mpi_open", (void **)&open));
    return open(out);
}

void sg_comm_close(struct sg_comm *comm)
{
    if (comm->close)
        comm->close();
    *comm = (struct sg_comm){0};
}

enum sg_status sg_comm_agree(struct sg_comm *comm, enum sg_status status)
{
    int shared = (int)status;
    comm->broadcast(&shared, sizeof shared);
    return comm->rank == 0 ? status : (enum sg_status)shared;
}

/* The text of one rank's fault for everybody: the others add zeros to it. */
static void share_text(struct sg_comm *comm, int speaker)
{
    union {
        char text[1024];
        int64_t words[128];
    } shared = {{0}};
    if (comm->rank == speaker)
        snprintf(shared.text, sizeof shared.text, "%s", sg_error_text());
    comm->sum(shared.words, 128);
    if (speaker == 0)
        (void)!sg_fail(SG_FAILED, "%s", shared.text);
    else
        (void)!sg_fail(SG_FAILED, "rank %d: %s", speaker, shared.text);
}

enum sg_status sg_comm_agree_all(struct sg_comm *comm, enum sg_status status)
{
    int64_t *every = sg_alloc((size_t)comm->size, sizeof *every);
    every[comm->rank] = (int64_t)status;
    comm->sum(every, comm->size);
    int first = 0;
    while (first < comm->size - 1 && every[first] == SG_OK)
        first++;
    status = (enum sg_status)every[first];
    free(every);
    if (status != SG_OK)
        share_text(comm, first);
    return status;
}

bool sg_comm_is_first(void)
{
    const char *rank = getenv("OMPI_COMM_WORLD_RANK");
    return !rank || strcmp(rank, "0") == 0;
}
