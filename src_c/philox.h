/* Philox4x32-10: its constants and key schedule; the rounds are in kernels.inc, over vectors.

   Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11. */
#ifndef FASTINIT_PHILOX_H
#define FASTINIT_PHILOX_H

#include <stdint.h>

#define FI_PHILOX_M0 0xD2511F53u
#define FI_PHILOX_M1 0xCD9E8D57u
#define FI_PHILOX_W0 0x9E3779B9u   /* the golden ratio */
#define FI_PHILOX_W1 0xBB67AE85u   /* sqrt(3) - 1 */

enum { FI_PHILOX_ROUNDS = 10 };

typedef struct {
    uint32_t round[FI_PHILOX_ROUNDS][2];
} fi_philox_keys;

static inline fi_philox_keys fi_philox_schedule(uint64_t seed)
{
    fi_philox_keys keys;
    for (uint32_t r = 0; r < FI_PHILOX_ROUNDS; r++) {
        keys.round[r][0] = (uint32_t)seed + r * FI_PHILOX_W0;
        keys.round[r][1] = (uint32_t)(seed >> 32) + r * FI_PHILOX_W1;
    }
    return keys;
}

#endif
