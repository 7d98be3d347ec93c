#include "fft.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool sg_fft_open(size_t n, struct sg_fft *out)
{
    *out = (struct sg_fft){.n = n, .cosine = malloc(n * sizeof(double))};
    if (!out->cosine)
        return false;
    out->sine = out->cosine + n / 2;
    for (size_t k = 0; k < n / 2; k++) {
        long double turn = 6.283185307179586476925286766559L * (long double)k / (long double)n;
        out->cosine[k] = (double)cosl(turn);
        out->sine[k] = (double)sinl(turn);
    }
    return true;
}

void sg_fft_close(struct sg_fft *fft)
{
    free(fft->cosine);
    memset(fft, 0, sizeof *fft);
}

static void reverse_bits(size_t n, double *real, double *imag)
{
    for (size_t i = 1, j = 0; i < n; i++) {
        size_t bit = n >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j ^= bit;
        if (i < j) {
            double r = real[i], m = imag[i];
            real[i] = real[j], imag[i] = imag[j];
            real[j] = r, imag[j] = m;
        }
    }
}

void sg_fft_run(const struct sg_fft *fft, bool inverse, double *real, double *imag)
{
    size_t n = fft->n;
    double sign = inverse ? 1 : -1;
    reverse_bits(n, real, imag);
    for (size_t half = 1; half < n; half *= 2) {
        size_t stride = n / (2 * half);
        for (size_t block = 0; block < n; block += 2 * half)
            for (size_t k = 0; k < half; k++) {
                double c = fft->cosine[k * stride], s = sign * fft->sine[k * stride];
                size_t a = block + k, b = a + half;
                double r = real[b] * c - imag[b] * s, m = real[b] * s + imag[b] * c;
                real[b] = real[a] - r, imag[b] = imag[a] - m;
                real[a] += r, imag[a] += m;
            }
    }
}
