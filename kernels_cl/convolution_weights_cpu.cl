// The gradient of a convolution by its weights, on a CPU: one work-item a work-group, no barriers, no local memory.
//
//     dw[i, j, c, o] = sum over n, r, q of x'[n, r stride + i dilation - start, q stride + j dilation - start, c] dy[n, r, q, o]
//
// where x' is as in convolution_cpu.cl. A tile of dw, elements c by channels o, stays in registers while it walks
// over the pixels of an image that meet each other through its tap (i, j): no zero is ever multiplied. Images come in
// blocks that a core's first cache holds, or in rows; between them a tile waits in memory. Every element is one chain of multiply-adds,
// n, r, q ascending, in each of the parts into which the batch is cut.
//
// The text before this file is convolution_tile.cl and epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which
// stores.
#ifndef MR
#define MR 8     // rows of a tile: elements of x
#endif
#ifndef MERGED
#define MERGED 0 // a row of the kernel is one tap of KERNEL_WIDTH * X_CHANNELS elements: where nothing is padded or apart
#endif
#ifndef PARTS
#define PARTS 0  // the batch is cut: sums go to one array a part, which `merge` adds up; 0: sums go to the epilogue
#endif

#define TAPS (MERGED ? 1 : KERNEL_WIDTH)                            // of a row of the kernel
#define DEPTH (MERGED ? KERNEL_WIDTH * X_CHANNELS : X_CHANNELS)     // elements of a tap
#define DEEP ((DEPTH + MR - 1) / MR)                                // tiles of a tap below each other
#define PANELS ((Y_CHANNELS + NR - 1) / NR)                         // and side by side
#define TILES (KERNEL_HEIGHT * TAPS * DEEP * PANELS)
#define X_STEP(axis) (SPREAD_##axis == 1 ? STRIDE_##axis : 1)        // of x, from one pair of elements that meet to the next
#define WEIGHTS (KERNEL_HEIGHT * KERNEL_WIDTH * X_CHANNELS * Y_CHANNELS)

// A network's scratch: tiles that wait, (parts, TILES, MR, NR), and where the batch is cut (parts, WEIGHTS) of sums.
#define SPACE(parts) ((parts) * (TILES * MR * NR + (PARTS ? WEIGHTS : 0)))

// Which elements of x and y meet through a tap, along one axis: `count` pairs, the first of them (x, y).
typedef struct {
    int x, y, count;
} meeting;

// Solves y stride + offset = x spread for 0 <= x < x_extent, 0 <= y < y_extent, where stride or spread is 1.
static inline meeting meet(const int x_extent, const int y_extent, const int stride, const int spread, const int offset) {
    meeting found;
    if (spread == 1) {
        found.y = offset < 0 ? (-offset + stride - 1) / stride : 0;
        found.x = found.y * stride + offset;
        const int there = x_extent - 1 - offset;
        found.count = (there < 0 ? 0 : MIN(y_extent, there / stride + 1)) - found.y;
    } else {
        found.x = offset > 0 ? (offset + spread - 1) / spread : 0;
        found.y = found.x * spread - offset;
        const int there = y_extent - 1 + offset;
        found.count = (there < 0 ? 0 : MIN(x_extent, there / spread + 1)) - found.x;
    }
    return found;
}

// Of those, the ones whose y lies in y0 .. y1 - 1; from one to the next, x and y grow by so much.
static inline meeting within(meeting all, const int y0, const int y1, const int x_step, const int y_step) {
    const int before = all.y < y0 ? (y0 - all.y + y_step - 1) / y_step : 0;
    all.x += before * x_step;
    all.y += before * y_step;
    all.count = MIN(all.count - before, (y1 - all.y + y_step - 1) / y_step);
    return all;
}

// What `images` images give through one tap, on top of what waits if `resume`: into `done` (MR, NR) or back.
WIDE static inline void multiply(__global T *restrict waiting, T *restrict done, __global const S *restrict xs,
                                 __global const S *restrict ys, const meeting down, const meeting across,
                                 const int images, const int last, const int zero, const bool resume) {
    channels c[MR];
    #pragma unroll
    for (int i = 0; i < MR; i++) c[i] = resume ? resume_channels(waiting + i * NR) : zeros();

    for (int n = 0; n < images; n++)
        for (int r = 0; r < down.count; r++) {
            const size_t h = n * X_HEIGHT + down.x + r * X_STEP(DOWN);
            const size_t t = n * Y_HEIGHT + down.y + r * SPREAD_DOWN;
            __global const S *x = xs + (h * X_WIDTH + across.x) * X_CHANNELS;
            __global const S *y = ys + (t * Y_WIDTH + across.y) * Y_CHANNELS;
            for (int q = 0; q < across.count; q++) {
                const channels row = load_channels(y, last);
                __global const S *again = x + zero;
                #pragma unroll
                for (int i = 0; i < MR; i++) c[i] = multiply_add(c[i], x[i], again[i], row);
                x += X_STEP(ACROSS) * X_CHANNELS;
                y += SPREAD_ACROSS * Y_CHANNELS;
            }
        }

    #pragma unroll
    for (int i = 0; i < MR; i++)
        if (done) store_channels(done + i * NR, c[i], last);
        else store_channels_global(waiting + i * NR, c[i], APART_LAST);
}

