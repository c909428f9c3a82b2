#include "kernels/depthwise_kernels.h"

namespace keras_ste {

#if !defined(KERAS_STE_X86)
const DepthwiseKernels* Avx2DepthwiseKernels() { return nullptr; }
const DepthwiseKernels* Avx512DepthwiseKernels() { return nullptr; }
#endif

const DepthwiseKernels* DepthwiseKernelsOf(const KernelTable& table) {
  if (&table == Avx512Kernels()) return Avx512DepthwiseKernels();
  return &table == Avx2Kernels() ? Avx2DepthwiseKernels() : PortableDepthwiseKernels();
}

}  // namespace keras_ste
