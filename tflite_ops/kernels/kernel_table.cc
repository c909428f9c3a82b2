#include "kernels/kernel_table.h"

#include <string.h>

namespace keras_ste {

#if !defined(KERAS_STE_X86)
const KernelTable* Avx2Kernels() { return nullptr; }
const KernelTable* Avx512BwKernels() { return nullptr; }
const KernelTable* Avx512Kernels() { return nullptr; }
#endif
#if !defined(KERAS_STE_AVXVNNI)
const KernelTable* AvxVnniKernels() { return nullptr; }
#endif
#if !defined(KERAS_STE_ARM)
const KernelTable* NeonKernels() { return nullptr; }
const KernelTable* DotProdKernels() { return nullptr; }
const KernelTable* I8mmKernels() { return nullptr; }
#endif

int32_t AvailableKernels(const KernelTable* tables[kMaxKernelTables]) {
  const KernelTable* all[] = {PortableKernels(), Avx2Kernels(), AvxVnniKernels(), Avx512BwKernels(),
                              Avx512Kernels(),   NeonKernels(), DotProdKernels(), I8mmKernels()};
  int32_t n = 0;
  for (const KernelTable* table : all) {
    if (table != nullptr) tables[n++] = table;
  }
  return n;
}

const KernelTable* ChooseKernels(const char* name) {
  const KernelTable* tables[kMaxKernelTables];
  const int32_t n = AvailableKernels(tables);
  if (name == nullptr || name[0] == '\0') return tables[n - 1];
  for (int32_t i = 0; i < n; ++i) {
    if (strcmp(tables[i]->name, name) == 0) return tables[i];
  }
  return nullptr;
}

}  // namespace keras_ste
