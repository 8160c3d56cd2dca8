/* A span shared out over threads, which the call starts and joins. */
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
    fi_kernel *kernel;
    const fi_draw *draw;
    char *out;
    uint64_t start, end;         /* the span: element `start` belongs at out[0] */
    uint64_t itemsize;
    atomic_uint_fast64_t next;   /* the next chunk that nobody has claimed, counted from element 0 */
    atomic_int stop;
} job;

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

/* ---- spans ---- */

static void fill_span(const job *job, uint64_t from, uint64_t to)
{
    fi_float_state state = fi_float_default();
    uint64_t tile = FI_TILE_BYTES / job->itemsize;
    while (from < to) {
        uint64_t block = from / tile * FI_TILE_BLOCKS, skip = from % tile, count = to - from;
        char *out = job->out + (from - job->start) * job->itemsize;
        if (skip == 0 && count >= tile) {
            job->kernel(job->draw, block, out, (size_t)(count / tile));
            count -= count % tile;
        } else {   /* a part of a tile, at either end of the span */
            char whole[FI_TILE_BYTES];
            job->kernel(job->draw, block, whole, 1);
            if (count > tile - skip)
                count = tile - skip;
            memcpy(out, whole + skip * job->itemsize, (size_t)(count * job->itemsize));
        }
        from += count;
    }
    fi_float_restore(state);
}

/* Claims the next chunk's elements; 0 when nothing is left. */
static int claim(job *job, uint64_t *from, uint64_t *to)
{
    uint64_t length = FI_CHUNK_TILES * (FI_TILE_BYTES / job->itemsize);
    *from = atomic_fetch_add(&job->next, 1) * length;
    *to = *from + length;
    if (*from < job->start)
        *from = job->start;
    if (*to > job->end)
        *to = job->end;
    return *from < *to && !atomic_load(&job->stop);
}

static thread_result THREAD_CALL run_worker(void *argument)
{
    uint64_t from, to;
    while (claim(argument, &from, &to))
        fill_span(argument, from, to);
    return 0;
}

static double seconds(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The caller's share. A fill of one chunk never looks at the clock. */
static int run_caller(job *job, fi_check *check, void *context)
{
    uint64_t from, to;
    double checked = 0;
    if (!claim(job, &from, &to))
        return 0;
    for (;;) {
        fill_span(job, from, to);
        if (!claim(job, &from, &to))
            return 0;
        double now = seconds();
        if (checked == 0)
            checked = now;
        if (now - checked >= CHECK_SECONDS || now < checked) {
            int answer = check(context);
            if (answer) {
                atomic_store(&job->stop, 1);
                return answer;
            }
            checked = now;
        }
    }
}

int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, void *out, uint64_t start, uint64_t count, int threads,
            fi_check *check, void *context)
{
    job job = {
        .kernel = isa->kernels[kind],
        .draw = draw,
        .out = out,
        .start = start,
        .end = start + count,
        .itemsize = fi_itemsize(kind),
    };
    atomic_init(&job.next, start / (FI_CHUNK_TILES * (FI_TILE_BYTES / job.itemsize)));
    atomic_init(&job.stop, 0);

    thread workers[FI_MAX_THREADS];
    uint64_t most = count / FI_THREAD_ELEMENTS;
    int started = 0;
    while (started < threads - 1 && started < FI_MAX_THREADS && (uint64_t)started + 1 < most) {
        if (!start_thread(&workers[started], run_worker, &job))
            break;   /* the threads there are fill its share */
        started++;
    }
    int answer = run_caller(&job, check, context);
    while (started > 0)
        join_thread(workers[--started]);
    return answer;
}
