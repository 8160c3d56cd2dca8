/* Random words to one number: scalar C99 without a branch or a library call other than fma and sqrt.

   Every operation here is one that IEEE 754 rounds exactly (add, multiply, divide, fma, sqrt, conversions), so
   every compiler, processor and vector width gives the same bits. minimax.py finds the coefficients; worst.c finds
   the errors that stand beside them, over every 32-bit word or over 2^32 sampled 64-bit words. */
#ifndef FASTINIT_TRANSFORM_H
#define FASTINIT_TRANSFORM_H

#include "tail.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define FI_INLINE static inline __attribute__((always_inline))
#else
#define FI_INLINE static inline
#endif

FI_INLINE float fi_float_of_bits(uint32_t bits) { float x; memcpy(&x, &bits, sizeof x); return x; }
FI_INLINE uint32_t fi_bits_of_float(float x) { uint32_t bits; memcpy(&bits, &x, sizeof bits); return bits; }
FI_INLINE double fi_double_of_bits(uint64_t bits) { double x; memcpy(&x, &bits, sizeof x); return x; }
FI_INLINE uint64_t fi_bits_of_double(double x) { uint64_t bits; memcpy(&bits, &x, sizeof bits); return bits; }

/* (double)(int64_t)x, rounded once. Where the vector unit has no such conversion, `converts` is 0 and the same value
   comes from the halves of x, written into the significands of doubles with exponents 84 and 52. */
FI_INLINE double fi_double_of_int64(uint64_t x, int converts)
{
    if (converts)
        return (double)(int64_t)x;
    double high = fi_double_of_bits((x >> 32) ^ 0x4530000080000000u) - 0x1.00000801p+84;
    return high + fi_double_of_bits((x & 0xffffffffu) | 0x4330000000000000u);
}

FI_INLINE float fi_clamp_float(float x, float least, float most)
{
    x = x > least ? x : least;
    return x < most ? x : most;
}
FI_INLINE double fi_clamp_double(double x, double least, double most)
{
    x = x > least ? x : least;
    return x < most ? x : most;
}

/* ---- 16 bits: rounded to nearest even; x is finite and within the dtype's range ---- */

