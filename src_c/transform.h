/* Random words to one number: scalar C99 without a branch, a table or a library call other than fma and sqrt.

   Every operation here is one that IEEE 754 rounds exactly (add, multiply, divide, fma, sqrt, conversions), so
   every compiler, processor and vector width gives the same bits. minimax.py finds the coefficients; worst.c finds
   the errors that stand beside them, over every 32-bit word or over 2^32 sampled 64-bit words. */
#ifndef FASTINIT_TRANSFORM_H
#define FASTINIT_TRANSFORM_H

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

/* (double)(int64_t)x, rounded once, from operations that every vector unit has. The constants are the biases of
   the two halves written into the significands of doubles with exponents 84 and 52. */
FI_INLINE double fi_double_of_int64(uint64_t x)
{
    double high = fi_double_of_bits((x >> 32) ^ 0x4530000080000000u) - 0x1.00000801p+84;
    return high + fi_double_of_bits((x & 0xffffffffu) | 0x4330000000000000u);
}

/* ---- uniform: u = k / 2^b in [0, 1), then u * scale + low, at most `most` ---- */

FI_INLINE float fi_uniform_float(uint32_t word, float low, float scale, float most)
{
    float u = (float)(int32_t)(word >> 8) * 0x1p-24f;
    float x = fmaf(u, scale, low);
    return x < most ? x : most;
}

FI_INLINE double fi_uniform_double(uint64_t word, double low, double scale, double most)
{
    double u = fi_double_of_int64(word >> 11) * 0x1p-53;
    double x = fma(u, scale, low);
    return x < most ? x : most;
}

/* ---- Box-Muller: sqrt(-2 ln u1) times a point on the unit circle ---- */

/* sqrt(-2 ln u), u the float nearest to (word + 1) / 2^32, in [0, 6.67].
   u = 2^e m with m in [sqrt(1/2), sqrt(2)) and t = 2 - 2m, so that -2 ln m = t + t^2 Q(t); Q is within 2^-24.98
   of it, relative to the whole. */
FI_INLINE float fi_radius_float(uint32_t word)
{
    float scaled = fmaf((float)(int32_t)(word >> 16), 0x1p16f, (float)(int32_t)((word & 0xffffu) + 1u));
    uint32_t bits = fi_bits_of_float(scaled) - 0x4f3504f3u;   /* 2^32 sqrt(1/2) */
    float e = (float)((int32_t)bits >> 23);
    float m = fi_float_of_bits((bits & 0x007fffffu) + 0x3f3504f3u);
    float t = fmaf(m, -2.0f, 2.0f);
    float q = 0x1.65f076p-12f;
    q = fmaf(q, t, 0x1.250560p-10f);
    q = fmaf(q, t, 0x1.317c96p-9f);
    q = fmaf(q, t, 0x1.535c30p-8f);
    q = fmaf(q, t, 0x1.98d3a2p-7f);
    q = fmaf(q, t, 0x1.0004a8p-5f);
    q = fmaf(q, t, 0x1.5556f0p-4f);
    q = fmaf(q, t, 0x1.fffffap-3f);
    return sqrtf(fmaf(e, -0x1.62e430p+0f, fmaf(q * t, t, t)));   /* 2 ln 2 */
}

/* The cosine and sine of 2 pi word / 2^32: of x within an eighth of a turn, then swapped and signed by quadrant. */
FI_INLINE void fi_circle_float(uint32_t word, float *cosine, float *sine)
{
    float t = (float)(int32_t)(word << 2) * 0x1p-31f;
    float z = t * t;
    float p = -0x1.2db5cep-15f;
    p = fmaf(p, z, 0x1.465facp-9f);
    p = fmaf(p, z, -0x1.4abbbep-4f);
    p = fmaf(p, z, -0x1.777a5cp-26f);   /* what pi / 4 has beyond a float */
    float s = fmaf(t, 0x1.921fb6p-1f, t * p);
    p = -0x1.4e78bep-12f;
    p = fmaf(p, z, 0x1.03b058p-6f);
    p = fmaf(p, z, -0x1.3bd39cp-2f);
    float c = fmaf(p, z, 1.0f);
    uint32_t quadrant = word + 0x20000000u;
    int odd = (quadrant & 0x40000000u) != 0;
    *cosine = fi_float_of_bits(fi_bits_of_float(odd ? s : c) ^ ((quadrant + 0x40000000u) & 0x80000000u));
    *sine = fi_float_of_bits(fi_bits_of_float(odd ? c : s) ^ (quadrant & 0x80000000u));
}

