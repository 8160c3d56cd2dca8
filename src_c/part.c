/* A part of a tensor, of any strides, from whole tiles: where the part is one span of the whole and of memory, or many
   long ones, tiles go straight to their place. Anywhere else, the Philox blocks behind a batch of its runs (neighbours in
   the whole, along one axis) are listed and drawn into a buffer in first-level cache, whose elements are copied out; or,
   where memory holds nothing but these blocks in this order, drawn there. */
#include "fastinit.h"

#include <string.h>

enum {
    SPAN_ELEMENTS = 1 << 19,    /* a unit of a contiguous part: 2 MiB of float32, a huge page; whole tiles */
    UNIT_ELEMENTS = 1 << 16,    /* a unit of any other part */
    LONG_ROW = 1 << 12,         /* elements of a row that is worth its own call of the kernel */
    BATCH_BLOCKS = 17 * FI_TILE_BLOCKS,   /* drawn at once; the odd tile is for rows a little over 2^k blocks */
    BATCH_BYTES = 16 * BATCH_BLOCKS,
    TRANSPOSED_CHUNK = 32,      /* elements of a run drawn at once where memory runs along another axis */
    RUN_STEP = 8,               /* elements as far apart in the whole, or farther, are drawn one by one */
};

#if defined(__GNUC__)
#define CACHE_ALIGNED __attribute__((aligned(64)))
#else
#define CACHE_ALIGNED
#endif

static uint64_t distance(int64_t step) { return step < 0 ? 0 - (uint64_t)step : (uint64_t)step; }

/* `part` with the fewest axes, none with a negative stride, the nearest in memory first. */
static void simplify(const fi_part *part, fi_part *simple)
{
    uint64_t start = part->start;
    char *out = part->out;
    fi_axis *axes = simple->axis;
    int count = 0;
    for (int i = 0; i < part->axes; i++) {
        fi_axis axis = part->axis[i];
        if (axis.count == 1)
            continue;
        if (axis.stride < 0) {   /* from its other end */
            start += (axis.count - 1) * (uint64_t)axis.step;
            out += (int64_t)(axis.count - 1) * axis.stride;
            axis.step = -axis.step;
            axis.stride = -axis.stride;
        }
        int at = count++;
        for (; at > 0 && axes[at - 1].stride > axis.stride; at--)
            axes[at] = axes[at - 1];
        axes[at] = axis;
    }
    int last = 0;
    for (int i = 1; i < count; i++) {
        fi_axis *inner = &axes[last];
        if ((uint64_t)axes[i].stride == inner->count * (uint64_t)inner->stride &&
            (uint64_t)axes[i].step == inner->count * (uint64_t)inner->step)
            inner->count *= axes[i].count;
        else
            axes[++last] = axes[i];
    }
    simple->start = start;
    simple->out = out;
    simple->axes = count ? last + 1 : 0;
}

