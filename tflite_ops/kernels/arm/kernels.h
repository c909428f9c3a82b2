#ifndef KERAS_STE_KERNELS_ARM_KERNELS_H_
#define KERAS_STE_KERNELS_ARM_KERNELS_H_

#include "kernels/kernel_table.h"

namespace keras_ste {
namespace arm {

void FillBitDotNeon(KernelTable* table);
void FillSignSumNeon(KernelTable* table);
extern const OutputKernels kOutputNeon;
void PackSignsNeon(const float* x, int64_t n, uint32_t* words);

void FillBitDotDotProd(KernelTable* table);

}  // namespace arm
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_ARM_KERNELS_H_
