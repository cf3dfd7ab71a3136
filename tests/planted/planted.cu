// All kernels with a planted bug, for planted_test.

#include "planted/barriers.cuh"
#include "planted/bounds.cuh"
#include "planted/calls.cuh"
#include "planted/copies.cuh"
#include "planted/grids.cuh"
#include "planted/pipelines.cuh"
#include "planted/proxies.cuh"
#include "planted/races.cuh"
#include "planted/undefined.cuh"
