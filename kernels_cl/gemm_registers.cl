// Vector registers for the products on a CPU: loads and stores that every compiler keeps in line, a square transposed.
#ifndef T
#define T float   // float or double
#endif
#ifndef BYTES
#define BYTES 64  // of a vector register
#endif
#ifndef WIDTH
#define WIDTH 16  // elements in it
#endif

#define MIN(a, b) ((a) < (b) ? (a) : (b))  // min() of integers is a call in PoCL 3.0
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
// vload16 is not inlined by PoCL 3.0, 50 against 327 GFLOP/s: vectors are loaded through pointers to this type.
typedef JOIN(T, WIDTH) vector __attribute__((aligned(sizeof(T))));
#define LOAD(p) (*(const vector *)(p))
#define LOAD_GLOBAL(p) (*(__global const vector *)(p))
#define STORE_GLOBAL(p, x) (*(__global vector *)(p) = (x))
#define STORE(p, x) (*(vector *)(p) = (x))
#define ALIGNED __attribute__((aligned(64)))

// PoCL 3.0 compiles for an older processor on those younger than itself (Zen 4: AVX2, 65 GFLOP/s). The attribute gives
// the wide registers back (214), if the function stays apart from its caller, which lacks them.
#if defined(__x86_64__) && BYTES == 64 && !defined(__AVX512F__)
#define WIDE __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,fma")))
#define APART WIDE __attribute__((noinline))
#else
#define WIDE
#define APART
#endif

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
