// What the test program needs of the machine it runs on: a board (startup.cc), or the computer it is compared with
// (host.cc).
#ifndef KERAS_STE_TESTS_BOARDS_BOARD_H_
#define KERAS_STE_TESTS_BOARDS_BOARD_H_

namespace keras_ste {

void Print(const char* text);

// Prints why, and ends the program as failed.
[[noreturn]] void Stop(const char* why);

}  // namespace keras_ste

#endif  // KERAS_STE_TESTS_BOARDS_BOARD_H_
