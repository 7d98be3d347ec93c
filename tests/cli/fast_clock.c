/* Preloaded by events.bats: the clock by which heartbeats are due goes on by half a minute each time it is asked. The
 * time of day and the machine's own clock, which events carry, stay what they are. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) int clock_gettime(clockid_t clock, struct timespec *now)
{
    static _Atomic long asked;
    long code = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_MONOTONIC)
        now->tv_sec += 30 * ++asked;
    return (int)code;
}
