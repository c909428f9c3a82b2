#include "kernels/code_kernels.h"

namespace keras_ste {

#if !defined(KERAS_STE_X86)
const CodeKernels* Avx2CodeKernels() { return nullptr; }
const CodeKernels* Avx512CodeKernels() { return nullptr; }
#endif

const CodeKernels* CodeKernelsOf(const KernelTable& table) {
  if (&table == Avx512Kernels()) return Avx512CodeKernels();
  return &table == Avx2Kernels() ? Avx2CodeKernels() : PortableCodeKernels();
}

}  // namespace keras_ste
