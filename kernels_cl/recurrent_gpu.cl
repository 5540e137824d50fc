// A recurrence over a whole sequence on a GPU: a work-group owns ROWS rows of the batch and takes them through all steps.
//
// Each work-item has one unit at a time and all of its gates. What it multiplies the weights with, states forward and
// gradients of gates backward, passes through local memory in pieces of PIECE steps of k.
//
// Needs recurrent.cl, with LANES 1.
#ifndef GROUP
#define GROUP 128  // work-items of a group
#endif
#ifndef ROWS
#define ROWS 1     // rows of the batch that a group owns
#endif
#ifndef PIECE
#define PIECE 256
#endif

// held (ROWS, PIECE) = columns k0 .. of rows a, of which there are `rows`.
static inline void fetch(__local T *held, __global const T *a, const int stride, const int rows, const int k0) {
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = get_local_id(0); i < ROWS * PIECE; i += GROUP) {
        const int row = i / PIECE, k = k0 + i % PIECE;
        held[i] = row < rows && k < stride ? a[(size_t)row * stride + k] : 0;
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void forward(
    __global T *ys, __global const T *restrict xs, __global const T *restrict us, __global const T *bias,
    __global const T *h0, __global const T *c0, __global const uchar *on, const int steps, const int batch,
    const int units) {
    __local T held[ROWS * PIECE];
    const int row0 = get_group_id(0) * ROWS, rows = batch - row0 < ROWS ? batch - row0 : ROWS, gates = GATES * units;
    const size_t slab = (size_t)batch * units, section = slab * steps;
    for (int t = 0; t < steps; t++) {
        __global const T *states[2] = {t ? ys + (t - 1) * slab : h0, t ? ys + section + (t - 1) * slab : c0};
        for (int j0 = 0; j0 < units; j0 += GROUP) {
            const int j = j0 + get_local_id(0);
            T u[ROWS][GATES];
            for (int r = 0; r < ROWS; r++)
                for (int g = 0; g < GATES; g++) u[r][g] = 0;
            for (int k0 = 0; k0 < units; k0 += PIECE) {
                fetch(held, states[0] + (size_t)row0 * units, units, rows, k0);
                for (int k = 0; j < units && k < PIECE && k0 + k < units; k++)
                    for (int g = 0; g < GATES; g++) {
                        const T weight = us[(size_t)(k0 + k) * gates + g * units + j];
                        for (int r = 0; r < ROWS; r++) u[r][g] += held[r * PIECE + k] * weight;
                    }
            }
            for (int r = 0; j < units && r < rows; r++) {
                const size_t place = (size_t)(row0 + r) * units + j;
                T x[GATES], before[STATES], after[SECTIONS];
                for (int s = 0; s < STATES; s++) before[s] = states[s][place];
                for (int g = 0; g < GATES; g++) {
                    x[g] = xs[((t * (size_t)batch + row0 + r) * GATES + g) * units + j];
                    if (BIAS) u[r][g] += bias[g * units + j];
                }
                cell(x, u[r], before, after);
                if (MASKED && !on[t * batch + row0 + r])
                    for (int s = 0; s < STATES; s++) after[s] = before[s];
                for (int s = 0; s < SECTIONS; s++) ys[s * section + t * slab + place] = after[s];
            }
        }
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
}

__kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void backward(
    __global T *restrict dxs, __global T *space, __global const T *restrict ys, __global const T *restrict dys,
    __global const T *dc, __global const T *h0, __global const T *c0, __global const uchar *on, const int steps,
    const int batch, const int units) {
    __local T held[ROWS * PIECE];
    const int row0 = get_group_id(0) * ROWS, rows = batch - row0 < ROWS ? batch - row0 : ROWS, gates = GATES * units;
    const size_t slab = (size_t)batch * units, section = slab * steps, all = (size_t)batch * gates;
    __global T *du = space + (size_t)gates * units, *d = du + 2 * all;
    for (int i = get_local_id(0); i < rows * gates; i += GROUP) du[(steps & 1) * all + (size_t)row0 * gates + i] = 0;
    for (int j = get_local_id(0); j < units; j += GROUP)
        for (int r = 0; r < rows; r++) {
            const size_t place = (size_t)(row0 + r) * units + j;
            d[place] = 0;
            if (STATES > 1) d[slab + place] = dc[place];
        }
    barrier(CLK_GLOBAL_MEM_FENCE);
    for (int t = steps - 1; t >= -INITIAL; t--) {
        __global const T *states[2] = {t > 0 ? ys + (t - 1) * slab : h0, t > 0 ? ys + section + (t - 1) * slab : c0};
        __global T *now = du + (t & 1) * all, *next = du + ((t + 1) & 1) * all;
        for (int j0 = 0; j0 < units; j0 += GROUP) {
            const int j = j0 + get_local_id(0);
            T sums[ROWS];
            for (int r = 0; r < ROWS; r++) sums[r] = 0;
            for (int k0 = 0; k0 < gates; k0 += PIECE) {
                fetch(held, next + (size_t)row0 * gates, gates, rows, k0);
                for (int k = 0; j < units && k < PIECE && k0 + k < gates; k++) {
                    const T weight = space[(size_t)(k0 + k) * units + j];
                    for (int r = 0; r < ROWS; r++) sums[r] += held[r * PIECE + k] * weight;
                }
            }
            for (int r = 0; j < units && r < rows; r++) {
                const int row = row0 + r;
                const size_t place = (size_t)row * units + j;
                T dstate[STATES], before[STATES], after[SECTIONS], dx[GATES], dstep[GATES];
                for (int s = 0; s < STATES; s++) dstate[s] = d[s * slab + place];
                dstate[0] += sums[r];
                if (t < 0) {
                    for (int s = 0; s < STATES; s++) dxs[s * slab + place] = dstate[s];
                    continue;
                }
                if (!LAST || t == steps - 1) dstate[0] += dys[(LAST ? 0 : t * slab) + place];
                if (MASKED && !on[t * batch + row])
                    for (int g = 0; g < GATES; g++) dx[g] = dstep[g] = 0;
                else {
                    for (int s = 0; s < SECTIONS; s++) after[s] = ys[s * section + t * slab + place];
                    for (int s = 0; s < STATES; s++) before[s] = states[s][place];
                    cell_backward(after, before, dstate, dx, dstep);
                }
                for (int s = 0; s < STATES; s++) d[s * slab + place] = dstate[s];
                for (int g = 0; g < GATES; g++) {
                    now[(size_t)row * gates + g * units + j] = dstep[g];
                    if (!INITIAL) dxs[t * all + (size_t)row * gates + g * units + j] = dx[g];
                }
            }
        }
        barrier(CLK_GLOBAL_MEM_FENCE);
    }
}
