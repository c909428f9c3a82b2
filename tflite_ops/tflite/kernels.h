#ifndef KERAS_STE_TFLITE_KERNELS_H_
#define KERAS_STE_TFLITE_KERNELS_H_

#include <stdlib.h>

#include "kernels/kernel_table.h"

namespace keras_ste {

// The kernels for this process; null where KERAS_STE_ISA names a set that is not available.
inline const KernelTable* Kernels() { return ChooseKernels(getenv("KERAS_STE_ISA")); }

}  // namespace keras_ste

#endif  // KERAS_STE_TFLITE_KERNELS_H_
