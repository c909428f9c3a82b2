// Compiled for any 64-bit Arm processor: asks the system what may run.
#include <sys/auxv.h>

#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace {

// What has no kernel of its own is portable.
KernelTable NeonTable() {
  KernelTable t = *PortableKernels();
  t.name = "neon";
  arm::FillBitDotNeon(&t);
  arm::FillSignSumNeon(&t);
  t.output = arm::kOutputNeon;
  t.pack_signs = arm::PackSignsNeon;
  return t;
}

// Where nothing is gained by the dot product, NEON's own kernels.
KernelTable DotProdTable() {
  KernelTable t = NeonTable();
  t.name = "dotprod";
  arm::FillBitDotDotProd(&t);
  return t;
}

}  // namespace

const KernelTable* NeonKernels() {
  static const KernelTable table = NeonTable();
  return &table;
}

const KernelTable* DotProdKernels() {
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) return nullptr;
  static const KernelTable table = DotProdTable();
  return &table;
}

}  // namespace keras_ste
