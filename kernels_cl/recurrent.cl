// Cells of recurrent networks: one unit of one row at one step, forward and backward.
//
// Values of one unit lie LANES apart: x (GATES) is the input's part of each gate, u (GATES) that of the state before;
// `before` (STATES) the states, of which h comes first; `after` (SECTIONS) the new states and what backward wants to know.
// Needs math.cl and activation.cl.
#ifndef T
#define T float   // float or double
#endif
#ifndef LANES
#define LANES 16  // units that are computed side by side: those of a vector on a CPU, 1 on a GPU
#endif
#ifndef CELL
#define CELL 0    // one of the four below
#endif
#ifndef MASKED
#define MASKED 0  // `on` (steps, batch) says which rows take part in a step; the others keep their states
#endif
#ifndef BIAS
#define BIAS 0    // of the states' part, (GATES * units)
#endif
#ifndef LAST
#define LAST 0    // dys (batch, units) is of the last step, and the others have none
#endif
#ifndef INITIAL
#define INITIAL 0 // backward for the gradients of the first states instead of those of x
#endif
#define TANH 0
#define RELU 1
#define LSTM 2
#define GRU 3

#if CELL == LSTM
// Hochreiter and Schmidhuber 1997, Gers et al. 2000. Gates: input, forget, candidate, output. Sections: h, c, the gates.
#define GATES 4
#define STATES 2
#define SECTIONS 6

static inline __attribute__((always_inline)) void cell(const T *x, const T *u, const T *before, T *after) {
    const T i = sigmoid(x[0] + u[0]), f = sigmoid(x[LANES] + u[LANES]);
    const T g = hyperbolic_tangent(x[2 * LANES] + u[2 * LANES]), o = sigmoid(x[3 * LANES] + u[3 * LANES]);
    const T c = f * before[LANES] + i * g;
    after[0] = o * hyperbolic_tangent(c);
    after[LANES] = c;
    after[2 * LANES] = i, after[3 * LANES] = f, after[4 * LANES] = g, after[5 * LANES] = o;
}

// d (STATES): gradients of the new states, which become those that reach the old ones past the gates; dx, du (GATES).
static inline __attribute__((always_inline)) void cell_backward(const T *after, const T *before, T *d, T *dx, T *du) {
    const T i = after[2 * LANES], f = after[3 * LANES], g = after[4 * LANES], o = after[5 * LANES];
    const T t = hyperbolic_tangent(after[LANES]);
    const T dc = d[LANES] + d[0] * o * (1 - t * t);
    du[0] = dx[0] = dc * g * i * (1 - i);
    du[LANES] = dx[LANES] = dc * before[LANES] * f * (1 - f);
    du[2 * LANES] = dx[2 * LANES] = dc * i * (1 - g * g);
    du[3 * LANES] = dx[3 * LANES] = d[0] * t * o * (1 - o);
    d[0] = 0;
    d[LANES] = dc * f;
}

#elif CELL == GRU
// Cho et al. 2014, the reset gate after the product, as in cuDNN. Gates: update, reset, candidate. Sections: h, the gates,
// the state's part of the candidate.
#define GATES 3
#define STATES 1
#define SECTIONS 5

static inline __attribute__((always_inline)) void cell(const T *x, const T *u, const T *before, T *after) {
    const T z = sigmoid(x[0] + u[0]), r = sigmoid(x[LANES] + u[LANES]), q = u[2 * LANES];
    const T n = hyperbolic_tangent(x[2 * LANES] + r * q);
    after[0] = z * before[0] + (1 - z) * n;
    after[LANES] = z, after[2 * LANES] = r, after[3 * LANES] = n, after[4 * LANES] = q;
}

static inline __attribute__((always_inline)) void cell_backward(const T *after, const T *before, T *d, T *dx, T *du) {
    const T z = after[LANES], r = after[2 * LANES], n = after[3 * LANES], q = after[4 * LANES];
    const T dn = d[0] * (1 - z) * (1 - n * n);
    du[0] = dx[0] = d[0] * (before[0] - n) * z * (1 - z);
    du[LANES] = dx[LANES] = dn * q * r * (1 - r);
    dx[2 * LANES] = dn, du[2 * LANES] = dn * r;
    d[0] = d[0] * z;
}

#else
// Elman 1990.
#define GATES 1
#define STATES 1
#define SECTIONS 1

static inline __attribute__((always_inline)) void cell(const T *x, const T *u, const T *before, T *after) {
    after[0] = CELL == RELU ? relu(x[0] + u[0]) : hyperbolic_tangent(x[0] + u[0]);
}

static inline __attribute__((always_inline)) void cell_backward(const T *after, const T *before, T *d, T *dx, T *du) {
    const T h = after[0];
    du[0] = dx[0] = CELL == RELU ? relu_backward(d[0], h) : d[0] * (1 - h * h);
    d[0] = 0;
}
#endif

// packed (panels, depth, vectors, width) = the weights us (units, GATES * units) in the order in which they are read.
// Forward a panel has `width` units and the gates for vectors; backward, of the transposed weights, vectors * width units.
__kernel void pack(__global T *restrict packed, __global const T *restrict us, const int units, const int depth,
                   const int vectors, const int width, const int depth_of_item, const int backward) {
    const int panel = get_global_id(0), gates = GATES * units;
    const int begin = get_global_id(1) * depth_of_item;
    const int end = begin + depth_of_item < depth ? begin + depth_of_item : depth;
    for (int v = 0; v < vectors; v++) {
        const int unit0 = (backward ? panel * vectors + v : panel) * width;
        for (int k = begin; k < end; k++) {
            __global T *to = packed + (((size_t)panel * depth + k) * vectors + v) * width;
            __global const T *from = backward ? us + (size_t)unit0 * gates + k : us + (size_t)k * gates + v * units + unit0;
            const int step = backward ? gates : 1;
            for (int lane = 0; lane < width; lane++) to[lane] = unit0 + lane < units ? from[(size_t)lane * step] : 0;
        }
    }
}
