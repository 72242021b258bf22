/* A library to be loaded in front of the others: the time of day jumps by the seconds that the file `clock` in the working
   directory has, in the byte order of the machine. All other clocks go on as they are. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const volatile long long *jump = MAP_FAILED;

__attribute__((constructor)) static void begin(void) {
    int file = open("clock", O_RDWR | O_CREAT, 0600);
    if (file >= 0 && ftruncate(file, sizeof *jump) == 0)
        jump = mmap(NULL, sizeof *jump, PROT_READ, MAP_SHARED, file, 0);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = (int)syscall(SYS_clock_gettime, clock, time);
    if (!failed && clock == CLOCK_REALTIME && jump != MAP_FAILED)
        time->tv_sec += *jump;
    return failed;
}
