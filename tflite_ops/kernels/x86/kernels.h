#ifndef KERAS_STE_KERNELS_X86_KERNELS_H_
#define KERAS_STE_KERNELS_X86_KERNELS_H_

#include "kernels/kernel_table.h"

namespace keras_ste {
namespace x86 {

void FillBitDotAvx2(KernelTable* table);
void FillSignSumAvx2(KernelTable* table);
void FillOutputAvx2(KernelTable* table);
void PackSignsAvx2(const float* x, int64_t n, uint32_t* words);

void FillBitDotAvx512(KernelTable* table);
void FillSignSumAvx512(KernelTable* table);
void FillOutputAvx512(KernelTable* table);
void PackSignsAvx512(const float* x, int64_t n, uint32_t* words);

}  // namespace x86
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_X86_KERNELS_H_
