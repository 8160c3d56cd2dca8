/* The worst errors of transform.h, found by trying: every 32-bit word, and 2^27 chosen 64-bit words.

   cc -O3 -march=native -ffp-contract=off -fno-math-errno worst.c -o worst -lm && ./worst

   The radius r and the coordinates c of the point on the circle each have an error; they meet in z = r c. The last
   figure bounds the error of every z: the worst errors are kept by value, 128 bins an octave, and the worst sum
   |r| dc + |c| dr over all pairs of bins is taken, plus half an ulp for the product. */
#include "transform.h"

#include <stdio.h>

enum { OCTAVES = 12, BINS = 128 };   /* values from 2^-8 to 2^4; what is smaller counts as 2^-8 */

typedef struct {
    double relative;
    uint64_t word;
    double absolute[OCTAVES * BINS];
} errors;

static void keep(errors *all, uint64_t word, long double got, long double exact)
{
    double error = (double)fabsl(got - exact), size = (double)fabsl(exact);
    if (size > 0 && error / size > all->relative) {
        all->relative = error / size;
        all->word = word;
    }
    int exponent;
    double m = 2 * frexp(size < 0x1p-8 ? 0x1p-8 : size, &exponent);
    double *bin = &all->absolute[(exponent + 7) * BINS + (int)((m - 1) * BINS)];
    if (error > *bin)
        *bin = error;
}

/* The angle is the nearest quarter turn and x more, |x| <= pi / 4, so that sinl and cosl lose nothing. */
static void keep_circle(errors *all, uint64_t word, int quarter, long double x, double cosine, double sine)
{
    long double c = cosl(x), s = sinl(x);
    keep(all, word, cosine, quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s);
    keep(all, word, sine, quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c);
}

static double edge(int bin) { return ldexp(1 + (double)(bin % BINS) / BINS, bin / BINS - 8); }

/* In ulps of max(1, |z|) for a significand of `digits` bits. */
static double combined(const errors *r, const errors *c, int digits)
{
    double worst = 0;
    for (int i = 0; i < OCTAVES * BINS; i++)
        for (int j = 0; j < OCTAVES * BINS; j++) {
            double low = edge(i) * edge(j), error = edge(i + 1) * c->absolute[j] + edge(j + 1) * r->absolute[i];
            int exponent;
            frexp(low < 1 ? 1 : low, &exponent);
            if (r->absolute[i] > 0 && c->absolute[j] > 0)
                worst = fmax(worst, ldexp(error, digits - exponent) + 0.5);
        }
    return worst;
}

static void report(const char *name, const errors *r, const errors *c, int digits)
{
    printf("%s: relatively, radius 2^-%d * %.4f at %#llx, circle 2^-%d * %.4f at %#llx; normal %.4f ulp\n", name,
           digits - 1, ldexp(r->relative, digits - 1), (unsigned long long)r->word, digits - 1,
           ldexp(c->relative, digits - 1), (unsigned long long)c->word, combined(r, c, digits));
}

int main(void)
{
    static const long double pi = 3.14159265358979323846264338327950288L;
    static errors r32, c32, r64, c64;
    for (uint64_t w = 0; w < (uint64_t)1 << 32; w++) {
        uint32_t word = (uint32_t)w, sign;
        float c, s;
        if ((uint64_t)(float)(w + 1) == w + 1)   /* each u once: other words repeat a neighbour's */
            keep(&r32, word, fi_radius_float(word), sqrtl(-2 * logl((long double)(float)(w + 1) * 0x1p-32L)));
        fi_circle_float(word, &c, &s, &sign);
        if (sign)
            c = -c, s = -s;
        keep_circle(&c32, word, (int)((word + 0x20000000u) >> 30), (int32_t)(word << 2) * (pi * 0x1p-33L), c, s);
    }
    report("float", &r32, &c32, 24);

    uint64_t state = 1;
    for (int i = 0; i < 1 << 27; i++) {   /* a linear congruential generator, every other word near 0 or near 1 */
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = state ^ state >> 29, sign;
        double c, s;
        if (i % 4 < 2)
            word = (word >> (i / 4 % 52)) ^ (i % 4 ? UINT64_MAX : 0);
        keep(&r64, word, fi_radius_double(word, 1), sqrtl(-2 * logl((long double)((word >> 11) + 1) * 0x1p-53L)));
        fi_circle_double(word, &c, &s, &sign, 1);
        if (sign)
            c = -c, s = -s;
        int quarter = (int)((word + 0x2000000000000000u) >> 62);
        keep_circle(&c64, word, quarter, (int64_t)(word << 2) * (pi * 0x1p-65L), c, s);
    }
    report("double", &r64, &c64, 53);
    return 0;
}
