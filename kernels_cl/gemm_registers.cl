// Vector registers for the products on a CPU: loads and stores that every compiler keeps in line, a square transposed.
#ifndef T
#define T float   // float or double
#endif
#ifndef BYTES
#define BYTES 64  // of a vector register
#endif
#ifndef WIDTH
#define WIDTH 16  // elements in it that are used: a power of two
#endif

#ifndef HALF
#define HALF 0    // 1: operands lie in memory as half
#endif

#define MIN(a, b) ((a) < (b) ? (a) : (b))  // min() of integers is a call in PoCL 3.0
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
// vload16 is not inlined by PoCL 3.0, 50 against 327 GFLOP/s: vectors are loaded through pointers to this type.
#if WIDTH == 1
#define VECTOR(type) type
#else
#define VECTOR(type) JOIN(type, WIDTH)
#endif
typedef VECTOR(T) vector __attribute__((aligned(sizeof(T))));
#define LOAD(p) (*(const vector *)(p))
#if HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define S half  // type of an operand's element in memory
typedef VECTOR(half) vector_stored __attribute__((aligned(2)));
#define LOAD_OPERAND(p) JOIN(convert_, VECTOR(T))(*(__global const vector_stored *)(p))
#else
#define S T
#define LOAD_OPERAND(p) LOAD_GLOBAL(p)
#endif
#define LOAD_GLOBAL(p) (*(__global const vector *)(p))
#define STORE_GLOBAL(p, x) (*(__global vector *)(p) = (x))
#define STORE(p, x) (*(vector *)(p) = (x))
#define ALIGNED __attribute__((aligned(64)))

// Compilers keep from registers of 512 bits, for two reasons: PoCL 3.0 compiles for an older processor on those younger
// than itself (Zen 4: AVX2, 65 GFLOP/s, with the attribute 214), and tuned for Intel's they split each in two (half the
// speed). The function stays apart from its caller, which is not told so.
#if defined(__x86_64__) && BYTES == 64
#define WIDE __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma,tune=haswell")))
#define APART WIDE __attribute__((noinline))
#else
#define WIDE
#define APART
#endif

#if WIDTH > 1
// WIDTH rows become columns: each round deals the rows' halves out like a deck of cards.
WIDE static inline void transpose(vector *restrict rows) {
    #pragma unroll
    for (int round = 1; round < WIDTH; round *= 2) {
        vector dealt[WIDTH];
        #pragma unroll
        for (int i = 0; i < WIDTH / 2; i++) {
            dealt[2 * i].even = rows[i].lo;
            dealt[2 * i].odd = rows[i + WIDTH / 2].lo;
            dealt[2 * i + 1].even = rows[i].hi;
            dealt[2 * i + 1].odd = rows[i + WIDTH / 2].hi;
        }
        #pragma unroll
        for (int i = 0; i < WIDTH; i++) rows[i] = dealt[i];
    }
}

// to (SQUARE, SQUARE), rows `to_stride` apart, = the transposed from (SQUARE, SQUARE), rows `from_stride` apart.
#if WIDTH >= 8 && BYTES == 4 * WIDTH && !HALF
// Of the wide registers' halves, and in halves of those: shuffles that LLVM keeps. 16 x 16 by `transpose`: 190 cycles,
// by these 100 to 150.
#define SQUARE 8
#define HALVES(p, stride) (float8)(*(__global const quarter *)(p), *(__global const quarter *)((p) + 4 * (stride)))
typedef float4 quarter __attribute__((aligned(4)));
typedef float8 eight __attribute__((aligned(4)));

WIDE static inline void copy_transposed(float *restrict to, const int to_stride, __global const float *restrict from,
                                        const size_t from_stride) {
    #pragma unroll
    for (int j = 0; j < 8; j += 4) {
        float8 x[4], y[4];
        #pragma unroll
        for (int i = 0; i < 4; i++) x[i] = HALVES(from + i * from_stride + j, from_stride);
        #pragma unroll
        for (int i = 0; i < 2; i++) {
            const float8 a = x[2 * i], b = x[2 * i + 1];
            y[i] = (float8)(a.s0, b.s0, a.s1, b.s1, a.s4, b.s4, a.s5, b.s5);
            y[i + 2] = (float8)(a.s2, b.s2, a.s3, b.s3, a.s6, b.s6, a.s7, b.s7);
        }
        #pragma unroll
        for (int i = 0; i < 4; i += 2) {
            const float8 a = y[i], b = y[i + 1];
            *(eight *)(to + (j + i) * to_stride) = (float8)(a.s01, b.s01, a.s45, b.s45);
            *(eight *)(to + (j + i + 1) * to_stride) = (float8)(a.s23, b.s23, a.s67, b.s67);
        }
    }
}
#else
#define SQUARE WIDTH

WIDE static inline void copy_transposed(T *restrict to, const int to_stride, __global const S *restrict from,
                                        const size_t from_stride) {
    vector rows[WIDTH];
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) rows[i] = LOAD_OPERAND(from + i * from_stride);
    transpose(rows);
    #pragma unroll
    for (int i = 0; i < WIDTH; i++) STORE(to + i * to_stride, rows[i]);
}
#endif
#endif
