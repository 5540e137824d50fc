// Convolutions on a CPU: one work-item a work-group, no barriers, no local memory.
//
//     y[n, r, q, o] = sum over i, j, c of x'[n, r stride + i dilation - start, q stride + j dilation - start, c] w[i, j, c, o]
//
// x' is x with SPREAD - 1 zeros between its elements, and zeros around. A convolution spreads by 1; the transposed one,
// which is its gradient too, has stride 1, and no zero between elements is ever multiplied: columns of y that are SPREAD
// apart meet the same columns of the kernel, and neighbours in x. All sizes but the batch's are constants: a tile's
// addresses then need no registers.
//
// The text before this file is convolution_tile.cl and epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which
// stores.
#ifndef MR
#define MR 8       // rows of a tile: columns of y
#endif
#ifndef IMAGES
#define IMAGES 1   // of a tile, where rows of y are narrow: each has MC of its columns
#endif
#ifndef SEGMENT
#define SEGMENT 0  // columns of y whose x is laid out on the stack at once, padded; 0: x is read where it lies
#endif
#ifndef PLAIN
#define PLAIN 0    // the epilogue only stores the value at its place in the result, which is its first parameter, p0
#endif
#ifndef PANEL
#define PANEL 0    // axis of the launch that counts panels of channels: 0, side by side, or 2, all of y for each
#endif
#ifndef FETCH
#define FETCH 0    // how many rows ahead those of the panel are fetched; 0: it stays in the core's own cache
#endif
// X_HEIGHT X_WIDTH X_CHANNELS, Y_HEIGHT Y_WIDTH Y_CHANNELS, KERNEL_HEIGHT KERNEL_WIDTH, and for each axis STRIDE_
// DILATION_ SPREAD_ START_ with DOWN and ACROSS come from clnet/convolution/problem.py

#define COLUMNS(p) ((Y_WIDTH - (p) + SPREAD_ACROSS - 1) / SPREAD_ACROSS)  // of a row of y, those p, p + SPREAD, ...

#define MC (MR / IMAGES)
#define X_IMAGE (X_HEIGHT * X_WIDTH * X_CHANNELS)  // elements of an image
#define Y_IMAGE (Y_HEIGHT * Y_WIDTH * Y_CHANNELS)

#define REACH (((KERNEL_WIDTH - 1) * DILATION_ACROSS + SPREAD_ACROSS - 1) / SPREAD_ACROSS)  // columns of x beyond the first
#if SEGMENT
#define X_FROM __private const T
#define LAID ((SEGMENT - 1) * STRIDE_ACROSS + REACH + 1)  // columns of x on the stack
#define X_APART (KERNEL_HEIGHT * LAID * X_CHANNELS)  // elements from an image of the tile to the next
#else
#define X_FROM __global const S
#define X_APART X_IMAGE
#endif
#if DILATION_ACROSS == 1 && SPREAD_ACROSS == 1  // the kernel's row meets one run of x's elements, else one for each of its columns
#define RUNS 1
#define RUN (KERNEL_WIDTH * X_CHANNELS)
#else
#define RUNS KERNEL_WIDTH
#define RUN X_CHANNELS
#endif

// The rows of x that a row of y meets, in the first image of a tile, and the kernel's row for each.
typedef struct {
    X_FROM *starts[KERNEL_HEIGHT];
    int taps[KERNEL_HEIGHT];
    int count;
} rows;

// A tile of y, whose columns begin at `first` in each row of x: into `sums` (MR, NR), or at ys, if given. They meet the
// kernel's columns j for which shift + j DILATION is a multiple of SPREAD. Every element is one chain of multiply-adds,
// i, j, c ascending, whatever the tile.
WIDE static inline void multiply(T *restrict sums, __global T *restrict ys, const rows *restrict under, const int first,
                                 const int shift, __global const S *restrict ws, const int last, const int zero) {
    channels c[MR];
    #pragma unroll
    for (int i = 0; i < MR; i++) c[i] = zeros();

    for (int t = 0; t < under->count; t++) {
        for (int j = 0; j < RUNS; j++) {
            const int across = shift + j * DILATION_ACROSS;
            if (across % SPREAD_ACROSS) continue;
            __global const S *w = ws + (size_t)(under->taps[t] * RUNS + j) * (RUN * Y_CHANNELS);
            X_FROM *x = under->starts[t] + first + across / SPREAD_ACROSS * X_CHANNELS;
            X_FROM *again = x + zero;
            for (int k = 0; k < RUN; k++) {
                const channels row = load_channels(w, last);
                if (FETCH)
                    for (int o = 0; o < NR; o += 64 / sizeof(S)) __builtin_prefetch(w + FETCH * Y_CHANNELS + o);
                #pragma unroll
                for (int i = 0; i < MR; i++) {
                    const int place = i / MC * X_APART + i % MC * STRIDE_ACROSS * X_CHANNELS + k;
                    c[i] = multiply_add(c[i], x[place], again[place], row);
                }
                w += Y_CHANNELS;
            }
        }
    }

    #pragma unroll
    for (int i = 0; i < MR; i++)
        if (ys) store_channels_global(ys + i / MC * Y_IMAGE + i % MC * SPREAD_ACROSS * Y_CHANNELS, c[i], last);
        else store_channels(sums + i * NR, c[i], last);
}

