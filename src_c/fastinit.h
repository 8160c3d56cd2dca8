/* The whole C interface: what to draw, with which instructions, and where to put it.

   A draw is a pure function of (seed, stream, index). Nothing here allocates, fails or knows of Python. */
#ifndef FASTINIT_H
#define FASTINIT_H

#include <fenv.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FI_TILE_BYTES = 512,     /* kernels write whole tiles, at positions that are multiples of a tile */
    FI_TILE_BLOCKS = 32,     /* Philox blocks behind one tile, whatever the dtype */
    FI_CHUNK_TILES = 4096,   /* a thread claims 2 MiB at a time: one huge page, and a short wait for a signal */
    FI_THREAD_ELEMENTS = 1 << 20,   /* the least that a thread must have to fill, to be worth starting */
    FI_MAX_THREADS = 256
};

enum fi_kind {
    FI_WORDS_UINT32,         /* the stream itself, for checking against other implementations of Philox */
    FI_CONSTANT_FLOAT32,
    FI_CONSTANT_FLOAT64,
    FI_UNIFORM_FLOAT32,
    FI_UNIFORM_FLOAT64,
    FI_NORMAL_FLOAT32,
    FI_NORMAL_FLOAT64,
    FI_TRUNCATED_FLOAT32,        /* every bound within 3 std of the mean */
    FI_TRUNCATED_FLOAT64,
    FI_TRUNCATED_WIDE_FLOAT32,   /* not both bounds beyond 4 std on one side, one of them beyond 9 */
    FI_TRUNCATED_WIDE_FLOAT64,
    FI_TRUNCATED_FAR_FLOAT32,    /* these */
    FI_TRUNCATED_FAR_FLOAT64,
    FI_KINDS
};

/* constant: {value}; normal: {mean, std}; uniform and truncated: see transform.h */
enum { FI_PARAMETERS = 9 };

typedef struct {
    uint64_t seed;
    uint64_t stream;
    double parameters[FI_PARAMETERS];
} fi_draw;

/* Writes `tiles` whole tiles to `out` (any alignment), from Philox block `block`, a multiple of FI_TILE_BLOCKS. */
typedef void fi_kernel(const fi_draw *draw, uint64_t block, void *out, size_t tiles);

typedef struct {
    const char *name;
    int (*supported)(void);
    fi_kernel *kernels[FI_KINDS];
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

/* Bytes of one element of a kind. */
size_t fi_itemsize(int kind);

/* Called on the caller's thread several times a second; a non-zero answer stops the fill. */
typedef int fi_check(void *context);

/* Fills out[0 .. count) with elements start .. start + count of the draw, on up to `threads` threads: fewer where
   a thread would have too little to do or cannot be started. Returns what `check` returned. */
int fi_fill(const fi_isa *isa, int kind, const fi_draw *draw, void *out, uint64_t start, uint64_t count,
            int threads, fi_check *check, void *context);

#endif
