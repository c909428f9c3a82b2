// Compiled for any 64-bit Arm processor: asks the system what may run.
#include <sys/auxv.h>

#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace {

// These gain nothing by newer instructions: all sets have NEON's. What has no kernel of its own is portable.
KernelTable TableCalled(const char* name) {
  KernelTable t = *PortableKernels();
  t.name = name;
  arm::FillSignSumNeon(&t);
  t.output = arm::kOutputNeon;
  t.pack_signs = arm::PackSignsNeon;
  return t;
}

CodeKernels NeonCodeTable() {
  CodeKernels t = {};
  t.name = "neon";
  arm::FillPlaneDotNeon(&t);
  arm::FillByteDotNeon(&t);
  arm::FillFloatDotNeon(&t);
  arm::FillNearestNeon(&t);
  arm::FillRowsNeon(&t);
  return t;
}

CodeKernels DotProdCodeTable() {
  CodeKernels t = NeonCodeTable();
  t.name = "dotprod";
  arm::FillPlaneDotDotProd(&t);
  arm::FillByteDotDotProd(&t);
  return t;
}

CodeKernels I8mmCodeTable() {
  CodeKernels t = DotProdCodeTable();
  t.name = "i8mm";
  arm::FillByteDotI8mm(&t);
  return t;
}

}  // namespace

const KernelTable* NeonKernels() {
  static const KernelTable table = TableCalled("neon");
  return &table;
}

const KernelTable* DotProdKernels() {
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) return nullptr;
  static const KernelTable table = TableCalled("dotprod");
  return &table;
}

const KernelTable* I8mmKernels() {
  if (DotProdKernels() == nullptr || (getauxval(AT_HWCAP2) & HWCAP2_I8MM) == 0) return nullptr;
  static const KernelTable table = TableCalled("i8mm");
  return &table;
}

const CodeKernels* NeonCodeKernels() {
  static const CodeKernels table = NeonCodeTable();
  return &table;
}

const CodeKernels* DotProdCodeKernels() {
  if (DotProdKernels() == nullptr) return nullptr;
  static const CodeKernels table = DotProdCodeTable();
  return &table;
}

const CodeKernels* I8mmCodeKernels() {
  if (I8mmKernels() == nullptr) return nullptr;
  static const CodeKernels table = I8mmCodeTable();
  return &table;
}

}  // namespace keras_ste
