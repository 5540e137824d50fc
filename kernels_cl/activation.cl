// Activations of one element; the other derivatives are expressions over ops, in clnet/ops/activation.py.
// Needs math.cl.

#ifndef T
#define T float // type of an element: float or double
#endif

FUNCTION T relu(const T x) { return x < 0 ? (T)0 : x; }
FUNCTION T relu_backward(const T dy, const T y) { return y > 0 ? dy : (T)0; }
FUNCTION T leaky_relu(const T x, const T slope) { return x < 0 ? slope * x : x; }
FUNCTION T leaky_relu_backward(const T dy, const T y, const T slope) { return y > 0 ? dy : slope * dy; }
FUNCTION T elu(const T x, const T alpha) { return x < 0 ? alpha * exponential_minus_one(x) : x; }
FUNCTION T sigmoid(const T x) { return (T)1 / ((T)1 + exponential(-x)); }
FUNCTION T softplus(const T x) { return larger(x, (T)0) + logarithm_of_one_plus(exponential(-magnitude(x))); }
FUNCTION T hard_sigmoid(const T x) { return smaller(larger(x / (T)6 + (T)0.5, (T)0), (T)1); }

// x Phi(x), Phi the distribution function of the normal law. Source: Hendrycks and Gimpel, arXiv:1606.08415.
FUNCTION T gelu(const T x) { return (T)0.5 * x * ((T)1 + error_function(x * (T)0.70710678118654752)); }
