/* A digest of what every instruction set of this build draws, one line each: two builds agree if their lines do.

   cc -I../src_c <the flags of setup.py> portable.c ../src_c/isa.c ../src_c/parallel.c -lm && ./a.out */
#include "fastinit.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    double parameters[FI_PARAMETERS];
} draws[FI_KINDS] = {
    [FI_WORDS_UINT32] = {"words", {0}},
    [FI_CONSTANT_FLOAT32] = {"constant float32", {0.1}},
    [FI_CONSTANT_FLOAT64] = {"constant float64", {0.1}},
    [FI_UNIFORM_FLOAT32] = {"uniform float32", {-0.3, 1.2, 0.7}},
    [FI_UNIFORM_FLOAT64] = {"uniform float64", {-0.3, 1.2, 0.7}},
    [FI_NORMAL_FLOAT32] = {"normal float32", {0.1, 0.7}},
    [FI_NORMAL_FLOAT64] = {"normal float64", {0.1, 0.7}},
    /* [-2, 2], [-4, 4] and [30, inf), rounded: any numbers near these will do */
    [FI_TRUNCATED_FLOAT32] = {"truncated float32", {0.1, 0.7, 0.02275, 0.9545, 0.02275, 0.9545, 0, -1.3, 1.5}},
    [FI_TRUNCATED_FLOAT64] = {"truncated float64", {0.1, 0.7, 0.02275, 0.9545, 0.02275, 0.9545, 0, -1.3, 1.5}},
    [FI_TRUNCATED_WIDE_FLOAT32] = {"wide float32", {0.1, 0.7, 3.167e-5, 0.99993666, 3.167e-5, 0.99993666, 0, -2.7, 2.9}},
    [FI_TRUNCATED_WIDE_FLOAT64] = {"wide float64", {0.1, 0.7, 3.167e-5, 0.99993666, 3.167e-5, 0.99993666, 0, -2.7, 2.9}},
    [FI_TRUNCATED_FAR_FLOAT32] = {"far float32", {0.1, 0.7, 2, 0, 0, 1, 908.64, 21.1, 1e38}},
    [FI_TRUNCATED_FAR_FLOAT64] = {"far float64", {0.1, 0.7, 2, 0, 0, 1, 908.64, 21.1, 1e300}},
};

static int never(void *context)
{
    (void)context;
    return 0;
}

int main(void)
{
    static const uint64_t starts[] = {0, 1, 1003, ((uint64_t)1 << 32) - 500, ((uint64_t)1 << 34) - 501, (uint64_t)1 << 50};
    static const uint64_t counts[] = {0, 1, 63, 64, 65, 127, 128, 129, 1000, 100003};
    static char buffer[100003 * 8 + 1];
    for (int i = 0; i < fi_isa_count; i++) {
        if (!fi_isas[i].supported())
            continue;
        for (int kind = 0; kind < FI_KINDS; kind++) {
            uint64_t digest = 0xcbf29ce484222325u;   /* FNV-1a */
            for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
                for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
                    fi_draw draw = {0x0123456789abcdefu + s, 0xfedcba9876543210u - c, {0}};
                    memcpy(draw.parameters, draws[kind].parameters, sizeof draw.parameters);
                    char *out = buffer + s % 2;   /* aligned, and not */
                    fi_fill(&fi_isas[i], kind, &draw, out, starts[s], counts[c], 1, never, NULL);
                    for (uint64_t b = 0; b < counts[c] * fi_itemsize(kind); b++)
                        digest = (digest ^ (unsigned char)out[b]) * 0x100000001b3u;
                }
            printf("%s: %s %016" PRIx64 "\n", fi_isas[i].name, draws[kind].name, digest);
        }
    }
    return 0;
}
