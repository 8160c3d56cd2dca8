/* The worst errors of transform.h, found by trying: every 32-bit word, and 2^27 chosen 64-bit words.

   cc -O3 -march=native -ffp-contract=off -fno-math-errno worst.c -o worst -lm && ./worst

   The radius r and the coordinates c of the point on the circle each have an error; they meet in z = r c. The last
   line bounds the error of every z: the worst errors are kept by value, 128 bins an octave, and the worst sum
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

static double edge(int bin) { return ldexp(1 + (double)(bin % BINS) / BINS, bin / BINS - 8); }

/* In ulps of max(1, |z|), `digits` of them binary. */
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
    printf("%s: radius %.4f ulp at %016llx, circle %.4f ulp at %016llx (relative, in 2^-%d); normal %.4f ulp\n", name,
           ldexp(r->relative, digits - 1), (unsigned long long)r->word, ldexp(c->relative, digits - 1),
           (unsigned long long)c->word, digits - 1, combined(r, c, digits));
}

/* cos and sin of 2 pi (quadrant / 4 + x / 2 pi) */
static void exact_circle(int quadrant, long double x, long double *cosine, long double *sine)
{
    long double c = cosl(x), s = sinl(x);
    *cosine = quadrant == 0 ? c : quadrant == 1 ? -s : quadrant == 2 ? -c : s;
    *sine = quadrant == 0 ? s : quadrant == 1 ? c : quadrant == 2 ? -s : -c;
}

int main(void)
{
    static const long double pi = 3.14159265358979323846264338327950288L;
    static errors r32, c32, r64, c64;
    long double cosine, sine;
    for (uint64_t w = 0; w < (uint64_t)1 << 32; w++) {
        uint32_t word = (uint32_t)w;
        float c, s;
        if (w < 1 << 24 || w % 256 == 0xff || w % 257 == 0)   /* u has 24 bits: its neighbours repeat it */
            keep(&r32, word, fi_radius_float(word), sqrt(-2 * log((double)(float)((double)word + 1) * 0x1p-32)));
        fi_circle_float(word, &c, &s);
        int quadrant = (int)((word + 0x20000000u) >> 30);
        double x = (int32_t)(word << 2) * (double)(pi * 0x1p-33L), exact_c = cos(x), exact_s = sin(x);
        keep(&c32, word, c, quadrant == 0 ? exact_c : quadrant == 1 ? -exact_s : quadrant == 2 ? -exact_c : exact_s);
        keep(&c32, word, s, quadrant == 0 ? exact_s : quadrant == 1 ? exact_c : quadrant == 2 ? -exact_s : -exact_c);
    }
    report("float", &r32, &c32, 24);

    uint64_t state = 1;
    for (int i = 0; i < 1 << 27; i++) {   /* a linear congruential generator, every other word near 0 or near 1 */
        state = state * 6364136223846793005u + 1442695040888963407u;
        uint64_t word = state ^ state >> 29;
        if (i % 4 < 2)
            word = (word >> (i / 4 % 52)) ^ (i % 4 ? UINT64_MAX : 0);
        keep(&r64, word, fi_radius_double(word), sqrtl(-2 * logl((long double)((word >> 11) + 1) * 0x1p-53L)));
        double c, s;
        fi_circle_double(word, &c, &s);
        exact_circle((int)((word + 0x2000000000000000u) >> 62), (int64_t)(word << 2) * (pi * 0x1p-65L), &cosine, &sine);
        keep(&c64, word, c, cosine);
        keep(&c64, word, s, sine);
    }
    report("double", &r64, &c64, 53);
    return 0;
}
