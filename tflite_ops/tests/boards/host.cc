#include <stdio.h>
#include <stdlib.h>

#include "tests/boards/board.h"

namespace keras_ste {

void Print(const char* text) { fputs(text, stdout); }

void Stop(const char* why) {
  puts(why);
  exit(3);
}

}  // namespace keras_ste
