/* Time that passes faster, for a program that does not know: preload this into it. For scripts/soak.
 *
 *   cc -O2 -shared -fPIC -o hasten.so scripts/lib/hasten.c -ldl
 *   HASTEN=<speed>:<monotonic>:<wall> LD_PRELOAD=hasten.so program
 *
 * speed: seconds that pass in one, a whole number. monotonic, wall: both clocks, in nanoseconds, at the moment from which they
 * go faster. All processes with the same HASTEN read the same time, children too.
 *
 * Scaled are the clocks (not those of CPU time) and every wait with a limit: sleep, poll, epoll, select, futex (by way of
 * syscall(2), as the standard library of Rust waits), condition variables and semaphores of C. Not scaled is what the kernel
 * times alone: retransmission of TCP, timers armed by timer_settime or timerfd, the dates of files. Both clocks go by the
 * monotonic one, so that a step of the wall clock is not multiplied.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t;
#define SECOND 1000000000LL

static ns_t speed, mono_base, wall_base;

static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_clock_nanosleep)(clockid_t, int, const struct timespec *, struct timespec *);
static int (*real_ppoll)(struct pollfd *, nfds_t, const struct timespec *, const sigset_t *);
static int (*real_pselect)(int, fd_set *, fd_set *, fd_set *, const struct timespec *, const sigset_t *);
static int (*real_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
static int (*real_sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
static long (*real_syscall)(long, ...);

static ns_t in_ns(const struct timespec *t) { return t->tv_sec * SECOND + t->tv_nsec; }
static struct timespec of_ns(ns_t t) { return (struct timespec){t / SECOND, t % SECOND}; }

/* Others' constructors may ask for the time before ours has run. */
__attribute__((constructor)) static void begin(void) {
    if (speed) return;
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_clock_nanosleep = dlsym(RTLD_NEXT, "clock_nanosleep");
    real_ppoll = dlsym(RTLD_NEXT, "ppoll");
    real_pselect = dlsym(RTLD_NEXT, "pselect");
    real_clockwait = dlsym(RTLD_NEXT, "pthread_cond_clockwait");
    real_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_sem_clockwait = dlsym(RTLD_NEXT, "sem_clockwait");
    real_syscall = dlsym(RTLD_NEXT, "syscall");
    const char *text = getenv("HASTEN");
    long long how, mono, wall;
    if (!text || sscanf(text, "%lld:%lld:%lld", &how, &mono, &wall) != 3 || how < 1) {
        static const char words[] = "hasten: HASTEN must be <speed>:<monotonic ns>:<wall ns>\n";
        (void)!write(2, words, sizeof words - 1);
        _exit(64);
    }
    mono_base = mono;
    wall_base = wall;
    speed = how;
}

static int is_wall(clockid_t clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI; }
static int is_cpu(clockid_t clock) { return clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID || clock < 0; }

static ns_t monotonic(void) {
    struct timespec t;
    begin();
    real_gettime(CLOCK_MONOTONIC, &t);
    return in_ns(&t);
}

static ns_t hastened(clockid_t clock) { return (is_wall(clock) ? wall_base : mono_base) + (monotonic() - mono_base) * speed; }

/* How long it really is until a clock of ours shows `until`. */
static ns_t left(clockid_t clock, const struct timespec *until) {
    ns_t wait = in_ns(until) - hastened(clock);
    return wait <= 0 ? 0 : (wait + speed - 1) / speed;
}

/* When a clock of the kernel shows what one of ours shows as `until`. */
static struct timespec deadline(clockid_t clock, const struct timespec *until) {
    struct timespec now;
    begin();
    real_gettime(clock, &now);
    return of_ns(in_ns(&now) + left(clock, until));
}

static struct timespec shorter(const struct timespec *wait) {
    begin();
    return of_ns((in_ns(wait) + speed - 1) / speed);
}

/* Clocks. */

int clock_gettime(clockid_t clock, struct timespec *t) {
    begin();
    if (is_cpu(clock)) return real_gettime(clock, t);
    *t = of_ns(hastened(clock));
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    (void)zone;
    ns_t now = hastened(CLOCK_REALTIME);
    *t = (struct timeval){now / SECOND, now % SECOND / 1000};
    return 0;
}

