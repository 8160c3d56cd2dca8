/* The instruction sets: a few lines and a table row each. No other file knows one. */
#include "fastinit.h"

#include "philox.h"
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
#if defined(__clang__)
#define FI_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define FI_SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (V){__VA_ARGS__})
#endif
typedef float float_out __attribute__((aligned(1)));   /* kernels write at any address */
typedef double double_out __attribute__((aligned(1)));
typedef uint32_t uint32_t_out __attribute__((aligned(1)));
#define FI_ALIGNED __attribute__((aligned(64)))
#else
#define FI_VECTORS 0
#define FI_UNROLL
#define FI_ALIGNED
typedef float float_out;
typedef double double_out;
typedef uint32_t uint32_t_out;
#endif

/* A tile's words, as 32-bit or as 64-bit ones (low word first). */
typedef union {
    FI_ALIGNED uint64_t wide[2 * FI_TILE_BLOCKS];
    uint32_t narrow[4 * FI_TILE_BLOCKS];
} fi_tile;

static int always(void) { return 1; }

#define ISA generic
#define TARGET
#define V uint64_t
#define LANES 1
#define LANE 0
#define GROUPS 4
#define MUL(a, m) (((a) & 0xffffffffu) * (m))
#include "kernels.inc"

#define ROW(isa, supported)                                                                                      \
    {                                                                                                            \
        #isa, supported,                                                                                         \
        {                                                                                                        \
            words_uint32_##isa, constant_float32_##isa, constant_float64_##isa, uniform_float32_##isa,           \
            uniform_float64_##isa, normal_float32_##isa, normal_float64_##isa,                                   \
        }                                                                                                        \
    }

const fi_isa fi_isas[] = {
    ROW(generic, always),
};
const int fi_isa_count = sizeof fi_isas / sizeof *fi_isas;

size_t fi_itemsize(int kind)
{
    static const unsigned char bytes[FI_KINDS] = {4, 4, 8, 4, 8, 4, 8};
    return bytes[kind];
}

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
