/* A radix-2 Fourier transform in double, plain enough that its rounding constant can be stated.
 *
 * Cooley-Tukey with twiddle factors within 2 u of the truth: ||computed - exact||_2 <= log2(n) eta ||exact||_2 with
 * eta = 8 u (Higham 2002, theorem 24.2: eta = mu + gamma_4 (sqrt 2 + mu)). */
#ifndef SG_ACCOUNT_FFT_H
#define SG_ACCOUNT_FFT_H

#include <stdbool.h>
#include <stddef.h>

#define SG_FFT_ETA 0x1p-50

struct sg_fft {
    size_t n;              /* a power of two */
    double *cosine, *sine; /* n / 2 twiddles */
};
bool sg_fft_open(size_t n, struct sg_fft *out);
void sg_fft_close(struct sg_fft *fft);
/* In place; forward has e^{-2 pi i jk/n}, the inverse is not scaled. */
void sg_fft_run(const struct sg_fft *fft, bool inverse, double *real, double *imag);

#endif