#if SEGMENT
// Columns `from` and on of a row of x, with zeros around, on the stack: 1 % of the work that is done with them.
WIDE static inline void lay_out(T *restrict row, __global const S *restrict xs, const int from) {
    const int begin = MIN(MAX(-from, 0), LAID), end = MAX(MIN(X_WIDTH - from, LAID), begin);
    for (int e = 0; e < begin * X_CHANNELS; e++) row[e] = 0;
    for (int e = begin * X_CHANNELS; e < end * X_CHANNELS; e++) row[e] = xs[from * X_CHANNELS + e];
    for (int e = end * X_CHANNELS; e < LAID * X_CHANNELS; e++) row[e] = 0;
}
#endif

// Columns p + SPREAD q of row r of an image of y, or of IMAGES, for q0 <= q < q1, and the panel's channels; xs is the
// image of x. A tile that would overhang y is moved back inside, and only its new elements are finished, those of `done`
// images not.
APART static void segment(__global const S *restrict xs, __global const S *restrict ws, const size_t image,
                          const int done, const int r, const int p, const int q0, const int q1, const int panel,
                          const int zero, EPILOGUE_PARAMETERS) {
    T sums[MR * NR] ALIGNED;
#if SEGMENT
    T room[IMAGES * X_APART] ALIGNED;
#endif
    const int last_q = COLUMNS(p) - MC, origin = MIN(q0, last_q);
    const int shift = ((p - START_ACROSS) % SPREAD_ACROSS + SPREAD_ACROSS) % SPREAD_ACROSS;
    const int from = origin * STRIDE_ACROSS + (p - START_ACROSS - shift) / SPREAD_ACROSS;
    rows under;
    under.count = 0;
    for (int i = 0; i < KERNEL_HEIGHT; i++) {
        const int place = r * STRIDE_DOWN + i * DILATION_DOWN - START_DOWN, h = place / SPREAD_DOWN;
        if (place < 0 || place % SPREAD_DOWN || h >= X_HEIGHT) continue;
        __global const S *x = xs + h * (X_WIDTH * X_CHANNELS);
#if SEGMENT
        T *laid = room + under.count * (LAID * X_CHANNELS);
        for (int g = 0; g < IMAGES; g++) lay_out(laid + g * X_APART, x + g * X_IMAGE, from);
        under.starts[under.count] = laid;
#else
        under.starts[under.count] = x + from * X_CHANNELS;
#endif
        under.taps[under.count++] = i;
    }
    const int column0 = MAX(0, MIN(panel * NR, Y_CHANNELS - NR)), last = LAST(column0);
    for (int q = q0; q < q1; q += MC) {
        const int begin = MIN(q, last_q), first = (begin - origin) * (STRIDE_ACROSS * X_CHANNELS);
        const int pixel = r * Y_WIDTH + p + begin * SPREAD_ACROSS;
        __global T *ys = 0;
#if PLAIN
        if (!done && begin == q && column0 == panel * NR) ys = p0 + image * Y_IMAGE + pixel * Y_CHANNELS + column0;
#endif
        multiply(sums, ys, &under, first, shift, ws + column0, last, zero);
        if (!ys)
            for (int i = done * MC; i < MR; i++)
                for (int o = panel * NR - column0; i % MC >= q - begin && o < MIN(NR, Y_CHANNELS - column0); o++)
                    epilogue(sums[i * NR + o], image + i / MC, pixel + i % MC * SPREAD_ACROSS, column0 + o, EPILOGUE_NAMES);
    }
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void convolution(
    __global const S *restrict xs, __global const S *restrict ws,
    const int block,     // rows of y of a work-group
    const int images,    // of a network: each has weights of its own
    const int x_images,  // after how many images of y those of x begin again: one batch may serve all networks
    const int zero,      // 0, which no compiler knows: see convolution_tile.cl
    EPILOGUE_ARGUMENTS) {
    const int sets = (images + IMAGES - 1) / IMAGES, network = get_group_id(2 - PANEL) / sets;
    const int wanted = get_group_id(2 - PANEL) % sets * IMAGES, first = MIN(wanted, images - IMAGES);
    const size_t image = (size_t)network * images + first;
    const int r0 = get_group_id(1) * block, r1 = MIN(r0 + block, Y_HEIGHT);
    __global const S *x = xs + image % x_images * X_IMAGE;
    __global const S *w = ws + network * (KERNEL_HEIGHT * KERNEL_WIDTH * X_CHANNELS * Y_CHANNELS);
    for (int r = r0; r < r1; r++)
        for (int p = 0; p < SPREAD_ACROSS; p++)
            for (int q = 0; q < COLUMNS(p); q += SEGMENT ? SEGMENT : Y_WIDTH)
                segment(x, w, image, wanted - first, r, p, q, SEGMENT ? MIN(q + SEGMENT, COLUMNS(p)) : Y_WIDTH,
                        get_group_id(PANEL), zero, EPILOGUE_VALUES);
}