FI_INLINE uint16_t fi_bfloat16_of_float(float x)
{
    uint32_t bits = fi_bits_of_float(x);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

FI_INLINE uint16_t fi_float16_of_float(float x)
{
    uint32_t bits = fi_bits_of_float(x), magnitude = bits & 0x7fffffffu;
    uint32_t normal = ((magnitude + 0xfffu + ((magnitude >> 13) & 1u)) >> 13) - (112u << 10);
    uint32_t subnormal = fi_bits_of_float(fi_float_of_bits(magnitude) + 0.5f) - 0x3f000000u;   /* 0.5 has 2^-24 as ulp */
    return (uint16_t)((bits >> 16 & 0x8000u) | (magnitude < 0x38800000u ? subnormal : normal));
}

/* ---- uniform: u = k / 2^b in [0, 1), then fma(u, SCALE, LOW): never below LOW, but it may round up to high ---- */
enum { FI_LOW, FI_SCALE, FI_GREATEST, FI_SMALLEST, FI_UNIFORM_PARAMETERS };

FI_INLINE float fi_uniform_float(uint32_t word, const float *p)
{
    float u = (float)(int32_t)(word >> 8) * 0x1p-24f;
    float x = fmaf(u, p[FI_SCALE], p[FI_LOW]);
    return x < p[FI_GREATEST] ? x : p[FI_GREATEST];
}

/* For 16 bits: LOW may not be one of their numbers, and rounding would go below. */
FI_INLINE float fi_uniform_between_float(uint32_t word, const float *p)
{
    float x = fi_uniform_float(word, p);
    return x > p[FI_SMALLEST] ? x : p[FI_SMALLEST];
}

FI_INLINE double fi_uniform_double(uint64_t word, const double *p, int converts)
{
    double u = fi_double_of_int64(word >> 11, converts) * 0x1p-53;
    double x = fma(u, p[FI_SCALE], p[FI_LOW]);
    return x < p[FI_GREATEST] ? x : p[FI_GREATEST];
}

/* ---- the logarithm ---- */

/* -2 ln(x / 2^k), x / 2^k positive and not subnormal.
   x = 2^e m with m / 2^k in [sqrt(1/2), sqrt(2)), and -2 ln(m / 2^k) = t + t^2 Q(t) with t = 2 - 2m / 2^k; Q is within
   2^-24.98, relative to the whole. */
FI_INLINE float fi_minus_2_log_float(float x, int k)
{
    uint32_t bits = fi_bits_of_float(x);
    uint32_t exponent = (bits - (0x3f3504f3u + ((uint32_t)k << 23))) & 0xff800000u;   /* of sqrt(1/2) */
    float e = (float)(int32_t)exponent;   /* times 2^23 */
    float m = fi_float_of_bits(bits - exponent);
    float t = fmaf(m, -2.0f * fi_float_of_bits((uint32_t)(127 - k) << 23), 2.0f);
    float q = 0x1.65f03cp-12f;   /* 0.000341356674 */
    q = fmaf(q, t, 0x1.250548p-10f);   /* 0.001117785 */
    q = fmaf(q, t, 0x1.317c96p-9f);   /* 0.00233067828 */
    q = fmaf(q, t, 0x1.535c32p-8f);   /* 0.00517822476 */
    q = fmaf(q, t, 0x1.98d3a2p-7f);   /* 0.0124764005 */
    q = fmaf(q, t, 0x1.0004a8p-5f);   /* 0.0312522203 */
    q = fmaf(q, t, 0x1.5556f0p-4f);   /* 0.0833348632 */
    q = fmaf(q, t, 0x1.fffffap-3f);   /* 0.249999955 */
    return fmaf(e, -0x1.62e430p-23f, fmaf(q * t, t, t));   /* 2 ln 2 */
}

/* As for float, x / 2^k at least 2^-63; but -2 ln m = 4 artanh(s / 4) = s + s^3 Q(s^2) with s = 4 (1 - m) / (1 + m),
   and Q is within 2^-59.50. The 64 keeps the exponent positive: few vector units shift signed 64-bit lanes. */
FI_INLINE double fi_minus_2_log_double(double x, int k, int converts)
{
    uint64_t bits = fi_bits_of_double(x) - (0x3fe6a09e667f3bcdu + ((uint64_t)k << 52));
    double e = converts ? (double)((int64_t)bits >> 52)
                        : fi_double_of_bits(((bits + (64ull << 52)) >> 52) | 0x4330000000000000u) - (0x1p52 + 64);
    double m = fi_double_of_bits((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double s = fma(m, -2.0, 2.0) / fma(m, 0.5, 0.5);
    double z = s * s;
    double q = 0x1.2f02561a53e9ap-32;   /* 2.7558519498153834e-10 */
    q = fma(q, z, 0x1.39a20b21992d6p-28);   /* 4.5639605719668517e-09 */
    q = fma(q, z, 0x1.74663ba8d69d0p-24);   /* 8.6705979852029951e-08 */
    q = fma(q, z, 0x1.c71c5219fd0f5p-20);   /* 1.6954192063575213e-06 */
    q = fma(q, z, 0x1.24924941db6b3p-15);   /* 3.4877232350944384e-05 */
    q = fma(q, z, 0x1.999999997ff61p-11);   /* 0.00078124999998861408 */
    q = fma(q, z, 0x1.5555555555592p-6);   /* 0.020833333333333544 */
    return fma(e, -0x1.62e42fefa39efp+0, fma(s * z, q, s));   /* 2 ln 2 */
}

/* ---- Box-Muller: sqrt(-2 ln u1) times a point on the unit circle ----

   The radius is within 0.88 ulp (float, at word 0xe1b2c1ff) and 1.11 ulp (double, at 0xe1df278fc19a1447) of a number
   just above a power of two, relatively; the point's coordinates within 1.07 ulp (0x1e161bd0) and 1.05 ulp
   (0xe0d13e6133a72178); a normal within 3.87 ulp (float) and 3.90 ulp (double) of max(1, |z|). */

/* sqrt(-2 ln u), u the float nearest to (word + 1) / 2^32, in [0, 6.67]. */
FI_INLINE float fi_radius_float(uint32_t word)
{
    /* word + 1, rounded once; the greatest word, for which that is 2^32 too, gives way to its neighbour */
    float scaled = (float)((word < 0xfffffffeu ? word : 0xfffffffeu) + 1u);
    return sqrtf(fi_minus_2_log_float(scaled, 32));
}

/* sqrt(-2 ln u), u = (floor(word / 2^11) + 1) / 2^53, in [0, 8.58]. */
FI_INLINE double fi_radius_double(uint64_t word, int converts)
{
    return sqrt(fi_minus_2_log_double(fi_double_of_int64((word >> 11) + 1, converts), 53, converts));
}

/* The cosine and sine of 2 pi word / 2^32, both to be multiplied by the sign (0, or the sign bit).
   t is within an eighth of a turn of the nearest quarter: the polynomials give sin(pi t / 4) and cos(pi t / 4), which
   trade places on odd quarters. They are within 2^-27.88 and 2^-24.59, relatively. */
FI_INLINE void fi_circle_float(uint32_t word, float *cosine, float *sine, uint32_t *sign)
{
    float t = (float)(int32_t)(word << 2) * 0x1p-31f;
    float z = t * t;
    float p = -0x1.2db5ccp-15f;   /* -3.59666519e-05 */
    p = fmaf(p, z, 0x1.465facp-9f);   /* 0.00249003386 */
    p = fmaf(p, z, -0x1.4abbbep-4f);   /* -0.0807454512 */
    p = fmaf(p, z, -0x1.777a5cp-26f);   /* what pi / 4 has beyond a float */
    float s = fmaf(t, 0x1.921fb6p-1f, t * p);
    p = -0x1.4e78bep-12f;   /* -0.000318977021 */
    p = fmaf(p, z, 0x1.03b058p-6f);   /* 0.0158501491 */
    p = fmaf(p, z, -0x1.3bd39cp-2f);   /* -0.308424413 */
    float c = fmaf(p, z, 1.0f);
    uint32_t quadrant = word + 0x20000000u;
    int odd = (int32_t)(quadrant << 1) < 0;
    *sign = quadrant & 0x80000000u;
    *cosine = odd ? -s : c;
    *sine = odd ? c : s;
}

/* As for float; the polynomials are within 2^-57.91 and 2^-53.85. */
FI_INLINE void fi_circle_double(uint64_t word, double *cosine, double *sine, uint64_t *sign, int converts)
{
    double t = fi_double_of_int64(word << 2, converts) * 0x1p-63;
    double z = t * t;
    double p = 0x1.e3fbdb1b5abdap-38;   /* 6.8778236376268938e-12 */
    p = fma(p, z, -0x1.e3008f9e68858p-30);   /* -1.7571517362692452e-09 */
    p = fma(p, z, 0x1.507830033f199p-22);   /* 3.1336162482889417e-07 */
    p = fma(p, z, -0x1.32d2cce31bedap-15);   /* -3.6576204160419185e-05 */
    p = fma(p, z, 0x1.466bc67758c4cp-9);   /* 0.0024903945701893245 */
    p = fma(p, z, -0x1.4abbce625be46p-4);   /* -0.080745512188280605 */
    p = fma(p, z, 0x1.1a62633145c07p-55);   /* what pi / 4 has beyond a double */
    double s = fma(t, 0x1.921fb54442d18p-1, t * p);
    p = 0x1.f3dc1833f80e8p-34;   /* 1.1365494726954457e-10 */
    p = fma(p, z, -0x1.a6c9c8006c875p-26);   /* -2.4609512651402112e-08 */
    p = fma(p, z, 0x1.e1f4fb7f91281p-19);   /* 3.5908591937992085e-06 */
    p = fma(p, z, -0x1.55d3c7dc398dep-12);   /* -0.00032599188649696891 */
    p = fma(p, z, 0x1.03c1f081b0df1p-6);   /* 0.015854344243747268 */
    p = fma(p, z, -0x1.3bd3cc9be459dp-2);   /* -0.30842513753403883 */
    double c = fma(p, z, 1.0);
    uint64_t quadrant = word + 0x2000000000000000u;
    int64_t odd = (int64_t)(quadrant << 1) < 0;
    *sign = quadrant & 0x8000000000000000u;
    *cosine = odd ? -s : c;
    *sine = odd ? c : s;
}

FI_INLINE void fi_normal_float(uint32_t radius, uint32_t angle, float mean, float std, float *even, float *odd)
{
    float r = fi_radius_float(radius), cosine, sine;
    uint32_t sign;
    fi_circle_float(angle, &cosine, &sine, &sign);
    std = fi_float_of_bits(fi_bits_of_float(std) ^ sign);
    *even = fmaf(std, r * cosine, mean);
    *odd = fmaf(std, r * sine, mean);
}

FI_INLINE void fi_normal_double(uint64_t radius, uint64_t angle, double mean, double std, double *even, double *odd,
                                int converts)
{
    double r = fi_radius_double(radius, converts), cosine, sine;
    uint64_t sign;
    fi_circle_double(angle, &cosine, &sine, &sign, converts);
    std = fi_double_of_bits(fi_bits_of_double(std) ^ sign);
    *even = fma(std, r * cosine, mean);
    *odd = fma(std, r * sine, mean);
}

/* ---- truncated normal: the inverse distribution function at u, strictly between 0 and 1 ----

   P(X < x) = fma(u, BELOW_SCALE, BELOW), and P(X > x) likewise at 1 - u, so that each keeps its relative precision in
   its own tail. Where the whole interval lies beyond 3 std, its tail is divided by P at the nearer end, MINUS_2_LOG has
   -2 ln of that, and the other "probability" is 2.

   The worst errors found, in ulp of max(1, |z|): 3.31 (float) and 3.90 (double) where all bounds are within 3 std, 3.77
   (wide) and 2.54 (far) beyond; on [-2, 2], 2.83 and 3.38. tests/test_truncated.py has the words. */
enum {
    FI_MEAN,
    FI_STD,
    FI_BELOW,
    FI_BELOW_SCALE,
    FI_ABOVE,
    FI_ABOVE_SCALE,
    FI_MINUS_2_LOG,
    FI_LEAST,   /* the least and the greatest value that the dtype may give */
    FI_MOST,
    FI_TRUNCATED_PARAMETERS
};

/* x of its two tails, |x| <= 3: t P(w), t = below - above and w = -2 ln(1 - t^2) = -2 ln(4 below above), in [0, 10.45].
   P is within 2^-26.45. */
FI_INLINE float fi_central_float(float below, float above)
{
    float w = fi_minus_2_log_float(below * above, -2);
    float p = -0x1.8f0726p-36f;   /* -2.26821114e-11 */
    p = fmaf(p, w, 0x1.3d0686p-30f);   /* 1.15333199e-09 */
    p = fmaf(p, w, -0x1.62d6dep-26f);   /* -2.06543671e-08 */
    p = fmaf(p, w, 0x1.4ac46ap-24f);   /* 7.701275e-08 */
    p = fmaf(p, w, 0x1.10381ap-19f);   /* 2.02819069e-06 */
    p = fmaf(p, w, -0x1.80174ep-17f);   /* -1.14468048e-05 */
    p = fmaf(p, w, -0x1.b06334p-12f);   /* -0.000412356865 */
    p = fmaf(p, w, 0x1.0b92e2p-8f);   /* 0.00408285158 */
    p = fmaf(p, w, 0x1.4ffdf2p-3f);   /* 0.164058581 */
    p = fmaf(p, w, 0x1.40d932p+0f);   /* 1.25331414 */
    return (below - above) * p;
}

/* As for float; P is within 2^-53.60. */
FI_INLINE double fi_central_double(double below, double above, int converts)
{
    double w = fi_minus_2_log_double(below * above, -2, converts);
    double p = 0x1.1d251ae73cc9ap-78;   /* 3.6854119936335015e-24 */
    p = fma(p, w, -0x1.015aaaa9e24b7p-71);   /* -4.2575675437563414e-22 */
    p = fma(p, w, 0x1.a65a0a2a69bd4p-66);   /* 2.2359113759382253e-20 */
    p = fma(p, w, -0x1.9be55a255f4e7p-61);   /* -6.9777880774434182e-19 */
    p = fma(p, w, 0x1.04ab7c0dcb803p-56);   /* 1.4130941515776441e-17 */
    p = fma(p, w, -0x1.b3fb8318036ffp-53);   /* -1.8907725605801392e-16 */
    p = fma(p, w, 0x1.d3b09729d6aa0p-50);   /* 1.6226249738672512e-15 */
    p = fma(p, w, -0x1.3d689beab4cc9p-47);   /* -8.8098592060905403e-15 */
    p = fma(p, w, 0x1.da7f6ed3240c2p-45);   /* 5.2679836582055756e-14 */
    p = fma(p, w, -0x1.54d53a011db0cp-41);   /* -6.0544088200892629e-13 */
    p = fma(p, w, 0x1.02b45e7e6f854p-39);   /* 1.8382065069198639e-12 */
    p = fma(p, w, 0x1.0bf96ac3aaadep-34);   /* 6.0930298183003675e-11 */
    p = fma(p, w, -0x1.bc520c1b15f07p-33);   /* -2.0205356905530711e-10 */
    p = fma(p, w, -0x1.8097d4f99ad42p-27);   /* -1.1193132187789499e-08 */
    p = fma(p, w, 0x1.7f795d83bd23ap-25);   /* 4.4642258804481089e-08 */
    p = fma(p, w, 0x1.147b50c212e84p-19);   /* 2.0599491970302781e-06 */
    p = fma(p, w, -0x1.7bc0dd9997c18p-17);   /* -1.1317532698727455e-05 */
    p = fma(p, w, -0x1.b0d7e37756ba0p-12);   /* -0.00041279155217005016 */
    p = fma(p, w, 0x1.0b9a8ec5daacfp-8);   /* 0.0040833090368816568 */
    p = fma(p, w, 0x1.4ffddeaa22c97p-3);   /* 0.16405843693460007 */
    p = fma(p, w, 0x1.40d931ff62706p+0);   /* 1.2533141373155003 */
    return (below - above) * p;
}

FI_INLINE float fi_truncated_float(uint32_t word, const float *p)
{
    float u = (float)(int32_t)((word >> 8) | 1u) * 0x1p-24f;   /* (k + 1/2) / 2^23 */
    float x = fi_central_float(fmaf(u, p[FI_BELOW_SCALE], p[FI_BELOW]),
                               fmaf(1.0f - u, p[FI_ABOVE_SCALE], p[FI_ABOVE]));
    return fi_clamp_float(fmaf(p[FI_STD], x, p[FI_MEAN]), p[FI_LEAST], p[FI_MOST]);
}

FI_INLINE double fi_truncated_double(uint64_t word, const double *p, int converts)
{
    double u = fi_double_of_int64((word >> 11) | 1u, converts) * 0x1p-53;   /* (k + 1/2) / 2^52 */
    double x = fi_central_double(fma(u, p[FI_BELOW_SCALE], p[FI_BELOW]),
                                 fma(1.0 - u, p[FI_ABOVE_SCALE], p[FI_ABOVE]), converts);
    return fi_clamp_double(fma(p[FI_STD], x, p[FI_MEAN]), p[FI_LEAST], p[FI_MOST]);
}

/* r - x where r = sqrt(-2 ln P(X > x)), for r in [3.5, 9.8]: within 2^-54.35 of r. */
FI_INLINE double fi_near_tail_double(double r)
{
    double s = r - 6.625;
    double d = -0x1.36ce09bff1d39p-66;   /* -1.6453871030411125e-20 */
    d = fma(d, s, 0x1.d09233c307221p-64);   /* 9.837675750241695e-20 */
    d = fma(d, s, 0x1.5a411cb50487ap-62);   /* 2.9328883773982777e-19 */
    d = fma(d, s, -0x1.42e9fa97dfd72p-60);   /* -1.0940751207549937e-18 */
    d = fma(d, s, -0x1.49b342cf54be2p-56);   /* -1.7873085725619283e-17 */
    d = fma(d, s, 0x1.d374f36a443c6p-54);   /* 1.0136354412504593e-16 */
    d = fma(d, s, -0x1.8166b81c59f01p-52);   /* -3.3428229525346733e-16 */
    d = fma(d, s, 0x1.89b4d3db72021p-49);   /* 2.7318866452661764e-15 */
    d = fma(d, s, -0x1.a02208290a99fp-46);   /* -2.3100018399034375e-14 */
    d = fma(d, s, 0x1.6cfa9a23dbb00p-43);   /* 1.6208319774816545e-13 */
    d = fma(d, s, -0x1.41c77c2612a1cp-40);   /* -1.1431895007844102e-12 */
    d = fma(d, s, 0x1.2381b15540bc5p-37);   /* 8.2851162272030279e-12 */
    d = fma(d, s, -0x1.0951bed4b314bp-34);   /* -6.0326628521989293e-11 */
    d = fma(d, s, 0x1.e4f6c9c020ea7p-32);   /* 4.410722030737426e-10 */
    d = fma(d, s, -0x1.be1326de1e21cp-29);   /* -3.2456214235806774e-09 */
    d = fma(d, s, 0x1.9d2f3dcbf7accp-26);   /* 2.4050505406545824e-08 */
    d = fma(d, s, -0x1.81af6f6062110p-23);   /* -1.7959871013670447e-07 */
    d = fma(d, s, 0x1.6b40d7a6f6172p-20);   /* 1.3532239593241991e-06 */
    d = fma(d, s, -0x1.59dfce4f07674p-17);   /* -1.0307855658860133e-05 */
    d = fma(d, s, 0x1.4e016713db6f1p-14);   /* 7.9633111736500885e-05 */
    d = fma(d, s, -0x1.48f84bd801318p-11);   /* -0.00062746030289470827 */
    d = fma(d, s, 0x1.4e0d34a9f9ebdp-8);   /* 0.0050972226690430529 */
    d = fma(d, s, -0x1.6678e8234986fp-5);   /* -0.043758824724407279 */
    d = fma(d, s, 0x1.ba15158c6c852p-2);   /* 0.43172105474071032 */
    return d;
}

/* As above for r >= 4, with a polynomial for each octave up to 2^28, beyond which it is less than an ulp of r. */
FI_INLINE double fi_far_tail_double(double r)
{
    uint64_t bits = fi_bits_of_double(r);
    int64_t row = (int64_t)(bits >> 52) - 1025;
    row = row < FI_TAIL_ROWS ? row : FI_TAIL_ROWS - 1;
    double s = fi_double_of_bits((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u) - 1.5;
    double d = fi_tail_table[row][FI_TAIL_COUNT - 1];
    for (int i = FI_TAIL_COUNT - 2; i >= 0; i--)
        d = fma(d, s, fi_tail_table[row][i]);
    return d;
}

FI_INLINE double fi_tail_double(double u, const double *p, int far, int converts)
{
    double below = fma(u, p[FI_BELOW_SCALE], p[FI_BELOW]), above = fma(1.0 - u, p[FI_ABOVE_SCALE], p[FI_ABOVE]);
    double tail = below < above ? below : above;
    double r = sqrt(fi_minus_2_log_double(tail, 0, converts) + p[FI_MINUS_2_LOG]);
    double x = r - (far ? fi_far_tail_double(r) : fi_near_tail_double(r));
    x = below < above ? -x : x;
    if (!far) {
        double inner = fi_central_double(below, above, converts);
        x = below + above < 1.5 && tail > 0.0014 ? inner : x;   /* P(X > 3) = 0.00135 */
    }
    return fi_clamp_double(fma(p[FI_STD], x, p[FI_MEAN]), p[FI_LEAST], p[FI_MOST]);
}

/* Bounds beyond 3 std are worked out in double for both dtypes; LEAST and MOST are floats then, so that rounding stays
   inside. `far`: both beyond 4 on one side, one beyond 9. */
FI_INLINE float fi_truncated_tail_float(uint32_t word, const double *p, int far, int converts)
{
    return (float)fi_tail_double((double)(int32_t)((word >> 8) | 1u) * 0x1p-24, p, far, converts);
}
FI_INLINE double fi_truncated_tail_double(uint64_t word, const double *p, int far, int converts)
{
    return fi_tail_double(fi_double_of_int64((word >> 11) | 1u, converts) * 0x1p-53, p, far, converts);
}

#endif
