// Windows that slide over an image: output sizes, padding, and which kernel rows meet the image.
#ifndef KERAS_STE_KERNELS_GEOMETRY_H_
#define KERAS_STE_KERNELS_GEOMETRY_H_

#include <stdint.h>

namespace keras_ste {

// One axis of a sliding window.
struct Axis {
  int32_t in;        // size of the image
  int32_t out;       // number of window positions
  int32_t kernel;    // taps
  int32_t stride;
  int32_t dilation;
  int32_t before;    // padding before the image
};

// Half-open range of taps.
struct TapRange {
  int32_t begin;
  int32_t end;
};

// What stands around the image: nothing; as much as TensorFlow's "SAME"; all that a window needs, before it.
enum class Padding { kValid, kSame, kCausal };

// Sets `out` and `before` from the other fields, as TensorFlow and Keras do. Returns false where there is no window
// position, or where a number would overflow.
bool PlaceWindows(Padding padding, Axis* axis);

// The taps of window `position` that lie inside the image.
static inline TapRange TapsInside(const Axis& axis, int32_t position) {
  const int32_t start = position * axis.stride - axis.before;
  TapRange range = {0, axis.kernel};
  if (start < 0) range.begin = (-start + axis.dilation - 1) / axis.dilation;
  const int32_t room = axis.in - start;  // taps t with start + t * dilation < in
  const int32_t end = room <= 0 ? 0 : (room + axis.dilation - 1) / axis.dilation;
  if (end < range.end) range.end = end;
  if (range.begin > range.end) range.begin = range.end;
  return range;
}

}  // namespace keras_ste

#endif  // KERAS_STE_KERNELS_GEOMETRY_H_
