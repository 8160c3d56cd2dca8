/* The whole C interface: what to draw, with which instructions, and where to put it.

   A draw is a pure function of (seed, stream, index). Nothing here allocates, fails or knows of Python. */
#ifndef FASTINIT_H
#define FASTINIT_H

#include <fenv.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FI_TILE_BLOCKS = 32,     /* Philox blocks behind one tile, whatever the dtype */
    FI_THREAD_ELEMENTS = 1 << 20,   /* the least that a thread must have to fill, to be worth starting */
    FI_MAX_THREADS = 256,
    FI_MAX_AXES = 64
};

/* Every kind of draw: X(law, dtype, bytes of an element). */
#define FI_EACH_KIND(X)                                                                                                \
    X(words, uint32, 4) /* the stream itself, for checking against other implementations of Philox */                  \
    FI_EACH_DTYPE(X, constant)                                                                                         \
    FI_EACH_DTYPE(X, uniform)                                                                                          \
    FI_EACH_DTYPE(X, normal)                                                                                           \
    FI_EACH_DTYPE(X, truncated)      /* every bound within 3 std of the mean */                                        \
    FI_EACH_DTYPE(X, truncated_wide) /* not both bounds beyond 4 std on one side, one of them beyond 9 */              \
    FI_EACH_DTYPE(X, truncated_far)  /* these */                                                                       \
    FI_EACH_DTYPE(X, sparse)         /* the normal, but for zeros in every column of a matrix */
#define FI_EACH_DTYPE(X, law) X(law, float32, 4) X(law, float64, 8) X(law, float16, 2) X(law, bfloat16, 2)

enum fi_kind {
#define FI_KIND(law, dtype, bytes) FI_##law##_##dtype,
    FI_EACH_KIND(FI_KIND)
#undef FI_KIND
    FI_KINDS
};

typedef struct {
    const char *law, *dtype;
    unsigned itemsize;    /* bytes of an element */
    unsigned per_block;   /* elements behind one Philox block */
} fi_kind_facts;

extern const fi_kind_facts fi_kinds[FI_KINDS];

/* constant: {value}; normal: {mean, std}; sparse: these two, then see sparse.h; uniform and truncated: see transform.h.
   Integers among them are at most 2^53. */
enum { FI_PARAMETERS = 9 };

typedef struct {
    uint64_t seed;
    uint64_t stream;
    double parameters[FI_PARAMETERS];
} fi_draw;

/* Writes `tiles` whole tiles to `out` (any alignment): from the blocks listed, or, where `list` is null, from Philox
   block `block` on, a multiple of FI_TILE_BLOCKS. */
typedef void fi_kernel(const fi_draw *draw, uint64_t block, const uint64_t *list, void *out, size_t tiles);

typedef struct {
    const char *name;
    int (*supported)(void);
    fi_kernel *const *kernels;   /* one of each kind */
} fi_isa;

extern const fi_isa fi_isas[];   /* the slowest first */
extern const int fi_isa_count;
extern const char fi_compiler[];

/* The thread's floating-point control state. fi_float_default() sets the default (round to nearest, no flushing
   to zero) and returns what was there, for fi_float_restore(). */
typedef union {
    uint64_t control;
    fenv_t environment;
} fi_float_state;

fi_float_state fi_float_default(void);
void fi_float_restore(fi_float_state state);

/* Asks for huge pages below memory that is about to be touched for the first time: a tenth of the faults, or fewer. */
void fi_prefer_huge_pages(void *memory, size_t bytes);

/* Called on the caller's thread several times a second; a non-zero answer stops the fill. */
typedef int fi_check(void *context);

/* A part of a tensor in memory: the element at position (k0, k1, ...) of the part is element
   start + k0 axis[0].step + k1 axis[1].step + ... of the whole, in C order, and lies as many strides from `out`. */
typedef struct {
    uint64_t count;
    int64_t step;     /* elements of the whole */
    int64_t stride;   /* bytes */
} fi_axis;

typedef struct {
    char *out;
    uint64_t start;
    int axes;
    fi_axis axis[FI_MAX_AXES];
} fi_part;

/* Fills a part on up to `threads` threads: fewer where a thread would have too little to do or cannot be started.
   No two elements may share memory. Returns what `check` returned. */
int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, const fi_part *part, int threads, fi_check *check,
            void *context);

/* What fi_fill does with one part, in units that threads can fill in any order; see part.c. */
typedef struct {
    fi_kernel *kernel;
    const fi_draw *draw;
    uint64_t itemsize, per_block;
    fi_part part;         /* its axes without the run, the nearest in memory first */
    fi_axis run;          /* the axis along which the whole's elements are neighbours */
    uint64_t chunk;       /* elements of a run that are drawn together */
    uint64_t rows;        /* runs: the product of the counts of the part's axes */
    uint64_t elements;
    uint64_t cells;       /* pieces of runs, at most a chunk long: all rows' first chunks, then their second, ... */
    uint64_t unit;        /* cells, or elements of a contiguous part, in a unit */
    uint64_t first_unit, units;
    uint64_t row_blocks;  /* the most Philox blocks behind a chunk */
    uint64_t batch_blocks;   /* and behind the chunks that are drawn together */
    int contiguous;       /* one run, of neighbours in memory */
    int long_rows;        /* or runs of many neighbours in memory */
    int transposed;       /* or memory's neighbours are on another axis than the whole's */
    int dense;            /* or memory holds whole blocks, in the order of the rows */
} fi_job;

void fi_prepare(fi_job *job, const fi_isa *isa, int kind, const fi_draw *draw, const fi_part *part);
void fi_fill_unit(const fi_job *job, uint64_t unit);

#endif