void fi_prepare(fi_job *job, const fi_isa *isa, int kind, const fi_draw *draw, const fi_part *part)
{
    job->kernel = isa->kernels[kind];
    job->draw = draw;
    job->itemsize = fi_kinds[kind].itemsize;
    job->per_block = fi_kinds[kind].per_block;
    job->units = 0;
    job->elements = 1;
    for (int i = 0; i < part->axes; i++)
        job->elements *= part->axis[i].count;
    if (job->elements == 0)
        return;
    simplify(part, &job->part);
    fi_axis *axis = job->part.axis;
    int axes = job->part.axes;

    job->contiguous = axes == 0 || (axes == 1 && axis->step == 1 && (uint64_t)axis->stride == job->itemsize);
    if (job->contiguous) {
        job->unit = SPAN_ELEMENTS;   /* counted from the whole's first element */
        job->first_unit = job->part.start / job->unit;
        job->units = (job->part.start + job->elements - 1) / job->unit - job->first_unit + 1;
        return;
    }

    int nearest = 0;   /* of the whole's axes */
    for (int i = 1; i < axes; i++)
        if (distance(axis[i].step) < distance(axis[nearest].step))
            nearest = i;
    job->transposed = nearest > 0;
    job->run = (fi_axis){1, 1, (int64_t)job->itemsize};
    if (distance(axis[nearest].step) < RUN_STEP) {
        job->run = axis[nearest];
        memmove(&axis[nearest], &axis[nearest + 1], (size_t)(--axes - nearest) * sizeof *axis);
        job->part.axes = axes;
    }
    const fi_axis *run = &job->run;
    int adjacent = run->step == 1 && (uint64_t)run->stride == job->itemsize;

    uint64_t most = (BATCH_BLOCKS - 2) * job->per_block / distance(run->step);   /* elements of a chunk */
    job->long_rows = adjacent && run->count >= LONG_ROW;
    if (job->long_rows)
        most = UNIT_ELEMENTS;
    else if (job->transposed)
        most = TRANSPOSED_CHUNK;
    uint64_t chunks = (run->count - 1) / most + 1;
    job->chunk = (run->count - 1) / chunks + 1;
    job->rows = job->elements / run->count;
    job->cells = job->rows * chunks;
    job->unit = UNIT_ELEMENTS / job->chunk;
    job->first_unit = 0;
    job->units = (job->cells - 1) / job->unit + 1;

    job->row_blocks = (job->chunk - 1) * distance(run->step) / job->per_block + 2;
    job->dense = adjacent && !job->long_rows && chunks == 1 && run->count % job->per_block == 0 &&
                 job->part.start % job->per_block == 0;
    uint64_t stride = run->count * job->itemsize;
    for (int i = 0; i < axes; i++) {
        if (axis[i].step % (int64_t)job->per_block || (uint64_t)axis[i].stride != stride)
            job->dense = 0;
        stride *= axis[i].count;
    }
    job->batch_blocks = BATCH_BLOCKS;
    if (job->dense) {   /* as many rows as make whole tiles */
        uint64_t tiled = job->row_blocks = run->count / job->per_block;
        while (tiled % FI_TILE_BLOCKS)
            tiled *= 2;
        if (tiled <= BATCH_BLOCKS)
            job->batch_blocks = BATCH_BLOCKS / tiled * tiled;
    }
}

/* ---- a contiguous part ---- */

/* Elements from `from` of the whole on, to consecutive addresses. */
static void fill_span(const fi_job *job, uint64_t from, uint64_t count, char *out)
{
    uint64_t tile = FI_TILE_BLOCKS * job->per_block;
    while (count) {
        uint64_t block = from / tile * FI_TILE_BLOCKS, skip = from % tile, some = count;
        if (skip == 0 && count >= tile) {
            some -= count % tile;
            job->kernel(job->draw, block, NULL, out, (size_t)(some / tile));
        } else {   /* a part of a tile, at either end of the span */
            char whole[16 * FI_TILE_BLOCKS];
            job->kernel(job->draw, block, NULL, whole, 1);
            if (some > tile - skip)
                some = tile - skip;
            memcpy(out, whole + skip * job->itemsize, (size_t)(some * job->itemsize));
        }
        from += some;
        count -= some;
        out += some * job->itemsize;
    }
}

/* ---- any other part ---- */

typedef struct {
    int rows;
    char *to[BATCH_BLOCKS];             /* where each row's first element goes, */
    const char *from[BATCH_BLOCKS];     /* and where it was drawn */
} batch;

/* memcpy, which for some kilobytes at odd addresses is slow on some processors. */
static void move(char *to, const char *from, size_t bytes)
{
    for (; bytes >= 64; bytes -= 64, to += 64, from += 64)
        memcpy(to, from, 64);
    memcpy(to, from, bytes);
}

#define COPY(T)                                                                                                        \
    do {                                                                                                               \
        if (job->transposed)                                                                                           \
            for (uint64_t i = 0; i < count; i++)                                                                       \
                for (int r = 0; r < b->rows; r++)                                                                      \
                    memcpy(b->to[r] + (int64_t)i * stride, b->from[r] + (int64_t)i * step, sizeof(T));                 \
        else                                                                                                           \
            for (int r = 0; r < b->rows; r++)                                                                          \
                for (uint64_t i = 0; i < count; i++)                                                                   \
                    memcpy(b->to[r] + (int64_t)i * stride, b->from[r] + (int64_t)i * step, sizeof(T));                 \
    } while (0)

/* `count` elements of each row, row by row or, where rows are nearer in memory than their elements, across them. */
static void copy_out(const fi_job *job, const batch *b, uint64_t count)
{
    int64_t stride = job->run.stride, step = job->run.step * (int64_t)job->itemsize;
    if (step == (int64_t)job->itemsize && stride == step)
        for (int r = 0; r < b->rows; r++)
            move(b->to[r], b->from[r], (size_t)(count * job->itemsize));
    else if (job->itemsize == 8)
        COPY(uint64_t);
    else if (job->itemsize == 4)
        COPY(uint32_t);
    else
        COPY(uint16_t);
}

