/* A part shared out over threads, which the call starts and joins. */
#define _POSIX_C_SOURCE 200809L
#include "fastinit.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#ifdef _WIN32
#include <windows.h>
#else
#include <pthread.h>
#include <signal.h>
#endif

#define CHECK_SECONDS 0.05

typedef struct {
    fi_job job;
    atomic_uint_fast64_t next;   /* the next unit that nobody has claimed */
    atomic_int stop;
} work;

/* ---- threads of the system ---- */

#ifdef _WIN32
typedef HANDLE thread;
typedef DWORD thread_result;
#define THREAD_CALL WINAPI
static int start_thread(thread *t, thread_result(THREAD_CALL *run)(void *), void *argument)
{
    *t = CreateThread(NULL, 0, run, argument, 0, NULL);
    return *t != NULL;
}
static void join_thread(thread t)
{
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}
#else
typedef pthread_t thread;
typedef void *thread_result;
#define THREAD_CALL
static int start_thread(thread *t, thread_result (*run)(void *), void *argument)
{
    /* Signals are the caller's business: a worker must not run its handlers. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(t, NULL, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !error;
}
static void join_thread(thread t) { pthread_join(t, NULL); }
#endif

/* ---- units ---- */

/* Claims the next unit; 0 when nothing is left. */
static int claim(work *work, uint64_t *unit)
{
    *unit = atomic_fetch_add(&work->next, 1);
    return *unit < work->job.units && !atomic_load(&work->stop);
}

static thread_result THREAD_CALL run_worker(void *argument)
{
    work *work = argument;
    uint64_t unit;
    while (claim(work, &unit))
        fi_fill_unit(&work->job, unit);
    return 0;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The caller's share. A fill of one unit never looks at the clock. */
static int run_caller(work *work, fi_check *check, void *context)
{
    uint64_t unit;
    double checked = 0;
    if (!claim(work, &unit))
        return 0;
    for (;;) {
        fi_fill_unit(&work->job, unit);
        if (!claim(work, &unit))
            return 0;
        double now = seconds();
        if (checked == 0)
            checked = now;
        if (now - checked >= CHECK_SECONDS || now < checked) {
            int answer = check(context);
            if (answer) {
                atomic_store(&work->stop, 1);
                return answer;
            }
            checked = now;
        }
    }
}

int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, const fi_part *part, int threads, fi_check *check,
            void *context)
{
    work work;
    fi_prepare(&work.job, isa, kind, draw, part);
    atomic_init(&work.next, 0);
    atomic_init(&work.stop, 0);

    thread workers[FI_MAX_THREADS];
    uint64_t most = work.job.elements / FI_THREAD_ELEMENTS;
    int started = 0;
    while (started < threads - 1 && started < FI_MAX_THREADS && (uint64_t)started + 1 < most) {
        if (!start_thread(&workers[started], run_worker, &work))
            break;   /* the threads there are fill its share */
        started++;
    }
    int answer = run_caller(&work, check, context);
    while (started > 0)
        join_thread(workers[--started]);
    return answer;
}
