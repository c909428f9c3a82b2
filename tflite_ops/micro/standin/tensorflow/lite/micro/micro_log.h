#ifndef KERAS_STE_STANDIN_MICRO_LOG_H_
#define KERAS_STE_STANDIN_MICRO_LOG_H_

void MicroPrintf(const char* format, ...) __attribute__((format(printf, 1, 2)));

#endif  // KERAS_STE_STANDIN_MICRO_LOG_H_
