/* Errors that the emulated runtime answers on demand. */
#ifndef SG_TESTS_CUDA_DEVICE_ERRORS_H
#define SG_TESTS_CUDA_DEVICE_ERRORS_H

#ifdef __cplusplus
extern "C" {
#endif

enum emulated_error { EMULATED_NO_DEVICE, EMULATED_OLD_DRIVER, EMULATED_LAUNCH_FAILURE };

/* Of the next call of the runtime. */
void emulated_error_next(enum emulated_error error);

#ifdef __cplusplus
}
#endif
#endif
