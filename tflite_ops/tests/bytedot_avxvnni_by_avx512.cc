// The kernel for AVX-VNNI in the encoding of AVX-512, so that machines that have only this one can test it.
#define FillByteDotAvxVnni FillByteDotAvxVnniByAvx512
#include "kernels/x86/bytedot_avxvnni_5x16.cc"