FI_INLINE void fi_normal_float(uint32_t radius, uint32_t angle, float mean, float std, float *even, float *odd)
{
    float r = fi_radius_float(radius), cosine, sine;
    fi_circle_float(angle, &cosine, &sine);
    *even = fmaf(std, r * cosine, mean);
    *odd = fmaf(std, r * sine, mean);
}

/* sqrt(-2 ln u), u = (floor(word / 2^11) + 1) / 2^53, in [0, 8.58].
   As for float, but -2 ln m = 4 artanh(s / 4) = s + s^3 Q(s^2) with s = 4 (1 - m) / (1 + m). */
FI_INLINE double fi_radius_double(uint64_t word)
{
    double scaled = fi_double_of_int64((word >> 11) + 1);
    /* 2^53 sqrt(1/2), and 64 more, which keep the exponent positive: few vector units shift signed 64-bit lanes */
    uint64_t bits = fi_bits_of_double(scaled) - 0x4336a09e667f3bcdu + 0x0400000000000000u;
    double e = fi_double_of_bits((bits >> 52) | 0x4330000000000000u) - (0x1p52 + 64);
    double m = fi_double_of_bits((bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
    double s = fma(m, -2.0, 2.0) / fma(m, 0.5, 0.5);
    double z = s * s;
    double q = 0x1.2f03b53a6c719p-32;
    q = fma(q, z, 0x1.39a1e9457903cp-28);
    q = fma(q, z, 0x1.74663ce8c4d95p-24);
    q = fma(q, z, 0x1.c71c521465e88p-20);
    q = fma(q, z, 0x1.24924941e1402p-15);
    q = fma(q, z, 0x1.999999997ff1ap-11);
    q = fma(q, z, 0x1.5555555555592p-6);
    return sqrt(fma(e, -0x1.62e42fefa39efp+0, fma(s * z, q, s)));   /* 2 ln 2 */
}

FI_INLINE void fi_circle_double(uint64_t word, double *cosine, double *sine)
{
    double t = fi_double_of_int64(word << 2) * 0x1p-63;
    double z = t * t;
    double p = 0x1.e3fbdf83a7758p-38;
    p = fma(p, z, -0x1.e3008fa5cc55fp-30);
    p = fma(p, z, 0x1.5078300342debp-22);
    p = fma(p, z, -0x1.32d2cce31beecp-15);
    p = fma(p, z, 0x1.466bc67758c4cp-9);
    p = fma(p, z, -0x1.4abbce625be46p-4);
    p = fma(p, z, 0x1.1a62633145c07p-55);   /* what pi / 4 has beyond a double */
    double s = fma(t, 0x1.921fb54442d18p-1, t * p);
    p = 0x1.f3dc19b724c7fp-34;
    p = fma(p, z, -0x1.a6c9c80323d05p-26);
    p = fma(p, z, 0x1.e1f4fb7f9436ap-19);
    p = fma(p, z, -0x1.55d3c7dc398efp-12);
    p = fma(p, z, 0x1.03c1f081b0df1p-6);
    p = fma(p, z, -0x1.3bd3cc9be459dp-2);
    double c = fma(p, z, 1.0);
    uint64_t quadrant = word + 0x2000000000000000u;
    int64_t odd = (quadrant & 0x4000000000000000u) != 0;
    *cosine = fi_double_of_bits(fi_bits_of_double(odd ? s : c) ^
                                ((quadrant + 0x4000000000000000u) & 0x8000000000000000u));
    *sine = fi_double_of_bits(fi_bits_of_double(odd ? c : s) ^ (quadrant & 0x8000000000000000u));
}

FI_INLINE void fi_normal_double(uint64_t radius, uint64_t angle, double mean, double std, double *even, double *odd)
{
    double r = fi_radius_double(radius), cosine, sine;
    fi_circle_double(angle, &cosine, &sine);
    *even = fma(std, r * cosine, mean);
    *odd = fma(std, r * sine, mean);
}

#endif
