/* A disk that lies: while the file LYING names is there, nothing written to a journal arrives. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
        const char *lying = getenv("LYING");
        if (lying && access(lying, F_OK) == 0) {
                char link[64], name[4096];
                snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
                ssize_t len = readlink(link, name, sizeof name - 1);
                name[len > 0 ? len : 0] = 0;
                if (strstr(name, "/journal/"))
                        return (ssize_t)count;
        }
        return syscall(SYS_pwrite64, fd, bytes, count, at);
}
