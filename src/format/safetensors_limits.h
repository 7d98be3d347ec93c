/* What reader and writer of the safetensors format agree on. */
#ifndef SG_FORMAT_SAFETENSORS_LIMITS_H
#define SG_FORMAT_SAFETENSORS_LIMITS_H

#define HEADER_BYTES_MAX (16u << 20)
#define PREFIX_BYTES 8 /* the header's length */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the data is little-endian and is not swapped");

#endif
