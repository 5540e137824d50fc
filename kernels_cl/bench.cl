// What a device can do at best: multiply-adds in registers, a stream through memory, a launch of nothing.

#ifndef WIDTH
#define WIDTH 16 // floats in a register: one vector on a CPU, 1 on a GPU
#endif
#ifndef CHAINS
#define CHAINS 12 // independent sums: more than a multiply-add's latency times its units, fewer than the registers
#endif

#if WIDTH == 1
typedef float Vector;
#define SUM(v) (v)
#elif WIDTH == 4
typedef float4 Vector;
#define SUM(v) (v.s0 + v.s1 + v.s2 + v.s3)
#elif WIDTH == 8
typedef float8 Vector;
#define SUM(v) (v.s0 + v.s1 + v.s2 + v.s3 + v.s4 + v.s5 + v.s6 + v.s7)
#else
typedef float16 Vector;
#define SUM(v) (v.s0 + v.s1 + v.s2 + v.s3 + v.s4 + v.s5 + v.s6 + v.s7 + \
                v.s8 + v.s9 + v.sa + v.sb + v.sc + v.sd + v.se + v.sf)
#endif

// 2 * CHAINS * WIDTH * rounds operations a work-item. outs is written only if the sum hits one value, which it does not.
__kernel void peak(__global float *restrict outs, const int rounds, const float scale, const float shift)
{
    Vector sums[CHAINS]; // in registers only if every loop over it is unrolled: 115 against 20-50 GFLOP/s on PoCL 3.0
    #pragma unroll
    for (int i = 0; i < CHAINS; i++)
        sums[i] = (Vector)(i + shift);
    for (int round = 0; round < rounds; round++)
        #pragma unroll
        for (int i = 0; i < CHAINS; i++)
            sums[i] = sums[i] * scale + shift;
    Vector total = 0.0f;
    #pragma unroll
    for (int i = 0; i < CHAINS; i++)
        total += sums[i];
    if (SUM(total) == 12345.0f)
        outs[get_global_id(0)] = SUM(total);
}

// outs = as + scale * bs over `count` vectors, `rounds` times. Work-item i starts at i * first and goes on by `stride`
// for at most `span`: blocks of neighbours on a CPU, neighbours side by side on a GPU.
__kernel void triad(__global Vector *restrict outs, __global const Vector *restrict as,
                    __global const Vector *restrict bs, const int count, const int first, const int span,
                    const int stride, const int rounds, const float scale)
{
    const int begin = get_global_id(0) * first;
    const int end = min(begin + span, count);
    for (int round = 0; round < rounds; round++)
        for (int i = begin; i < end; i += stride)
            outs[i] = as[i] + bs[i] * (scale + round);
}

__kernel void nothing(__global float *restrict outs)
{
}
