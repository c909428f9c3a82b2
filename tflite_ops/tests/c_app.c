// An app in C: runs a .tflite with our ops through TFLite's C library.
//
//   c_app MODEL INPUT OUTPUT [THREADS [BATCH]]
//
// INPUT holds any number of items of the model's one input, one behind the other, and OUTPUT gets as many of its one
// output. BATCH items are run at a time; their number must be a multiple of it.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tflite/registration.h"

// The functions of TFLite's C library that are called here, so that no header of theirs is needed. A test compiles this
// file behind their headers, where a declaration that differs is an error.
#if !defined(KERAS_STE_TFLITE_HEADERS)
typedef enum TfLiteStatus { kTfLiteOk = 0 } TfLiteStatus;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteRegistration TfLiteRegistration;
typedef struct TfLiteTensor TfLiteTensor;
#endif

TfLiteModel* TfLiteModelCreateFromFile(const char* model_path);
void TfLiteModelDelete(TfLiteModel* model);
TfLiteInterpreterOptions* TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsDelete(TfLiteInterpreterOptions* options);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions* options, int32_t num_threads);
void TfLiteInterpreterOptionsAddCustomOp(TfLiteInterpreterOptions* options, const char* name,
                                         const TfLiteRegistration* registration, int32_t min_version,
                                         int32_t max_version);
TfLiteInterpreter* TfLiteInterpreterCreate(const TfLiteModel* model, const TfLiteInterpreterOptions* options);
void TfLiteInterpreterDelete(TfLiteInterpreter* interpreter);
TfLiteStatus TfLiteInterpreterResizeInputTensor(TfLiteInterpreter* interpreter, int32_t input_index,
                                                const int* input_dims, int32_t input_dims_size);
TfLiteStatus TfLiteInterpreterAllocateTensors(TfLiteInterpreter* interpreter);
TfLiteStatus TfLiteInterpreterInvoke(TfLiteInterpreter* interpreter);
int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter* interpreter);
int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter* interpreter);
TfLiteTensor* TfLiteInterpreterGetInputTensor(const TfLiteInterpreter* interpreter, int32_t input_index);
const TfLiteTensor* TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter* interpreter, int32_t output_index);
int32_t TfLiteTensorNumDims(const TfLiteTensor* tensor);
int32_t TfLiteTensorDim(const TfLiteTensor* tensor, int32_t dim_index);
size_t TfLiteTensorByteSize(const TfLiteTensor* tensor);
TfLiteStatus TfLiteTensorCopyFromBuffer(TfLiteTensor* tensor, const void* data, size_t size);
TfLiteStatus TfLiteTensorCopyToBuffer(const TfLiteTensor* tensor, void* data, size_t size);

#define MAX_RANK 8

static void Check(int good, const char* what) {
  if (good) return;
  fprintf(stderr, "c_app: %s\n", what);
  exit(1);
}

static char* ReadFile(const char* path, size_t* size) {
  FILE* file = fopen(path, "rb");
  Check(file != NULL, "the input cannot be opened");
  Check(fseek(file, 0, SEEK_END) == 0, "the input cannot be read");
  const long length = ftell(file);
  Check(length > 0 && fseek(file, 0, SEEK_SET) == 0, "the input is empty");
  *size = (size_t)length;
  char* data = malloc(*size);
  Check(data != NULL && fread(data, 1, *size, file) == *size, "the input cannot be read");
  fclose(file);
  return data;
}

static TfLiteInterpreter* CreateInterpreter(const TfLiteModel* model, int32_t threads) {
  TfLiteInterpreterOptions* options = TfLiteInterpreterOptionsCreate();
  TfLiteInterpreterOptionsSetNumThreads(options, threads);
  for (int i = 0; i < KerasSteOpCount(); ++i) {
    TfLiteInterpreterOptionsAddCustomOp(options, KerasSteOpName(i), KerasSteOpRegistration(i), 1, 1);
  }
  TfLiteInterpreter* interpreter = TfLiteInterpreterCreate(model, options);
  TfLiteInterpreterOptionsDelete(options);
  Check(interpreter != NULL, "no interpreter for this model");
  Check(TfLiteInterpreterGetInputTensorCount(interpreter) == 1, "the model has not one input");
  Check(TfLiteInterpreterGetOutputTensorCount(interpreter) == 1, "the model has not one output");
  return interpreter;
}

static void SetBatch(TfLiteInterpreter* interpreter, int batch) {
  Check(batch > 0, "the batch is not a positive number");
  const TfLiteTensor* input = TfLiteInterpreterGetInputTensor(interpreter, 0);
  const int32_t rank = TfLiteTensorNumDims(input);
  Check(rank > 0 && rank <= MAX_RANK, "the model's input has no batch");
  int dims[MAX_RANK] = {batch};
  for (int32_t i = 1; i < rank; ++i) dims[i] = TfLiteTensorDim(input, i);
  Check(TfLiteInterpreterResizeInputTensor(interpreter, 0, dims, rank) == kTfLiteOk, "the batch cannot be set");
  Check(TfLiteInterpreterAllocateTensors(interpreter) == kTfLiteOk, "the model was refused");
}

static void Run(TfLiteInterpreter* interpreter, const char* data, size_t size, FILE* output) {
  TfLiteTensor* fed = TfLiteInterpreterGetInputTensor(interpreter, 0);
  const TfLiteTensor* result = TfLiteInterpreterGetOutputTensor(interpreter, 0);
  const size_t step = TfLiteTensorByteSize(fed);
  Check(step > 0 && size % step == 0, "the input is not a whole number of batches");
  for (size_t at = 0; at < size; at += step) {
    Check(TfLiteTensorCopyFromBuffer(fed, data + at, step) == kTfLiteOk, "the input cannot be set");
    Check(TfLiteInterpreterInvoke(interpreter) == kTfLiteOk, "the model failed");
    const size_t bytes = TfLiteTensorByteSize(result);
    char* values = malloc(bytes);
    Check(values != NULL && TfLiteTensorCopyToBuffer(result, values, bytes) == kTfLiteOk, "no output");
    Check(fwrite(values, 1, bytes, output) == bytes, "the output cannot be written");
    free(values);
  }
}

int main(int argc, char** argv) {
  Check(argc >= 4 && argc <= 6, "expected MODEL INPUT OUTPUT [THREADS [BATCH]]");
  size_t size = 0;
  char* data = ReadFile(argv[2], &size);
  TfLiteModel* model = TfLiteModelCreateFromFile(argv[1]);
  Check(model != NULL, "not a model");
  TfLiteInterpreter* interpreter = CreateInterpreter(model, argc > 4 ? atoi(argv[4]) : 1);
  SetBatch(interpreter, argc > 5 ? atoi(argv[5]) : 1);
  FILE* output = fopen(argv[3], "wb");
  Check(output != NULL, "the output cannot be opened");
  Run(interpreter, data, size, output);
  Check(fclose(output) == 0, "the output cannot be written");
  printf("kernels: %s\n", KerasSteKernels());
  TfLiteInterpreterDelete(interpreter);
  TfLiteModelDelete(model);
  free(data);
  return 0;
}
