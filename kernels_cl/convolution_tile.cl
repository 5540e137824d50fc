// The tiles of convolutions on a CPU: MR rows of NR channels of y, which stay in registers.
//
// A row is NV vectors and, where the channels do not fill another, a narrower one: 20 are 16 + 4 (two convolutions of
// Nielsen's, batch 64: 1.9 -> 1.4 ms for the gradient by pictures). No row goes beyond y's channels: its last vector is moved back inside.
//
// Both read x's elements, the narrow one through a pointer of its own, x + zero, because LLVM would load an element of
// both once, and make the wide vector of it from the narrow: that shuffle costs what the narrow one saves.
//
// The text before this file is gemm_registers.cl.
#ifndef NV
#define NV 3    // vectors of a row
#endif
#ifndef TAIL
#define TAIL 0  // elements of the narrower one, a power of two; 0: there is none
#endif

#define NR (NV * WIDTH + TAIL)
// Where vector v of a row begins; `last`: where the last one does, in a row that begins at a column, or that lies apart.
#define AT(v) ((v) < NV - 1 || TAIL ? (v) * WIDTH : last)
#define LAST(column) MAX(0, MIN(NR, Y_CHANNELS - (column)) - (TAIL ? TAIL : WIDTH))
#define APART_LAST (NR - (TAIL ? TAIL : WIDTH))

#if TAIL < 2
typedef T tail;
#define LOAD_TAIL(p) (*(p))
#else
typedef JOIN(T, TAIL) tail __attribute__((aligned(sizeof(T))));
#if HALF
typedef JOIN(half, TAIL) tail_stored __attribute__((aligned(2)));
#define LOAD_TAIL(p) JOIN(convert_, JOIN(T, TAIL))(*(__global const tail_stored *)(p))
#else
#define LOAD_TAIL(p) (*(__global const tail *)(p))
#endif
#endif
#if Y_CHANNELS == 3 && WIDTH == 4  // pictures in colour
#define LOAD_VECTOR(p) (vector)((T)(p)[0], (T)(p)[1], (T)(p)[2], 0)
#else
#define LOAD_VECTOR(p) LOAD_OPERAND(p)
#endif

typedef struct {
    vector parts[NV];
    tail rest;
} channels;

WIDE static inline channels zeros() {
    channels c;
    #pragma unroll
    for (int v = 0; v < NV; v++) c.parts[v] = (vector)(0);
    c.rest = (tail)(0);
    return c;
}

WIDE static inline channels load_channels(__global const S *restrict from, const int last) {
    channels c = zeros();
    #pragma unroll
    for (int v = 0; v < NV; v++) c.parts[v] = LOAD_VECTOR(from + AT(v));
    if (TAIL) c.rest = LOAD_TAIL(from + last);
    return c;
}

// What store_channels_global has stored apart.
WIDE static inline channels resume_channels(__global const T *restrict from) {
    channels c;
    #pragma unroll
    for (int v = 0; v < NV; v++) c.parts[v] = LOAD_GLOBAL(from + v * WIDTH);
    c.rest = TAIL ? *(__global const tail *)(from + NV * WIDTH) : (tail)(0);
    return c;
}

// c + element * row, by FMAs; `again` is the element too.
WIDE static inline channels multiply_add(channels c, const T element, const T again, const channels row) {
    #pragma unroll
    for (int v = 0; v < NV; v++) c.parts[v] = (vector)(element) * row.parts[v] + c.parts[v];
    if (TAIL) c.rest = (tail)(again) * row.rest + c.rest;
    return c;
}

WIDE static inline void store_channels(T *restrict to, const channels c, const int last) {
    #pragma unroll
    for (int v = 0; v < NV; v++) STORE(to + AT(v), c.parts[v]);
    if (TAIL) *(tail *)(to + last) = c.rest;
}

WIDE static inline void store_channels_global(__global T *restrict to, const channels c, const int last) {
    #pragma unroll
    for (int v = 0; v < NV; v++) STORE_GLOBAL(to + AT(v), c.parts[v]);
    if (TAIL) *(__global tail *)(to + last) = c.rest;
}
