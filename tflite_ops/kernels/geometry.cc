#include "kernels/geometry.h"

namespace keras_ste {

bool PlaceWindows(Padding padding, Axis* axis) {
  if (axis->in < 1 || axis->kernel < 1 || axis->stride < 1 || axis->dilation < 1) return false;
  const int64_t reach = static_cast<int64_t>(axis->kernel - 1) * axis->dilation + 1;
  if (reach > INT32_MAX / 2 || axis->in > INT32_MAX / 2) return false;
  axis->before = 0;
  if (padding != Padding::kValid) {
    axis->out = static_cast<int32_t>((static_cast<int64_t>(axis->in) + axis->stride - 1) / axis->stride);
    if (padding == Padding::kCausal) {
      axis->before = static_cast<int32_t>(reach - 1);
      return true;
    }
    const int64_t total = static_cast<int64_t>(axis->out - 1) * axis->stride + reach - axis->in;
    if (total > 0) axis->before = static_cast<int32_t>(total / 2);
    return true;
  }
  if (axis->in < reach) return false;
  axis->out = static_cast<int32_t>((axis->in - reach) / axis->stride + 1);
  return true;
}

}  // namespace keras_ste
