// Convolutions on a GPU, and their gradient by the weights: products whose left side is read from the picture where it
// lies, without a copy of its windows. Sizes are constants, as in convolution_cpu.cl, so that the places of a window's
// elements take multiplications, not divisions.
//
// A work-group computes a tile of the result, TM rows by TN channels of y, from STEPS steps of the sum at a time in local
// memory; a work-item keeps SIDE x SIDE sums, a tile's quarter apart, so that neighbours read neighbouring banks. Every
// element is one chain of multiply-adds, steps ascending, in each of the parts into which a batch is cut.
//
// The text before this file defines epilogue(value, batch, row, column, EPILOGUE_PARAMETERS), which stores.
#ifndef T
#define T float
#endif
#ifndef TM
#define TM 64
#endif
#ifndef TN
#define TN 64
#endif
#ifndef STEPS
#define STEPS 16
#endif
#ifndef SIDE
#define SIDE 4
#endif
#ifndef BY_WEIGHTS
#define BY_WEIGHTS 0  // rows are the kernel's elements and steps are pixels of a batch, else the other way round
#endif
#ifndef PARTS
#define PARTS 0       // the batch is cut: sums go to one array a part, which `merge` adds up; 0: to the epilogue
#endif

#ifndef HALF
#define HALF 0        // 1: xs and bs lie in memory as half
#endif

#if HALF
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define S half        // type of an element of xs and bs in memory
#else
#define S T
#endif
#define ACROSS (TN / SIDE)  // work-items side by side
#define DOWN (TM / SIDE)
#define ITEMS (ACROSS * DOWN)
#define TAPS (KERNEL_HEIGHT * KERNEL_WIDTH * X_CHANNELS)
#define PIXELS (Y_HEIGHT * Y_WIDTH)
#define ROWS (BY_WEIGHTS ? TAPS : PIXELS)

// x' under element `tap` of the kernel at pixel `pixel` of y, of all images counted.
static inline T element(__global const S *restrict xs, const int pixel, const int tap) {
    const int n = pixel / PIXELS, r = pixel / Y_WIDTH % Y_HEIGHT, q = pixel % Y_WIDTH;
    const int i = tap / (KERNEL_WIDTH * X_CHANNELS), j = tap / X_CHANNELS % KERNEL_WIDTH, c = tap % X_CHANNELS;
    const int down = r * STRIDE_DOWN + i * DILATION_DOWN - START_DOWN;
    const int across = q * STRIDE_ACROSS + j * DILATION_ACROSS - START_ACROSS;
    if (down < 0 || across < 0 || down % SPREAD_DOWN || across % SPREAD_ACROSS) return 0;
    const int h = down / SPREAD_DOWN, w = across / SPREAD_ACROSS;
    return h < X_HEIGHT && w < X_WIDTH ? xs[(((size_t)n * X_HEIGHT + h) * X_WIDTH + w) * X_CHANNELS + c] : 0;
}

// The tile at (row0, column0), of the sum's steps begin .. end - 1.
static inline void tile(T (*restrict sums)[SIDE], __local T (*restrict a)[TM + 1], __local T (*restrict b)[TN],
                        __global const S *restrict xs, __global const S *restrict bs, const int row0, const int column0,
                        const int begin, const int end) {
    const int x = get_local_id(0), y = get_local_id(1), item = y * ACROSS + x;
    for (int k0 = begin; k0 < end; k0 += STEPS) {
        for (int e = item; e < TM * STEPS; e += ITEMS) {  // neighbours read neighbouring channels of x
            const int m = BY_WEIGHTS ? e % TM : e / STEPS, k = BY_WEIGHTS ? e / TM : e % STEPS;
            const int row = row0 + m, step = k0 + k;
            a[k][m] = row < ROWS && step < end ? element(xs, BY_WEIGHTS ? step : row, BY_WEIGHTS ? row : step) : 0;
        }
        for (int e = item; e < TN * STEPS; e += ITEMS) {
            const int column = column0 + e % TN, step = k0 + e / TN;
            b[e / TN][e % TN] = column < Y_CHANNELS && step < end ? bs[(size_t)step * Y_CHANNELS + column] : 0;
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        #pragma unroll
        for (int k = 0; k < STEPS; k++)
            #pragma unroll
            for (int i = 0; i < SIDE; i++)
                #pragma unroll
                for (int j = 0; j < SIDE; j++) sums[i][j] = a[k][i * DOWN + y] * b[k][j * ACROSS + x] + sums[i][j];
        barrier(CLK_LOCAL_MEM_FENCE);
    }
}

__kernel __attribute__((reqd_work_group_size(ACROSS, DOWN, 1))) void convolution(
    __global const S *restrict xs,
    __global const S *restrict bs,  // w, or dy
    __global T *restrict space,     // (networks, parts, TAPS, Y_CHANNELS) of sums, where the batch is cut
    const int layers,               // images of y of all networks; or networks times parts
    const int each,                 // of those, to a network
    const int part,                 // images of a part
    const int images,               // of a network
    const ulong x_stride, const ulong b_stride,  // elements from one network to the next; 0: all the same
    EPILOGUE_ARGUMENTS) {
    __local T a[STEPS][TM + 1], b[STEPS][TN];
    const int row0 = get_group_id(1) * TM, column0 = get_group_id(0) * TN;
    for (int layer = get_group_id(2); layer < layers; layer += get_num_groups(2)) {
        const size_t network = layer / each;
        const int first = layer % each * part;  // image
        __global const S *x = xs + network * x_stride, *right = bs + network * b_stride;
        T sums[SIDE][SIDE];
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) sums[i][j] = 0;
#if BY_WEIGHTS
        tile(sums, a, b, x, right, row0, column0, first * PIXELS, min(first + part, images) * PIXELS);
#else
        x += (size_t)first * (X_HEIGHT * X_WIDTH * X_CHANNELS);
        tile(sums, a, b, x, right, row0, column0, 0, TAPS);
#endif
        for (int i = 0; i < SIDE; i++)
            for (int j = 0; j < SIDE; j++) {
                const int row = row0 + i * DOWN + (int)get_local_id(1), column = column0 + j * ACROSS + (int)get_local_id(0);
                if (row >= ROWS || column >= Y_CHANNELS) continue;
#if PARTS
                space[((size_t)layer * TAPS + row) * Y_CHANNELS + column] = sums[i][j];
#else
                epilogue(sums[i][j], BY_WEIGHTS ? network : layer, row, column, EPILOGUE_VALUES);
#endif
            }
    }
}

#if PARTS
// dw = the sum of the parts, in order.
__kernel void merge(__global const T *restrict space, const int parts, EPILOGUE_ARGUMENTS) {
    const int e = get_global_id(0), row = e / Y_CHANNELS, column = e % Y_CHANNELS;
    const size_t network = get_global_id(1);
    if (row >= TAPS) return;
    T total = 0;
    for (int part = 0; part < parts; part++)
        total = total + space[((network * parts + part) * TAPS + row) * Y_CHANNELS + column];
    epilogue(total, network, row, column, EPILOGUE_VALUES);
}
#endif
