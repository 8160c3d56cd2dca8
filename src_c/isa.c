/* The instruction sets: a few lines and a table row each. No other file knows one. */
#include "fastinit.h"

#include "philox.h"
#include "sparse.h"
#include "transform.h"

#ifdef __FAST_MATH__
#error "-ffast-math would change the values; build without it"
#endif

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FI_WORD32(tile, i) ((tile).narrow[(i) ^ 1])
#else
#define FI_WORD32(tile, i) ((tile).narrow[i])
#endif
#define FI_WORD64(tile, i) ((tile).wide[i])

#if defined(__GNUC__)
#define FI_VECTORS 1
#define FI_UNROLL _Pragma("GCC unroll 16")
#define FI_ALIGNED __attribute__((aligned(64)))
#define FI_PREFETCH(address) __builtin_prefetch(address, 1)
#define FI_LANES(T) T __attribute__((vector_size(sizeof(V))))
/* A vector of lanes of type T, taken by number from two, the second's counted on from the first's. */
#if defined(__clang__)
#define FI_SHUFFLE(T, a, b, ...) ((V)__builtin_shufflevector((FI_LANES(T))(a), (FI_LANES(T))(b), __VA_ARGS__))
#else
#define FI_SHUFFLE(T, a, b, ...) ((V)__builtin_shuffle((FI_LANES(T))(a), (FI_LANES(T))(b), (FI_LANES(T)){__VA_ARGS__}))
#endif
typedef float float_out __attribute__((aligned(1)));   /* kernels write at any address */
typedef double double_out __attribute__((aligned(1)));
typedef uint32_t uint32_t_out __attribute__((aligned(1)));
typedef uint16_t uint16_t_out __attribute__((aligned(1)));
#else
#define FI_VECTORS 0
#define FI_UNROLL
#define FI_ALIGNED
#define FI_PREFETCH(address) ((void)0)
typedef float float_out;
typedef double double_out;
typedef uint32_t uint32_t_out;
typedef uint16_t uint16_t_out;
#endif

/* A tile's words, as 32-bit or as 64-bit ones (low word first). */
typedef union {
    FI_ALIGNED uint64_t wide[2 * FI_TILE_BLOCKS];
    uint32_t narrow[4 * FI_TILE_BLOCKS];
} fi_tile;

/* The elements of a tile that are computed in type T. */
#define FI_TILE(T) ((int)(16 * FI_TILE_BLOCKS / sizeof(T)))

static int always(void) { return 1; }

#define ISA generic
#define TARGET
#define V uint64_t
#define LANES 1
#define LANE 0
#define CONVERTS 1
#define GROUPS 4
#define MUL(a, m) (((a) & 0xffffffffu) * (m))
#define HALVES 1
#define HALF(from, to) (*(to) = fi_float16_of_float(*(from)))
#include "kernels.inc"

#if FI_VECTORS && defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
typedef uint64_t fi_v4 __attribute__((vector_size(32)));
typedef uint64_t fi_v8 __attribute__((vector_size(64)));

#define ISA avx2
#define TARGET __attribute__((target("avx2,fma,f16c,bmi2,prfchw")))
#define V fi_v4
#define LANES 4
#define LANE ((V){0, 1, 2, 3})
#define CONVERTS 0
#define GROUPS 2
#define MUL(a, m) ((V)_mm256_mul_epu32((__m256i)(a), _mm256_set1_epi64x(m)))
#define HALVES 8
#define HALF(from, to) _mm_storeu_si128((__m128i *)(to), _mm256_cvtps_ph(_mm256_loadu_ps(from), _MM_FROUND_CUR_DIRECTION))
#include "kernels.inc"
static int has_avx2(void)
{
    unsigned a, b, c, d;   /* not every compiler knows f16c by name */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
           __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

#define ISA avx512
#if defined(__clang__)
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,f16c,bmi2,prfchw")))
#else
#define TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,fma,f16c,bmi2,prfchw,prefer-vector-width=512")))
#endif
#define V fi_v8
#define LANES 8
#define LANE ((V){0, 1, 2, 3, 4, 5, 6, 7})
#define CONVERTS 1
#define GROUPS 4
#define MUL(a, m) ((V)_mm512_mul_epu32((__m512i)(a), _mm512_set1_epi64(m)))
#define HALVES 16
#define HALF(from, to) \
    _mm256_storeu_si256((__m256i *)(to), _mm512_cvtps_ph(_mm512_loadu_ps(from), _MM_FROUND_CUR_DIRECTION))
#include "kernels.inc"
static int has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

#if FI_VECTORS && defined(__aarch64__)
#include <arm_neon.h>
typedef uint64_t fi_v2 __attribute__((vector_size(16)));

#define ISA neon
#define TARGET
#define V fi_v2
#define LANES 2
#define LANE ((V){0, 1})
#define CONVERTS 1
#define GROUPS 4
#define MUL(a, m) ((V)vmull_u32(vmovn_u64((uint64x2_t)(a)), vdup_n_u32(m)))
#define HALVES 4
#define HALF(from, to) vst1_u8((uint8_t *)(to), vreinterpret_u8_f16(vcvt_f16_f32(vld1q_f32(from))))
#include "kernels.inc"
#endif

const fi_isa fi_isas[] = {
    {"generic", always, kernels_generic},
#if FI_VECTORS && defined(__x86_64__)
    {"avx2", has_avx2, kernels_avx2},
    {"avx512", has_avx512, kernels_avx512},
#elif FI_VECTORS && defined(__aarch64__)
    {"neon", always, kernels_neon},
#endif
};
const int fi_isa_count = sizeof fi_isas / sizeof *fi_isas;

#if defined(__clang__)
const char fi_compiler[] = __VERSION__;
#elif defined(__GNUC__)
const char fi_compiler[] = "GCC " __VERSION__;
#else
const char fi_compiler[] = "unknown";
#endif

#define FACTS(law, dtype, bytes) {#law, #dtype, bytes, bytes == 8 ? 2 : 4},
const fi_kind_facts fi_kinds[FI_KINDS] = {FI_EACH_KIND(FACTS)};

/* A fill costs microseconds, and fesetenv a tenth of one: set the one register that matters where it is known. */
#if defined(__x86_64__) && defined(__GNUC__)
fi_float_state fi_float_default(void)
{
    fi_float_state state = {__builtin_ia32_stmxcsr()};
    __builtin_ia32_ldmxcsr(0x1f80);   /* the state of a new process */
    return state;
}
void fi_float_restore(fi_float_state state) { __builtin_ia32_ldmxcsr((unsigned)state.control); }

#elif defined(__aarch64__) && defined(__GNUC__)
fi_float_state fi_float_default(void)
{
    fi_float_state state;
    __asm__ volatile("mrs %0, fpcr" : "=r"(state.control));
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
    return state;
}
void fi_float_restore(fi_float_state state) { __asm__ volatile("msr fpcr, %0" : : "r"(state.control)); }

#else
fi_float_state fi_float_default(void)
{
    fi_float_state state;
    fegetenv(&state.environment);
    fesetenv(FE_DFL_ENV);
    return state;
}
void fi_float_restore(fi_float_state state) { fesetenv(&state.environment); }
#endif