/* Where a row begins: its element of the whole, and its place in memory. */
typedef struct {
    uint64_t element;
    char *out;
    uint64_t position[FI_MAX_AXES];   /* along the part's axes */
} place;

static void to_row(const fi_job *job, uint64_t row, uint64_t begin, place *at)
{
    const fi_axis *axis = job->part.axis;
    at->element = job->part.start + begin * (uint64_t)job->run.step;
    at->out = job->part.out + (int64_t)begin * job->run.stride;
    for (int i = 0; i < job->part.axes; i++) {
        at->position[i] = row % axis[i].count;
        row /= axis[i].count;
        at->element += at->position[i] * (uint64_t)axis[i].step;
        at->out += (int64_t)at->position[i] * axis[i].stride;
    }
}

static void to_next_row(const fi_job *job, place *at)
{
    const fi_axis *axis = job->part.axis;
    for (int i = 0; i < job->part.axes; i++) {
        at->element += (uint64_t)axis[i].step;
        at->out += axis[i].stride;
        if (++at->position[i] < axis[i].count)
            return;
        at->element -= axis[i].count * (uint64_t)axis[i].step;
        at->out -= (int64_t)axis[i].count * axis[i].stride;
        at->position[i] = 0;
    }
}

/* `rows` rows from `at` on, `count` elements of each, in batches. */
static void fill_rows(const fi_job *job, place *at, uint64_t rows, uint64_t count)
{
    CACHE_ALIGNED uint64_t blocks[BATCH_BLOCKS];
    CACHE_ALIGNED char drawn[BATCH_BYTES];
    batch b;
    uint64_t reach = (count - 1) * (uint64_t)job->run.step;   /* from a row's first element to its last, in the whole */
    int backwards = job->run.step < 0;
    while (rows) {
        uint64_t used = 0;
        for (b.rows = 0; rows && used + job->row_blocks <= job->batch_blocks; rows--) {
            uint64_t first = at->element / job->per_block, last = (at->element + reach) / job->per_block;
            uint64_t least = backwards ? last : first, most = backwards ? first : last;
            b.to[b.rows] = at->out;
            b.from[b.rows++] = drawn + ((used - least) * job->per_block + at->element) * job->itemsize;
            while (least <= most)
                blocks[used++] = least++;
            to_next_row(job, at);
        }
        int direct = job->dense && used % FI_TILE_BLOCKS == 0;
        for (; used % FI_TILE_BLOCKS; used++)
            blocks[used] = blocks[used - 1];
        job->kernel(job->draw, 0, blocks, direct ? b.to[0] : drawn, (size_t)(used / FI_TILE_BLOCKS));
        if (!direct)
            copy_out(job, &b, count);
    }
}

/* The cells `from` up to `to`, which are rows of one chunk. */
static void fill_cells(const fi_job *job, uint64_t from, uint64_t to)
{
    uint64_t begin = from / job->rows * job->chunk, rows = to - from;
    uint64_t count = job->run.count - begin < job->chunk ? job->run.count - begin : job->chunk;
    place at;
    to_row(job, from % job->rows, begin, &at);
    if (!job->long_rows)
        fill_rows(job, &at, rows, count);
    else
        for (; rows; rows--, to_next_row(job, &at))
            fill_span(job, at.element, count, at.out);
}

void fi_fill_unit(const fi_job *job, uint64_t unit)
{
    fi_float_state state = fi_float_default();
    uint64_t from = (job->first_unit + unit) * job->unit, to = from + job->unit;
    if (job->contiguous) {
        uint64_t start = job->part.start, end = start + job->elements;
        if (from < start)
            from = start;
        fill_span(job, from, (to < end ? to : end) - from, job->part.out + (from - start) * job->itemsize);
    } else {
        if (to > job->cells)
            to = job->cells;
        while (from < to) {
            uint64_t chunk_end = (from / job->rows + 1) * job->rows, stop = to < chunk_end ? to : chunk_end;
            fill_cells(job, from, stop);
            from = stop;
        }
    }
    fi_float_restore(state);
}
