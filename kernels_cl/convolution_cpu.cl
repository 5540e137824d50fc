// Convolutions on a CPU: one work-item a work-group, no barriers, no local memory.
//
//     y[n, r, q, o] = sum over i, j, c of x'[n, r stride + i dilation - start, q stride + j dilation - start, c] w[i, j, c, o]
//
// x' is x with SPREAD - 1 zeros between its elements, and zeros around. A convolution spreads by 1; the transposed one,
// which is its gradient too, has stride 1. All sizes but the batch's are constants: a tile's addresses then need no
// registers.
//
// The text before this file is gemm_registers.cl and epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which
// stores.
#ifndef MR
#define MR 8   // rows of a tile in registers: columns of y, or elements of x; MR * NV + NV + 1 registers hold it
#endif
#ifndef NV
#define NV 3   // vectors of a tile's row: channels of y
#endif
#ifndef SEGMENT
#define SEGMENT 0  // columns of y whose x is laid out on the stack at once, padded and spread; 0: x is read where it lies
#endif
#ifndef PLAIN
#define PLAIN 0    // the epilogue only stores the value at its place in the result, which is its first parameter, p0
#endif
// X_HEIGHT X_WIDTH X_CHANNELS, Y_HEIGHT Y_WIDTH Y_CHANNELS, KERNEL_HEIGHT KERNEL_WIDTH, and for each axis STRIDE_
// DILATION_ SPREAD_ START_ with DOWN and ACROSS come from clnet/convolution/problem.py

#define NR (NV * WIDTH)
#define COLUMN(v) ((v) < NV - 1 ? (v) * WIDTH : last)  // where vector v of a tile's row begins

#if SEGMENT
#define X_FROM __private const T
#define LAID ((SEGMENT - 1) * STRIDE_ACROSS + (KERNEL_WIDTH - 1) * DILATION_ACROSS + 1)  // columns of x' on the stack
#else
#define X_FROM __global const S
#endif
#if DILATION_ACROSS == 1  // the kernel's row meets one run of x's elements, else one for each of its columns
#define RUNS 1
#define RUN (KERNEL_WIDTH * X_CHANNELS)
#else
#define RUNS KERNEL_WIDTH
#define RUN X_CHANNELS
#endif

// The rows of x' that a row of y meets, without those of zeros, and the kernel's row for each.
typedef struct {
    X_FROM *starts[KERNEL_HEIGHT];
    int taps[KERNEL_HEIGHT];
    int count;
} rows;

// A tile of y, whose columns begin at `first` in each row of x': into `sums` (MR, NR), or at ys, if given. Every element
// is one chain of multiply-adds, i, j, c ascending, whatever the tile.
WIDE static inline void multiply(T *restrict sums, __global T *restrict ys, const rows *restrict under, const int first,
                                 __global const S *restrict ws, const int last) {
    vector c[MR][NV];
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) c[i][v] = (vector)(0);

    for (int t = 0; t < under->count; t++) {
        __global const S *w = ws + (size_t)under->taps[t] * (RUNS * RUN * Y_CHANNELS);
        for (int j = 0; j < RUNS; j++) {
            X_FROM *x = under->starts[t] + first + j * DILATION_ACROSS * X_CHANNELS;
            for (int k = 0; k < RUN; k++) {
                vector row[NV];
                #pragma unroll
                for (int v = 0; v < NV; v++) row[v] = LOAD_OPERAND(w + COLUMN(v));
                #pragma unroll
                for (int i = 0; i < MR; i++) {
                    const vector element = x[i * STRIDE_ACROSS * X_CHANNELS + k];
                    #pragma unroll
                    for (int v = 0; v < NV; v++) c[i][v] = element * row[v] + c[i][v];  // an FMA
                }
                w += Y_CHANNELS;
            }
        }
    }

    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++)
            if (ys) STORE_GLOBAL(ys + i * Y_CHANNELS + COLUMN(v), c[i][v]);
            else STORE(sums + i * NR + COLUMN(v), c[i][v]);
}

