// A recurrence over a whole sequence on a CPU: a work-item owns some rows of the batch and takes them through all steps.
//
// Each step is a product of a few rows of states with the weights, whose panels stay in the cache from step to step, and
// the cell while the sums of a tile, MR rows by NV vectors, are at hand. Where a tile would overhang the rows it is moved
// back, and only its new rows are finished. Forward the vectors of a tile are the gates of WIDTH units, backward they are
// units. Arrays are (steps, batch, units), gates (steps, batch, GATES * units), in sections one after the other.
//
// Needs gemm_registers.cl and recurrent.cl.
#ifndef MR
#define MR 4      // rows of a tile
#endif
#ifndef NV
#define NV GATES  // vectors of a tile's row
#endif

// sums (MR, NV, WIDTH) = rows a, `stride` apart, times a panel.
WIDE static inline void multiply(T *restrict sums, __global const T *a, const int stride, __global const T *panel,
                                 const int depth) {
    vector c[MR][NV];
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) c[i][v] = 0;
    for (int k = 0; k < depth; k++) {
        vector row[NV];
        #pragma unroll
        for (int v = 0; v < NV; v++) row[v] = LOAD_GLOBAL(panel + v * WIDTH);
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            const vector x = a[(size_t)i * stride + k];
            #pragma unroll
            for (int v = 0; v < NV; v++) c[i][v] = x * row[v] + c[i][v];
        }
        panel += NV * WIDTH;
    }
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) STORE(sums + (i * NV + v) * WIDTH, c[i][v]);
}

// The first n lanes; the others are 0.
WIDE static inline void take(T *to, __global const T *from, const int n) {
    if (n == WIDTH) STORE(to, LOAD_GLOBAL(from));
    else for (int lane = 0; lane < WIDTH; lane++) to[lane] = lane < n ? from[lane] : 0;
}

WIDE static inline void give(__global T *to, const T *from, const int n) {
    if (n == WIDTH) STORE_GLOBAL(to, LOAD(from));
    else for (int lane = 0; lane < n; lane++) to[lane] = from[lane];
}

APART static void forward_rows(__global T *ys, __global const T *xs, __global const T *packed, __global const T *bias,
                               __global const T *h0, __global const T *c0, __global const uchar *on, const int steps,
                               const int batch, const int units, const int row0, const int row1) {
    const size_t slab = (size_t)batch * units, section = slab * steps;
    T sums[MR * NV * WIDTH] ALIGNED, x[GATES * WIDTH] ALIGNED, before[STATES * WIDTH] ALIGNED;
    T after[SECTIONS * WIDTH] ALIGNED;
    for (int t = 0; t < steps; t++) {
        __global const T *states[2] = {t ? ys + (t - 1) * slab : h0, t ? ys + section + (t - 1) * slab : c0};
        for (int j = 0; j < units; j += WIDTH) {
            const int n = MIN(WIDTH, units - j);
            for (int tile = row0; tile < row1; tile += MR) {
                const int first = MIN(tile, row1 - MR);
                multiply(sums, states[0] + (size_t)first * units, units, packed + (size_t)j * units * NV, units);
                for (int row = tile; row < first + MR; row++) {
                    const size_t place = (size_t)row * units + j;
                    T *u = sums + (row - first) * NV * WIDTH;
                    for (int s = 0; s < STATES; s++) take(before + s * WIDTH, states[s] + place, n);
                    for (int g = 0; g < GATES; g++)
                        take(x + g * WIDTH, xs + ((t * (size_t)batch + row) * GATES + g) * units + j, n);
#if BIAS
                    for (int g = 0; g < GATES; g++)
                        for (int lane = 0; lane < n; lane++) u[g * WIDTH + lane] += bias[g * units + j + lane];
#endif
                    for (int lane = 0; lane < WIDTH; lane++) cell(x + lane, u + lane, before + lane, after + lane);
                    const bool keep = MASKED && !on[t * batch + row];
                    for (int s = 0; s < SECTIONS; s++)
                        give(ys + s * section + t * slab + place, (keep && s < STATES ? before : after) + s * WIDTH, n);
                }
            }
        }
    }
}

// ys (SECTIONS, steps, batch, units) from xs (steps, batch, GATES * units) and the first states (batch, units).
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void forward(
    __global T *restrict ys, __global const T *restrict xs, __global const T *restrict packed,
    __global const T *bias, __global const T *h0, __global const T *c0, __global const uchar *on, const int steps,
    const int batch, const int units) {
    const size_t item = get_global_id(0), items = get_global_size(0);
    forward_rows(ys, xs, packed, bias, h0, c0, on, steps, batch, units, batch * item / items,
                 batch * (item + 1) / items);
}

