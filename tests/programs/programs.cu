// Whole programs, for programs_test and programs_record.

#include "divergent.cuh"
#include "gemm.cuh"
#include "histogram.cuh"
#include "overlap.cuh"
#include "pointer_array.cuh"
#include "scan.cuh"
#include "store.cuh"
