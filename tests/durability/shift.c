/* A wall clock that is wrong by the seconds in the file CLOCK_SHIFT names; the clock that only counts is right. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *out)
{
        long failed = syscall(SYS_clock_gettime, clock, out);
        const char *file = getenv("CLOCK_SHIFT");
        if (failed || clock != CLOCK_REALTIME || !file)
                return (int)failed;
        char text[32] = {0};
        int fd = open(file, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read(fd, text, sizeof text - 1) > 0)
                out->tv_sec += atoll(text);
        if (fd >= 0)
                close(fd);
        return 0;
}