APART static void backward_rows(__global T *dxs, __global T *space, __global const T *ys, __global const T *dys,
                                __global const T *dc, __global const T *h0, __global const T *c0,
                                __global const uchar *on, const int steps, const int batch, const int units,
                                const int row0, const int row1) {
    const int gates = GATES * units, panels = (units + NV * WIDTH - 1) / (NV * WIDTH);
    const size_t slab = (size_t)batch * units, section = slab * steps, all = (size_t)batch * gates;
    __global T *du = space + (size_t)panels * gates * NV * WIDTH;  // of this step and of the one after it
    __global T *d = du + 2 * all;                                  // (STATES, batch, units), past the gates
    for (size_t i = row0 * (size_t)gates; i < row1 * (size_t)gates; i++) du[(steps & 1) * all + i] = 0;
    for (size_t i = row0 * (size_t)units; i < row1 * (size_t)units; i++) {
        d[i] = 0;
        if (STATES > 1) d[slab + i] = dc[i];
    }
    T sums[MR * NV * WIDTH] ALIGNED, before[STATES * WIDTH] ALIGNED, after[SECTIONS * WIDTH] ALIGNED;
    T dstate[STATES * WIDTH] ALIGNED, dx[GATES * WIDTH] ALIGNED, dstep[GATES * WIDTH] ALIGNED, dy[WIDTH] ALIGNED;
    for (int t = steps - 1; t >= -INITIAL; t--) {
        __global const T *states[2] = {t > 0 ? ys + (t - 1) * slab : h0, t > 0 ? ys + section + (t - 1) * slab : c0};
        __global T *now = du + (t & 1) * all, *next = du + ((t + 1) & 1) * all;
        for (int panel = 0; panel < panels; panel++)
            for (int tile = row0; tile < row1; tile += MR) {
                const int first = MIN(tile, row1 - MR);
                multiply(sums, next + (size_t)first * gates, gates, space + (size_t)panel * gates * NV * WIDTH, gates);
                for (int row = tile; row < first + MR; row++)
                    for (int v = 0; v < NV; v++) {
                        const int j = (panel * NV + v) * WIDTH, n = MIN(WIDTH, units - j);
                        if (n <= 0) break;
                        const size_t place = (size_t)row * units + j;
                        for (int s = 0; s < STATES; s++) take(dstate + s * WIDTH, d + s * slab + place, n);
                        for (int lane = 0; lane < WIDTH; lane++)
                            dstate[lane] += sums[((row - first) * NV + v) * WIDTH + lane];
                        if (t < 0) {
                            for (int s = 0; s < STATES; s++) give(dxs + s * slab + place, dstate + s * WIDTH, n);
                            continue;
                        }
                        if (!LAST || t == steps - 1) {
                            take(dy, dys + (LAST ? 0 : t * slab) + place, n);
                            for (int lane = 0; lane < WIDTH; lane++) dstate[lane] += dy[lane];
                        }
                        const bool keep = MASKED && !on[t * batch + row];
                        if (keep)
                            for (int i = 0; i < GATES * WIDTH; i++) dx[i] = dstep[i] = 0;
                        else {
                            for (int s = 0; s < SECTIONS; s++) take(after + s * WIDTH, ys + s * section + t * slab + place, n);
                            for (int s = 0; s < STATES; s++) take(before + s * WIDTH, states[s] + place, n);
                            for (int lane = 0; lane < WIDTH; lane++)
                                cell_backward(after + lane, before + lane, dstate + lane, dx + lane, dstep + lane);
                        }
                        for (int s = 0; s < STATES; s++) give(d + s * slab + place, dstate + s * WIDTH, n);
                        for (int g = 0; g < GATES; g++) {
                            give(now + (size_t)row * gates + g * units + j, dstep + g * WIDTH, n);
                            if (!INITIAL) give(dxs + t * all + (size_t)row * gates + g * units + j, dx + g * WIDTH, n);
                        }
                    }
            }
    }
}

// dxs (steps, batch, GATES * units) from dys (steps, batch, units), (batch, units) if LAST, and dc (batch, units), of the
// last c; if INITIAL, the gradients of the first states (STATES, batch, units). space: the packed weights, then
// (2 * GATES + STATES) slabs.
__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void backward(
    __global T *restrict dxs, __global T *restrict space, __global const T *restrict ys,
    __global const T *restrict dys, __global const T *dc, __global const T *h0, __global const T *c0,
    __global const uchar *on, const int steps, const int batch, const int units) {
    const size_t item = get_global_id(0), items = get_global_size(0);
    backward_rows(dxs, space, ys, dys, dc, h0, c0, on, steps, batch, units, batch * item / items,
                  batch * (item + 1) / items);
}
