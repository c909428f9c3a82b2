#include "kernels/portable/kernels.h"

namespace keras_ste {

const KernelTable* PortableKernels() {
  static const KernelTable table = [] {
    KernelTable t = {};
    t.name = "portable";
    t.codes = PortableCodeKernels();
    t.depthwise = PortableDepthwiseKernels();
    portable::FillSignSum(&t);
    t.output = portable::kOutput;
    t.pack_signs = portable::PackSigns;
    return t;
  }();
  return &table;
}

}  // namespace keras_ste
