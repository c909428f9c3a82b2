#include "kernels/code_kernels.h"

namespace keras_ste {

#if !defined(KERAS_STE_X86)
const CodeKernels* Avx2CodeKernels() { return nullptr; }
const CodeKernels* Avx512BwCodeKernels() { return nullptr; }
const CodeKernels* Avx512CodeKernels() { return nullptr; }
#endif
#if !defined(KERAS_STE_AVXVNNI)
const CodeKernels* AvxVnniCodeKernels() { return nullptr; }
#endif
#if !defined(KERAS_STE_ARM)
const CodeKernels* NeonCodeKernels() { return nullptr; }
const CodeKernels* DotProdCodeKernels() { return nullptr; }
const CodeKernels* I8mmCodeKernels() { return nullptr; }
#endif

const CodeKernels* CodeKernelsOf(const KernelTable& table) {
  if (&table == Avx512Kernels()) return Avx512CodeKernels();
  if (&table == Avx512BwKernels()) return Avx512BwCodeKernels();
  if (&table == AvxVnniKernels()) return AvxVnniCodeKernels();
  if (&table == Avx2Kernels()) return Avx2CodeKernels();
  if (&table == I8mmKernels()) return I8mmCodeKernels();
  if (&table == DotProdKernels()) return DotProdCodeKernels();
  return &table == NeonKernels() ? NeonCodeKernels() : PortableCodeKernels();
}

}  // namespace keras_ste
