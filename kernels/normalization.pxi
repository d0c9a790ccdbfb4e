# Batch normalization: x, y, dx, dy (rows, channels, inner), all else (channels,). After a dense layer inner is
# 1, after a convolution it is the image's h w. count = rows · inner is the number of a channel's elements.
#
# Source: Ioffe and Szegedy, "Batch normalization", ICML 2015, algorithms 1 and 2.
#
# Both layouts are one loop over stripes: up to STRIPE adjacent elements, with a value of each parameter and
# a running sum beside every element. Where inner is 1 a stripe's elements are of adjacent channels, else they
# are of one channel, whose parameters stand beside all of them. Sums are in float64, their order depends on
# the shape alone. The threads divide the channels.

from libc.math cimport sqrt

cdef enum:
    STRIPE = 64


cdef inline int64_t stripe_channels(int64_t inner) noexcept nogil:
    """How many channels are worked on at once."""
    return STRIPE if inner == 1 else 1


cdef inline void spread(const real* parameter, int64_t channels, real* stripe) noexcept nogil:
    """Put the channels' values beside a stripe's elements: each its own, or the only one's beside all."""
    cdef int64_t k
    for k in range(STRIPE):
        stripe[k] = parameter[min(k, channels - 1)]


cdef inline void channel_sums(
    const real* u, const double* u_mean, const real* v, const double* v_mean, double* sums,
    int64_t rows, int64_t row_size, int64_t inner, int64_t channels,
) noexcept nogil:
    """sums[k] = Σ (u − u_mean[k]) (v − v_mean[k]) over the channel's elements; without v, Σ u."""
    cdef int64_t i, j, k, at, span = channels * inner
    cdef double total = 0
    for k in range(STRIPE):
        sums[k] = 0
    for i in range(rows):
        for j from 0 <= j < span by STRIPE:
            at = i * row_size + j
            if v is NULL:
                for k in range(min(STRIPE, span - j)):
                    sums[k] += u[at + k]
            else:
                for k in range(min(STRIPE, span - j)):
                    sums[k] += (u[at + k] - u_mean[k]) * (v[at + k] - v_mean[k])
    if inner > 1:
        for k in range(STRIPE):
            total += sums[k]
        for k in range(STRIPE):
            sums[k] = total


cdef inline void normalize(
    const real* x, const real* mean, const real* scale, const real* beta, real* y,
    int64_t rows, int64_t row_size, int64_t span,
) noexcept nogil:
    """y = scale (x − mean) + beta, of stripes that span `span` adjacent elements of each row."""
    cdef int64_t i, j, k, at
    for i in range(rows):
        for j from 0 <= j < span by STRIPE:
            at = i * row_size + j
            for k in range(min(STRIPE, span - j)):
                y[at + k] = scale[k] * (x[at + k] - mean[k]) + beta[k]


