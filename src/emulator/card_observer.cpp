#include "emulator/card_observer.hpp"
