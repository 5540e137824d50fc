// NAME: c (MR, NV vectors) = a b, or += where `resume`: a tile that stays in registers while k runs, read once for each
// tile that a kernel needs, with NAME, MR and NV defined before.
//
// Element (i, k) of a lies at a[i * a_row + k * a_column], row k of b at b + k * b_row. Needs gemm_registers.cl.

WIDE static inline void NAME(__global T *c, const int c_row, __global const T *a, const int a_row, const int a_column,
                             __global const T *b, const int b_row, const int depth, const bool resume) {
    vector sums[MR][NV];
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) sums[i][v] = resume ? LOAD_GLOBAL(c + i * c_row + v * WIDTH) : (vector)(0);
    for (int k = 0; k < depth; k++) {
        vector row[NV];
        #pragma unroll
        for (int v = 0; v < NV; v++) row[v] = LOAD_GLOBAL(b + v * WIDTH);
        #pragma unroll
        for (int i = 0; i < MR; i++) {
            const vector x = a[i * a_row];
            #pragma unroll
            for (int v = 0; v < NV; v++) sums[i][v] = x * row[v] + sums[i][v];
        }
        a += a_column;
        b += b_row;
    }
    #pragma unroll
    for (int i = 0; i < MR; i++)
        #pragma unroll
        for (int v = 0; v < NV; v++) STORE_GLOBAL(c + i * c_row + v * WIDTH, sums[i][v]);
}
#undef NAME
#undef MR
#undef NV
