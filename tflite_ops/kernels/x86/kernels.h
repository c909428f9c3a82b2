#ifndef KERAS_STE_KERNELS_X86_KERNELS_H_
#define KERAS_STE_KERNELS_X86_KERNELS_H_

#include "kernels/code_kernels.h"
#include "kernels/depthwise_kernels.h"
#include "kernels/kernel_table.h"

namespace keras_ste {
namespace x86 {

void FillSignSumAvx2(KernelTable* table);
extern const OutputKernels kOutputAvx2;
void PackSignsAvx2(const float* x, int64_t n, uint32_t* words);

void FillPlaneDotAvx2(CodeKernels* table);
void FillByteDotAvx2(CodeKernels* table);
void FillFloatDotAvx2(CodeKernels* table);
void FillNearestAvx2(CodeKernels* table);
void FillRowsAvx2(CodeKernels* table);

void FillDepthwiseAvx2(DepthwiseKernels* table);

void FillByteDotAvxVnni(CodeKernels* table);

void FillSignSumAvx512(KernelTable* table);
extern const OutputKernels kOutputAvx512;
void PackSignsAvx512(const float* x, int64_t n, uint32_t* words);

void FillFloatDotAvx512(CodeKernels* table);
void FillNearestAvx512(CodeKernels* table);
void FillRowsAvx512(CodeKernels* table);

void FillPlaneDotAvx512Bw(CodeKernels* table);
void FillByteDotAvx512Bw(CodeKernels* table);

void FillPlaneDotAvx512Vpopcntdq(CodeKernels* table);
void FillByteDotAvx512Vnni(CodeKernels* table);
void FillByteRowAvx512Vnni(CodeKernels* table);

void FillDepthwiseAvx512Bw(DepthwiseKernels* table);

}  // namespace x86
}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_X86_KERNELS_H_
