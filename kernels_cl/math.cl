// Elementary functions of one T (float or double) that vectorise on every runtime.
//
// A library's exp or tanh is a call on some CPU runtimes, and a call keeps a loop scalar: 6.6 ns an element of a sigmoid
// on PoCL 3.0 against 0.47 ns with the polynomial below. It also makes the results the same on all of them.
// float: Cephes (Moshier), single precision, within 2 units in the last place; double: the runtime's own functions.

#ifndef T
#define T float // type of an element: float or double
#endif
#ifndef DOUBLE
#define DOUBLE 0 // 1 where T is double
#endif

#ifndef FUNCTION
#define FUNCTION static inline __attribute__((overloadable, always_inline))
#endif

FUNCTION T larger(const T a, const T b) { return ((a > b) | (a != a)) ? a : b; }
FUNCTION T smaller(const T a, const T b) { return ((a < b) | (a != a)) ? a : b; }
FUNCTION T magnitude(const T x) { return x < 0 ? -x : x == 0 ? (T)0 : x; }

#if DOUBLE

FUNCTION double root(const double x) { return sqrt(x); }
FUNCTION double exponential(const double x) { return exp(x); }
FUNCTION double exponential_minus_one(const double x) { return expm1(x); }
FUNCTION double logarithm(const double x) { return log(x); }
FUNCTION double logarithm_of_one_plus(const double x) { return log1p(x); }
FUNCTION double hyperbolic_tangent(const double x) { return tanh(x); }
FUNCTION double error_function(const double x) { return erf(x); }
FUNCTION double round_down(const double x) { return floor(x); }

#else

#if defined(POCL_DEVICE_ADDRESS_BITS) || defined(__INTEL_LLVM_COMPILER)
// PoCL 3.0 and Intel's CPU runtime call their libraries for these: 1.4-2.3 ns against 0.1-0.3
FUNCTION float root(const float x) { return __builtin_sqrtf(x); }
FUNCTION float round_down(const float x) { return __builtin_floorf(x); }
#else
FUNCTION float root(const float x) { return sqrt(x); }
FUNCTION float round_down(const float x) { return floor(x); }
#endif

// 2^n in two factors, so that results below the smallest normal number and up to the largest come out right.
FUNCTION float scale(const float x, const int n)
{
    const int half_n = n >> 1;
    const float scaled = x * as_float((half_n + 127) << 23);
    return scaled * as_float((n - half_n + 127) << 23);
}

// exp(r) for |r| <= ln(2) / 2
FUNCTION float exponential_near_zero(const float r)
{
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r;
    return p + 1.0f;
}

FUNCTION float exponential(const float x)
{
    const float low = x < -104.0f ? -104.0f : x; // NaN passes both
    const float limited = low > 89.0f ? 89.0f : low;
    const float n = (limited * 1.44269504f + 12582912.0f) - 12582912.0f; // to the nearest integer
    const float r = limited - n * 0.693359375f;
    const float e = scale(exponential_near_zero(r + n * 2.12194440e-4f), (int)n);
    return x != x ? x : e;
}

FUNCTION float logarithm(const float x)
{
    const int tiny = x < 1.17549435e-38f;
    const float scaled = tiny ? x * 8388608.0f : x;
    const int bits = as_int(scaled) - 0x3f3504f3; // sqrt(1/2)
    const float e = (float)((bits >> 23) - (tiny ? 23 : 0));
    const float f = as_float((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
    float p = 7.0376836292e-2f;
    p = p * f - 1.1514610310e-1f;
    p = p * f + 1.1676998740e-1f;
    p = p * f - 1.2420140846e-1f;
    p = p * f + 1.4249322787e-1f;
    p = p * f - 1.6668057665e-1f;
    p = p * f + 2.0000714765e-1f;
    p = p * f - 2.4999993993e-1f;
    p = p * f + 3.3333331174e-1f;
    const float z = f * f;
    float y = f * z * p - e * 2.12194440e-4f;
    y = y - 0.5f * z;
    const float result = (f + y) + e * 0.693359375f;
    const float finite = x == INFINITY ? x : result;
    return x > 0 ? finite : x == 0 ? -INFINITY : NAN;
}

// log(w) u / (w - 1) with w = 1 + u takes back the rounding of w. Source: Kahan, in Higham, Accuracy and Stability, 1.14.
FUNCTION float logarithm_of_one_plus(const float u)
{
    const float w = 1.0f + u;
    const float corrected = logarithm(w) * (u / (w - 1.0f));
    return w == 1.0f ? u : w == INFINITY ? w : corrected;
}

FUNCTION float exponential_minus_one(const float x)
{
    const float near = x * x;
    float p = 1.9875691500e-4f;
    p = p * x + 1.3981999507e-3f;
    p = p * x + 8.3334519073e-3f;
    p = p * x + 4.1665795894e-2f;
    p = p * x + 1.6666665459e-1f;
    p = p * x + 5.0000001201e-1f;
    const float small = p * near + x;
    const float large = exponential(x) - 1.0f;
    return ((x > -0.35f) & (x < 0.35f)) ? small : large;
}

FUNCTION float hyperbolic_tangent(const float x)
{
    const float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    const float small = p * z * x + x;
    const float size = magnitude(x);
    const float large = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
    return size < 0.625f ? small : x < 0 ? -large : large;
}

FUNCTION float error_function(const float x)
{
    const float z = x * x;
    float t = 7.853861353153693e-5f;
    t = t * z - 8.010193625184903e-4f;
    t = t * z + 5.188327685732524e-3f;
    t = t * z - 2.685381193529856e-2f;
    t = t * z + 1.128358514861418e-1f;
    t = t * z - 3.761262582423300e-1f;
    t = t * z + 1.128379165726710e+0f;
    const float small = x * t;
    const float size = magnitude(x);
    const float q = 1.0f / (size < 1.0f ? 1.0f : size);
    const float y = q * q;
    float p = 2.326819970068386e-2f; // 1 <= |x| < 2
    p = p * y - 1.387039388740657e-1f;
    p = p * y + 3.687424674597105e-1f;
    p = p * y - 5.824733027278666e-1f;
    p = p * y + 6.210004621745983e-1f;
    p = p * y - 4.944515323274145e-1f;
    p = p * y + 3.404879937665872e-1f;
    p = p * y - 2.741127028184656e-1f;
    p = p * y + 5.638259427386472e-1f;
    float r = -1.047766399936249e+1f; // 2 <= |x|
    r = r * y + 1.297719955372516e+1f;
    r = r * y - 7.495518717768503e+0f;
    r = r * y + 2.921019019210786e+0f;
    r = r * y - 1.015265279202700e+0f;
    r = r * y + 4.218463358204948e-1f;
    r = r * y - 2.820767439740514e-1f;
    r = r * y + 5.641895067754075e-1f;
    const float complement = exponential(-z) * q * (size < 2.0f ? p : r);
    const float large = x < 0 ? complement - 1.0f : 1.0f - complement;
    return x != x ? x : size < 1.0f ? small : large;
}

#endif
