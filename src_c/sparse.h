/* Which elements of a sparse matrix are zero: scalar C99, integers only.

   In each column, those that a pseudo-random permutation of its rows puts first: a generalised Feistel network on pairs
   in [0, a) x [0, b), a b >= rows, keyed by the four words of a Philox block of the column's own, and walked along its
   cycle where it leads out of [0, rows). Black, Rogaway, "Ciphers with arbitrary finite domains", CT-RSA 2002. */
#ifndef FASTINIT_SPARSE_H
#define FASTINIT_SPARSE_H

#include "philox.h"
#include "transform.h"

#include <stdint.h>

/* The block of column 0; elements, fewer than 2^64 of them, come from blocks below. */
#define FI_COLUMN_BLOCKS ((uint64_t)1 << 63)

/* A draw's parameters from the third on. */
enum { FI_ROWS = 2, FI_COLUMNS, FI_ZEROS, FI_SPARSE_A, FI_SPARSE_B, FI_ROUNDS, FI_SPARSE_PARAMETERS };

typedef struct {
    uint64_t columns;
    uint32_t rows, zeros;   /* zeros in a column */
    uint32_t a, b;          /* at most 2^16 */
    uint32_t rounds;        /* even */
} fi_sparse;

FI_INLINE fi_sparse fi_sparse_of(const double *parameters)
{
    fi_sparse s = {(uint64_t)parameters[FI_COLUMNS], (uint32_t)parameters[FI_ROWS],     (uint32_t)parameters[FI_ZEROS],
                   (uint32_t)parameters[FI_SPARSE_A], (uint32_t)parameters[FI_SPARSE_B], (uint32_t)parameters[FI_ROUNDS]};
    return s;
}

/* Every bit of the result depends on every bit of x: lowbias32 of Wellons, "Prospecting for hash functions", 2018. */
FI_INLINE uint32_t fi_mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* x moved round [0, n) by a hash of the other half of the pair. */
FI_INLINE uint32_t fi_feistel_round(uint32_t x, uint32_t n, uint32_t other, uint32_t key)
{
    uint32_t sum = x + (uint32_t)((uint64_t)fi_mix(other + key) * n >> 32);
    return sum < n ? sum : sum - n;
}

/* One pass of the network over `count` pairs, each with its own block: word i of them all begins at words[i]. Round by
   round, for a round is a long chain of multiplications. */
FI_INLINE void fi_feistel(const fi_sparse *s, const uint32_t *const words[4], uint32_t *restrict x, uint32_t *restrict y,
                          int count)
{
    for (uint32_t r = 0; r < s->rounds; r += 2) {
        const uint32_t *first = words[r % 4], *second = words[r % 4 + 1], *third = words[(r + 2) % 4];
        for (int i = 0; i < count; i++)
            x[i] = fi_feistel_round(x[i], s->a, y[i], first[i] + r / 4 * second[i]);
        for (int i = 0; i < count; i++)
            y[i] = fi_feistel_round(y[i], s->b, x[i], second[i] + r / 4 * third[i]);
    }
}

/* Where the elements of `count` blocks lie: the key block of each one's column, and its row as a pair x + a y. Behind the
   matrix's end, rows are those of its start. */
FI_INLINE void fi_sparse_places(const fi_sparse *s, uint64_t block, const uint64_t *list, int count, int per_block,
                                    uint64_t *key_block, uint32_t *x, uint32_t *y)
{
    uint64_t row = 0, column = 0, before = 0;
    uint32_t row_x = 0, row_y = 0;
    int entered = 1;   /* a row whose pair is not known yet */
    for (int i = 0; i < count; i++) {
        uint64_t here = list ? list[i] : block + (uint64_t)i;
        if (i == 0 || here != before + 1) {
            row = here * (uint64_t)per_block / s->columns;
            column = here * (uint64_t)per_block % s->columns;
            entered = 1;
        }
        before = here;
        for (int k = 0; k < per_block; k++) {
            if (entered) {
                uint32_t inside = row < s->rows ? (uint32_t)row : 0;
                row_x = inside % s->a;
                row_y = inside / s->a;
                entered = 0;
            }
            *key_block++ = FI_COLUMN_BLOCKS + column;
            *x++ = row_x;
            *y++ = row_y;
            if (++column == s->columns) {
                column = 0;
                row++;
                entered = 1;
            }
        }
    }
}

#endif
