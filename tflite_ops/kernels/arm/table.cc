// Compiled for any 64-bit Arm processor: asks the system what may run.
#include <sys/auxv.h>

#include "kernels/arm/kernels.h"

namespace keras_ste {
namespace {

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

const DepthwiseKernels* NeonDepthwise() {
  static const DepthwiseKernels table = [] {
    DepthwiseKernels t = {};
    arm::FillDepthwiseNeon(&t);
    return t;
  }();
  return &table;
}

// The rest gains nothing by newer instructions: all sets have NEON's.
KernelTable TableOf(const CodeKernels* codes) {
  KernelTable t = {};
  t.name = codes->name;
  t.codes = codes;
  t.depthwise = NeonDepthwise();
  arm::FillSignSumNeon(&t);
  t.output = arm::kOutputNeon;
  t.pack_signs = arm::PackSignsNeon;
  return t;
}

}  // namespace

const KernelTable* NeonKernels() {
  static const CodeKernels codes = NeonCodeTable();
  static const KernelTable table = TableOf(&codes);
  return &table;
}

const KernelTable* DotProdKernels() {
  if ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) == 0) return nullptr;
  static const CodeKernels codes = DotProdCodeTable();
  static const KernelTable table = TableOf(&codes);
  return &table;
}

const KernelTable* I8mmKernels() {
  if (DotProdKernels() == nullptr || (getauxval(AT_HWCAP2) & HWCAP2_I8MM) == 0) return nullptr;
  static const CodeKernels codes = I8mmCodeTable();
  static const KernelTable table = TableOf(&codes);
  return &table;
}

}  // namespace keras_ste