// A tile of dw over rows r0 .. r1 - 1 of y of a block of images; the last block of its part if `final`.
APART static void block(__global T *restrict waiting, __global T *restrict sums, __global const S *restrict xs,
                        __global const S *restrict ys, const int tile, const int images, const int r0, const int r1,
                        const bool resume, const bool final, const size_t network, const int zero, EPILOGUE_PARAMETERS) {
    const int panel = tile % PANELS, deep = tile / PANELS % DEEP, j = tile / PANELS / DEEP % TAPS;
    const int i = tile / PANELS / DEEP / TAPS;
    const int column0 = MAX(0, MIN(panel * NR, Y_CHANNELS - NR)), last = LAST(column0);
    const int row0 = MIN(deep * MR, DEPTH - MR), row = (i * TAPS + j) * DEPTH + row0;
    const meeting all = meet(X_HEIGHT, Y_HEIGHT, STRIDE_DOWN, SPREAD_DOWN, i * DILATION_DOWN - START_DOWN);
    const meeting down = within(all, r0, r1, X_STEP(DOWN), SPREAD_DOWN);
    const meeting across = meet(X_WIDTH, Y_WIDTH, STRIDE_ACROSS, SPREAD_ACROSS, j * DILATION_ACROSS - START_ACROSS);
    T done[MR * NR] ALIGNED;
    multiply(waiting, final ? done : 0, xs + row0, ys + column0, down, across, images, last, zero,
             resume);
    if (!final) return;
    for (int m = deep * MR - row0; m < MR; m++)
        for (int o = panel * NR - column0; o < MIN(NR, Y_CHANNELS - column0); o++)
#if PARTS
            sums[(row + m) * Y_CHANNELS + column0 + o] = done[m * NR + o];
#else
            epilogue(done[m * NR + o], network, row + m, column0 + o, EPILOGUE_NAMES);
#endif
}

__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void convolution_weights(
    __global T *restrict space,  // (networks, SPACE(parts))
    __global const S *restrict xs, __global const S *restrict ys,
    const int images,           // of the batch
    const int part,             // images of a part
    const int together,         // images of a block
    const int rows,             // of y of a block
    const int tiles,            // of a work-group
    const int zero,             // 0, which no compiler knows: see convolution_tile.cl
    const ulong x_stride, const ulong y_stride,  // elements from one network to the next; 0: all the same
    EPILOGUE_ARGUMENTS) {
    const size_t network = get_group_id(2);
    const int tile0 = get_group_id(0) * tiles, tile1 = MIN(tile0 + tiles, TILES);
    const int begin = get_group_id(1) * part, end = MIN(begin + part, images);
    const size_t parts = get_num_groups(1);
    __global T *own = space + network * SPACE(parts), *waiting = own + get_group_id(1) * (TILES * MR * NR);
    __global T *sums = own + parts * (TILES * MR * NR) + get_group_id(1) * WEIGHTS;
    for (int n = begin; n < end; n += together) {
        const int count = MIN(together, end - n);
        __global const S *x = xs + network * x_stride + (size_t)n * (X_HEIGHT * X_WIDTH * X_CHANNELS);
        __global const S *y = ys + network * y_stride + (size_t)n * (Y_HEIGHT * Y_WIDTH * Y_CHANNELS);
        for (int r = 0; r < Y_HEIGHT; r += rows)
            for (int tile = tile0; tile < tile1; tile++)
                block(waiting + tile * (MR * NR), sums, x, y, tile, count, r, MIN(r + rows, Y_HEIGHT), n > begin || r,
                      n + count == end && r + rows >= Y_HEIGHT, network, zero, EPILOGUE_VALUES);
    }
}

#if PARTS
// dw = the sum of the parts, in order.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void merge(
    __global const T *restrict space, const int parts, const int rows, EPILOGUE_ARGUMENTS) {
    const size_t network = get_group_id(1);
    __global const T *sums = space + network * SPACE((size_t)parts) + (size_t)parts * (TILES * MR * NR);
    const int row0 = get_group_id(0) * rows, row1 = MIN(row0 + rows, WEIGHTS / Y_CHANNELS);
    for (int row = row0; row < row1; row++)
        for (int o = 0; o < Y_CHANNELS; o++) {
            T total = 0;
            for (int part = 0; part < parts; part++) total = total + sums[(size_t)part * WEIGHTS + row * Y_CHANNELS + o];
            epilogue(total, network, row, o, EPILOGUE_VALUES);
        }
}
#endif