time_t time(time_t *t) {
    time_t now = hastened(CLOCK_REALTIME) / SECOND;
    if (t) *t = now;
    return now;
}

/* Sleep. */

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *wait, struct timespec *rest) {
    begin();
    if (is_cpu(clock)) return real_clock_nanosleep(clock, flags, wait, rest);
    struct timespec real = flags & TIMER_ABSTIME ? deadline(clock, wait) : shorter(wait);
    int rc = real_clock_nanosleep(clock, flags, &real, rest);
    if (rc == EINTR && rest && !(flags & TIMER_ABSTIME)) *rest = of_ns(in_ns(rest) * speed);
    return rc;
}

int nanosleep(const struct timespec *wait, struct timespec *rest) {
    int rc = clock_nanosleep(CLOCK_MONOTONIC, 0, wait, rest);
    if (rc) errno = rc;
    return rc ? -1 : 0;
}

int usleep(useconds_t micros) {
    struct timespec wait = of_ns(micros * 1000LL);
    return nanosleep(&wait, NULL);
}

/* Waiting for files: in nanoseconds, since a millisecond is long. */

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *wait, const sigset_t *mask) {
    begin();
    struct timespec real;
    if (wait) real = shorter(wait);
    return real_ppoll(fds, count, wait ? &real : NULL, mask);
}

int poll(struct pollfd *fds, nfds_t count, int millis) {
    struct timespec wait = of_ns(millis * 1000000LL);
    return ppoll(fds, count, millis < 0 ? NULL : &wait, NULL);
}

int pselect(int count, fd_set *r, fd_set *w, fd_set *x, const struct timespec *wait, const sigset_t *mask) {
    begin();
    struct timespec real;
    if (wait) real = shorter(wait);
    return real_pselect(count, r, w, x, wait ? &real : NULL, mask);
}

int select(int count, fd_set *r, fd_set *w, fd_set *x, struct timeval *wait) {
    struct timespec t;
    if (wait) t = of_ns(wait->tv_sec * SECOND + wait->tv_usec * 1000LL);
    return pselect(count, r, w, x, wait ? &t : NULL, NULL);
}

int epoll_pwait2(int epoll, struct epoll_event *events, int count, const struct timespec *wait, const sigset_t *mask) {
    begin();
    struct timespec real;
    if (wait) real = shorter(wait);
    return real_syscall(SYS_epoll_pwait2, epoll, events, count, wait ? &real : NULL, mask, 8);
}

int epoll_pwait(int epoll, struct epoll_event *events, int count, int millis, const sigset_t *mask) {
    struct timespec wait = of_ns(millis * 1000000LL);
    return epoll_pwait2(epoll, events, count, millis < 0 ? NULL : &wait, mask);
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int millis) { return epoll_pwait(epoll, events, count, millis, NULL); }

/* Waiting for each other. */

long syscall(long number, ...) {
    va_list list;
    long a[6];
    va_start(list, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
    va_end(list);
    begin();
    const struct timespec *limit = (const struct timespec *)a[3];
    struct timespec real;
    int command = a[1] & FUTEX_CMD_MASK;
    if (number == SYS_futex && limit && command == FUTEX_WAIT) {
        real = shorter(limit);
        a[3] = (long)&real;
    } else if (number == SYS_futex && limit && command == FUTEX_WAIT_BITSET) {
        real = deadline(a[1] & FUTEX_CLOCK_REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, limit);
        a[3] = (long)&real;
    }
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until) {
    struct timespec real = deadline(clock, until);
    return real_clockwait(cond, mutex, clock, &real);
}

/* By which clock only the attributes of `cond` tell; the monotonic one counts from the start of the machine. */
int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
    struct timespec real = deadline(until->tv_sec < wall_base / SECOND / 2 ? CLOCK_MONOTONIC : CLOCK_REALTIME, until);
    return real_timedwait(cond, mutex, &real);
}

int sem_clockwait(sem_t *restrict sem, clockid_t clock, const struct timespec *restrict until) {
    struct timespec real = deadline(clock, until);
    return real_sem_clockwait(sem, clock, &real);
}

int sem_timedwait(sem_t *restrict sem, const struct timespec *restrict until) { return sem_clockwait(sem, CLOCK_REALTIME, until); }
