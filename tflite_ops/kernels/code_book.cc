#include "kernels/code_book.h"

#include "kernels/bits.h"
#include "kernels/scalar.h"

namespace keras_ste {
namespace {

int32_t Blocks(const CodeBook& book) { return CeilDiv(book.vectors, kBlock); }

// Of all blocks, the floats of the vectors.
int64_t LaneFloats(const CodeBook& book) { return static_cast<int64_t>(Blocks(book)) * kBlock * book.size; }

float Product(const float* a, const float* b, int32_t size) {
  float sum = 0.0f;
  for (int32_t i = 0; i < size; ++i) sum = Scalar(sum + a[i] * b[i]);
  return sum;
}

}  // namespace

void SquaredLengths(const CodeBook& book, const float* vectors, int32_t begin, int32_t end, float* lengths) {
  for (int32_t v = begin; v < end; ++v) {
    const float* vector = vectors + static_cast<int64_t>(v) * book.size;
    lengths[v] = Product(vector, vector, book.size);
  }
}

size_t CodeBookBytes(const CodeBook& book) {
  return (static_cast<size_t>(LaneFloats(book)) + static_cast<size_t>(Blocks(book)) * kBlock) * sizeof(float);
}

void FillCodeBook(const CodeBook& book, const float* vectors, float* blocks) {
  float* lengths = blocks + LaneFloats(book);
  for (int32_t v = 0; v < Blocks(book) * kBlock; ++v) {
    float* lane = blocks + static_cast<int64_t>(v / kBlock) * kBlock * book.size + v % kBlock;
    const float* vector = vectors + static_cast<int64_t>(v) * book.size;
    for (int32_t i = 0; i < book.size; ++i) {
      lane[static_cast<int64_t>(i) * kBlock] = v < book.vectors ? vector[i] : 0.0f;
    }
    lengths[v] = __builtin_inff();
  }
  SquaredLengths(book, vectors, 0, book.vectors, lengths);
}

void TiledNearest(const CodeBook& book, const CodeKernels& kernels, const float* blocks, const float* rows,
                  int32_t begin, int32_t end, int32_t* nearest) {
  for (int32_t first = begin; first < end; first += kernels.nearest_rows) {
    const int32_t count = end - first < kernels.nearest_rows ? end - first : kernels.nearest_rows;
    const float* tile[kMaxTileRows];
    for (int32_t r = 0; r < count; ++r) tile[r] = rows + static_cast<int64_t>(first + r) * book.size;
    kernels.nearest[count](tile, book.size, blocks, blocks + LaneFloats(book), Blocks(book), nearest + first);
  }
}

void DirectNearest(const CodeBook& book, const float* vectors, const float* lengths, const float* rows, int32_t begin,
                   int32_t end, int32_t* nearest) {
  for (int32_t r = begin; r < end; ++r) {
    const float* row = rows + static_cast<int64_t>(r) * book.size;
    float least = __builtin_inff();
    nearest[r] = 0;
    for (int32_t v = 0; v < book.vectors; ++v) {
      const float product = Product(vectors + static_cast<int64_t>(v) * book.size, row, book.size);
      const float distance = Scalar(lengths[v] - 2.0f * product);
      if (ScalarBit(distance < least) == 0) continue;
      least = distance;
      nearest[r] = v;
    }
  }
}

}  // namespace keras_ste