cdef void batch_norm(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = gamma (x − mean) inv_std + beta, with the batch's mean and inv_std = 1 / √(var + eps);
    running = (1 − momentum) running + momentum (mean, or var · count / (count − 1)).

    Overwrites y, mean and inv_std; updates running_mean and running_var.
    """
    cdef int64_t rows = n[0], channels = n[1], inner = n[2], step = stripe_channels(inner)
    cdef const real* x = t[0]
    cdef const real* gamma = t[1]
    cdef const real* beta = t[2]
    cdef real* y = t[3]
    cdef real* mean = t[4]
    cdef real* inv_std = t[5]
    cdef real* running_mean = t[6]
    cdef real* running_var = t[7]
    cdef double eps = s[0], momentum = s[1], count = rows * inner
    cdef double means[STRIPE]
    cdef double squares[STRIPE]
    cdef real mean_stripe[STRIPE]
    cdef real scale_stripe[STRIPE]
    cdef real beta_stripe[STRIPE]
    cdef int64_t c, k, width, begin, end
    share(channels, 16, thread, threads, &begin, &end)
    for c from begin <= c < end by step:
        width = min(step, end - c)
        channel_sums[real](
            x + c * inner, NULL, NULL, NULL, means, rows, channels * inner, inner, width
        )
        for k in range(STRIPE):
            means[k] /= count
        channel_sums(
            x + c * inner, means, x + c * inner, means, squares, rows, channels * inner, inner, width
        )
        for k in range(width):
            mean[c + k] = <real> means[k]
            inv_std[c + k] = <real> (1 / sqrt(squares[k] / count + eps))
            running_mean[c + k] += <real> (momentum * (means[k] - running_mean[c + k]))
            # One element has no variance: 0 / max(0, 1), not NaN.
            running_var[c + k] += <real> (momentum * (squares[k] / max(count - 1, 1) - running_var[c + k]))
        spread(mean + c, width, mean_stripe)
        spread(gamma + c, width, scale_stripe)
        spread(beta + c, width, beta_stripe)
        for k in range(STRIPE):
            scale_stripe[k] *= inv_std[c + min(k, width - 1)]
        normalize(
            x + c * inner, mean_stripe, scale_stripe, beta_stripe, y + c * inner,
            rows, channels * inner, width * inner,
        )


cdef void batch_norm_backward(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """With x̂ = (x − mean) inv_std: dbeta = Σ dy; dgamma = Σ dy x̂;
    dx = gamma inv_std (dy − (dbeta + x̂ dgamma) / count).

    mean and inv_std are those that batch_norm gave. Overwrites dx, dgamma and dbeta.
    """
    cdef int64_t rows = n[0], channels = n[1], inner = n[2], step = stripe_channels(inner)
    cdef const real* dy = t[0]
    cdef const real* x = t[1]
    cdef const real* gamma = t[2]
    cdef const real* mean = t[3]
    cdef const real* inv_std = t[4]
    cdef real* dx = t[5]
    cdef real* dgamma = t[6]
    cdef real* dbeta = t[7]
    cdef double count = rows * inner
    cdef double zeros[STRIPE]
    cdef double means[STRIPE]
    cdef double sums[STRIPE]
    cdef double products[STRIPE]
    cdef real mean_stripe[STRIPE]
    cdef real scale_stripe[STRIPE]
    cdef real mean_dy[STRIPE]
    cdef real slope[STRIPE]
    cdef int64_t c, i, j, k, at, width, begin, end
    for k in range(STRIPE):
        zeros[k] = 0
    share(channels, 16, thread, threads, &begin, &end)
    for c from begin <= c < end by step:
        width = min(step, end - c)
        spread(mean + c, width, mean_stripe)
        for k in range(STRIPE):
            means[k] = mean_stripe[k]
        channel_sums[real](
            dy + c * inner, NULL, NULL, NULL, sums, rows, channels * inner, inner, width
        )
        channel_sums(
            dy + c * inner, zeros, x + c * inner, means, products, rows, channels * inner, inner, width
        )
        for k in range(width):
            dbeta[c + k] = <real> sums[k]
            dgamma[c + k] = <real> (products[k] * inv_std[c + k])
        for k in range(STRIPE):
            at = c + min(k, width - 1)
            scale_stripe[k] = gamma[at] * inv_std[at]
            mean_dy[k] = <real> (sums[k] / count)
            slope[k] = <real> (products[k] * inv_std[at] * inv_std[at] / count)
        for i in range(rows):
            for j from 0 <= j < width * inner by STRIPE:
                at = (i * channels + c) * inner + j
                for k in range(min(STRIPE, width * inner - j)):
                    dx[at + k] = scale_stripe[k] * (
                        (dy[at + k] - mean_dy[k]) - slope[k] * (x[at + k] - mean_stripe[k])
                    )


cdef void batch_norm_inference(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """y = gamma (x − running_mean) / √(running_var + eps) + beta. Overwrites y."""
    cdef int64_t rows = n[0], channels = n[1], inner = n[2], step = stripe_channels(inner)
    cdef const real* x = t[0]
    cdef const real* gamma = t[1]
    cdef const real* beta = t[2]
    cdef const real* running_mean = t[3]
    cdef const real* running_var = t[4]
    cdef real* y = t[5]
    cdef real mean_stripe[STRIPE]
    cdef real scale_stripe[STRIPE]
    cdef real beta_stripe[STRIPE]
    cdef int64_t c, k, at, width, begin, end
    share(channels, 16, thread, threads, &begin, &end)
    for c from begin <= c < end by step:
        width = min(step, end - c)
        spread(running_mean + c, width, mean_stripe)
        spread(beta + c, width, beta_stripe)
        for k in range(STRIPE):
            at = c + min(k, width - 1)
            scale_stripe[k] = <real> (gamma[at] / sqrt(running_var[at] + s[0]))
        normalize(
            x + c * inner, mean_stripe, scale_stripe, beta_stripe, y + c * inner,
            rows, channels * inner, width * inner,
        )


cdef void fold_batch_norm(
    real** t, const int64_t* n, const double* s, int64_t thread, int64_t threads
) noexcept nogil:
    """folded_weight (channels, inner) = scale weight, folded_bias = scale (bias − running_mean) + beta, where
    scale = gamma / √(running_var + eps). Overwrites both.
    """
    cdef int64_t inner = n[1], c, k, begin, end
    cdef const real* weight = t[0]
    cdef const real* bias = t[1]
    cdef const real* gamma = t[2]
    cdef const real* beta = t[3]
    cdef const real* running_mean = t[4]
    cdef const real* running_var = t[5]
    cdef real* folded_weight = t[6]
    cdef real* folded_bias = t[7]
    cdef real scale
    share(n[0], 16, thread, threads, &begin, &end)
    for c in range(begin, end):
        scale = <real> (gamma[c] / sqrt(running_var[c] + s[0]))
        for k in range(c * inner, (c + 1) * inner):
            folded_weight[k] = scale * weight[k]
        folded_bias[c] = scale * (bias[c] - running_mean[c]) + beta[c]