#if SEGMENT
// Columns `from` and on of a row of x', on the stack: 1 % of the work that is done with them.
WIDE static inline void lay_out(T *restrict row, __global const S *restrict xs, const int from) {
#if SPREAD_ACROSS == 1
    const int begin = MIN(MAX(-from, 0), LAID), end = MAX(MIN(X_WIDTH - from, LAID), begin);
    for (int e = 0; e < begin * X_CHANNELS; e++) row[e] = 0;
    for (int e = begin * X_CHANNELS; e < end * X_CHANNELS; e++) row[e] = xs[from * X_CHANNELS + e];
    for (int e = end * X_CHANNELS; e < LAID * X_CHANNELS; e++) row[e] = 0;
#else
    for (int e = 0; e < LAID * X_CHANNELS; e++) row[e] = 0;
    for (int q = from > 0 ? (from + SPREAD_ACROSS - 1) / SPREAD_ACROSS : 0; q < X_WIDTH; q++) {
        const int place = q * SPREAD_ACROSS - from;
        if (place >= LAID) break;
        for (int e = 0; e < X_CHANNELS; e++) row[place * X_CHANNELS + e] = xs[q * X_CHANNELS + e];
    }
#endif
}
#endif

// Columns q0 .. q1 - 1 of row r of an image of y, and the panel's channels; xs is its image of x. A tile that would overhang y is moved back
// inside, and only its new elements are finished.
APART static void segment(__global const S *restrict xs, __global const S *restrict ws, const size_t image, const int r,
                          const int q0, const int q1, const int panel, EPILOGUE_PARAMETERS) {
    T sums[MR * NR] ALIGNED;
#if SEGMENT
    T room[KERNEL_HEIGHT * LAID * X_CHANNELS] ALIGNED;
#endif
    const int origin = MIN(q0, Y_WIDTH - MR), from = origin * STRIDE_ACROSS - START_ACROSS;
    rows under;
    under.count = 0;
    for (int i = 0; i < KERNEL_HEIGHT; i++) {
        const int place = r * STRIDE_DOWN + i * DILATION_DOWN - START_DOWN, h = place / SPREAD_DOWN;
        if (place < 0 || place % SPREAD_DOWN || h >= X_HEIGHT) continue;
        __global const S *x = xs + h * (X_WIDTH * X_CHANNELS);
#if SEGMENT
        T *laid = room + under.count * (LAID * X_CHANNELS);
        lay_out(laid, x, from);
        under.starts[under.count] = laid;
#else
        under.starts[under.count] = x + from * X_CHANNELS;
#endif
        under.taps[under.count++] = i;
    }
    const int column0 = MAX(0, MIN(panel * NR, Y_CHANNELS - NR)), last = MAX(0, MIN(NR, Y_CHANNELS - column0) - WIDTH);
    for (int q = q0; q < q1; q += MR) {
        const int begin = MIN(q, Y_WIDTH - MR), first = (begin - origin) * (STRIDE_ACROSS * X_CHANNELS);
        __global T *ys = 0;
#if PLAIN
        if (begin == q && column0 == panel * NR) ys = p0 + ((image * Y_HEIGHT + r) * Y_WIDTH + q) * Y_CHANNELS + column0;
#endif
        multiply(sums, ys, &under, first, ws + column0, last);
        if (!ys)
            for (int i = q - begin; i < MR; i++)
                for (int o = panel * NR - column0; o < MIN(NR, Y_CHANNELS - column0); o++)
                    epilogue(sums[i * NR + o], image, r * Y_WIDTH + begin + i, column0 + o, EPILOGUE_NAMES);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void convolution(
    __global const S *restrict xs, __global const S *restrict ws,
    const int block,     // rows of y of a work-group
    const int images,    // of a network: each has weights of its own
    const int x_images,  // after how many images of y those of x begin again: one batch may serve all networks
    EPILOGUE_PARAMETERS) {
    const size_t image = get_group_id(2);
    const int r0 = get_group_id(1) * block, r1 = MIN(r0 + block, Y_HEIGHT), width = SEGMENT ? SEGMENT : Y_WIDTH;
    __global const S *x = xs + image % x_images * (X_HEIGHT * X_WIDTH * X_CHANNELS);
    __global const S *w = ws + image / images * (KERNEL_HEIGHT * KERNEL_WIDTH * X_CHANNELS * Y_CHANNELS);
    for (int r = r0; r < r1; r++)
        for (int q = 0; q < Y_WIDTH; q += width)
            segment(x, w, image, r, q, MIN(q + width, Y_WIDTH), get_group_id(0), EPILOGUE_NAMES);
}
